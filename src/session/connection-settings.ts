import { type ServiceIdentifier } from 'inversify';
import { type Endpoint, type TlsTrust } from '../xapi/tls-trust.js';
import { type Credentials } from './credentials.js';

/** Everything a `PoolConnection` needs to know of its client. All times in milliseconds. */
export interface ConnectionSettings {
  /** Any member of the pool. Other members are reached at the same protocol and port. */
  readonly endpoint: Endpoint;
  readonly credentials: Credentials;
  readonly trust: TlsTrust;
  /** How bulk data travels. */
  readonly dataTransport: 'https' | 'http';
  /** Port of the members for bulk data over http. */
  readonly httpPort: number;
  readonly connectTimeoutMs: number;
  /** Limit of one call, of a task without progress after an upload, and of an upload's wait for its verdict. */
  readonly callTimeoutMs: number;
  /** Limit of the wait for the first sign of an answer of a handler. */
  readonly firstByteTimeoutMs: number;
  /** Limit of silence in the middle of a transfer. */
  readonly idleTimeoutMs: number;
  /** How long to look for a coordinator before giving up. */
  readonly reconnectTimeoutMs: number;
}

export const ConnectionSettings = Symbol('ConnectionSettings') as ServiceIdentifier<ConnectionSettings>;

/** How bulk data travels for a task, in a word for people. */
export function dataTransportOf(
  { dataTransport, endpoint }: Pick<ConnectionSettings, 'dataTransport' | 'endpoint'>,
  forceHttps: boolean,
): 'https' | 'http' {
  return (dataTransport === 'http' && !forceHttps) || endpoint.protocol === 'http:' ? 'http' : 'https';
}
