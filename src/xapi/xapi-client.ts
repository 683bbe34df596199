import { type ServiceIdentifier } from 'inversify';
import { type Endpoint } from './tls-trust.js';

export interface XapiCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
  /** Called when an answer has come in whole; it is read only when the calls that this one makes have been sent. */
  readonly onAnswered?: (() => void) | undefined;
}

export interface XapiLogin {
  readonly username: string;
  readonly password: string;
  /** Shown in the pool's list of sessions; limits count per originator. */
  readonly originator: string;
}

/**
 * The control channel to **one** host: remote calls, nothing else. It follows nobody and repeats nothing; that is
 * `PoolConnection`'s work. Every rejection is a `XapiError`, a `TransportError` or the signal's reason.
 *
 * ```
 * ┌ login | adopt ─▶ call (many) ─▶ logout ┐ (many times) ─▶ release (once)
 * ```
 */
export interface XapiClient {
  readonly endpoint: Endpoint;
  /** The session's reference; undefined before a login and after a logout. A secret: it is worth the password. */
  readonly session: string | undefined;
  /** Logs in; resolves with the session's reference. Not cancellable: a session must not be born unseen. */
  login(login: XapiLogin, timeoutMs: number): Promise<string>;
  /** Uses a session that another host of the pool gave. */
  adopt(session: string): void;
  /** Calls with the session as first argument. */
  call(method: string, args: readonly unknown[], options: XapiCallOptions): Promise<unknown>;
  /** Ends the session in the pool and forgets it, even when the pool does not answer. */
  logout(timeoutMs: number): Promise<void>;
  /** Closes the connections. Calls that still run are rejected. */
  release(): Promise<void>;
}

/** Makes the client of one host. */
export type XapiClientFactory = (endpoint: Endpoint) => XapiClient;

export const XapiClientFactory = Symbol('XapiClientFactory') as ServiceIdentifier<XapiClientFactory>;
