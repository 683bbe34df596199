import { BackupError } from '../contract/backup-error.js';
import { type HostLogger } from '../contract/host-services.js';
import { type Clock } from '../common/clock.js';
import { type Endpoint, endpointAddress } from '../xapi/tls-trust.js';
import { isTransportError } from '../xapi/transport-error.js';
import { type XapiClient, type XapiClientFactory } from '../xapi/xapi-client.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { EMERGENCY_CODES } from './call-recovery.js';
import { type ConnectionSettings } from './connection-settings.js';
import { type Redactor } from './redact.js';

const ORIGINATOR = 'xen-backup-source';
/** A log-in with a wrong password takes five seconds by design; a healthy one far less. */
const LOGIN_TIMEOUT_MS = 30_000;
const LOGOUT_TIMEOUT_MS = 10_000;
const MAX_HOPS = 3;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 5_000;

/** The session that a call failed with. */
export interface FailedSession {
  readonly client: XapiClient;
  readonly session: string | undefined;
  /** True when the pool said that the session is no more. */
  readonly isDead: boolean;
}

/**
 * Keeps one session with the pool's coordinator: opens it, finds the coordinator again, ends it. Every session that was
 * born here is ended here, also when whoever asked for it has gone.
 */
export class SessionKeeper {
  readonly #settings: ConnectionSettings;
  readonly #newClient: XapiClientFactory;
  readonly #clock: Clock;
  readonly #logger: HostLogger;
  readonly #redactor: Redactor;
  readonly #closing = new AbortController();
  readonly #clients = new Set<XapiClient>();
  #current: XapiClient | undefined;
  #epoch = 0;
  #renewing: Promise<void> | undefined;

  constructor(
    settings: ConnectionSettings,
    newClient: XapiClientFactory,
    clock: Clock,
    logger: HostLogger,
    redactor: Redactor,
  ) {
    this.#settings = settings;
    this.#newClient = newClient;
    this.#clock = clock;
    this.#logger = logger;
    this.#redactor = redactor;
  }

  /** The client with the session; undefined before `open` and after `close`. */
  get current(): XapiClient | undefined {
    return this.#current;
  }

  /** Grows with every new session and every move. */
  get epoch(): number {
    return this.#epoch;
  }

  /** A host of the pool at the configured protocol and port. */
  endpointOf(host: string): Endpoint {
    const { protocol, port } = this.#settings.endpoint;
    return { protocol, host: host.replace(/^\[|\]$/g, ''), port };
  }

  /** Logs in at the configured host, or at the coordinator that it names. */
  async open(): Promise<void> {
    this.#current = await this.#logInFrom(this.#settings.endpoint, new Set());
  }

  /** Goes on with the same session at another host: the session belongs to the pool. */
  moveTo(host: string, client: XapiClient): void {
    if (client !== this.#current) return;
    const endpoint = this.endpointOf(host);
    this.#logger.info('The coordinator moved.', { address: endpointAddress(endpoint) });
    const next = this.#make(endpoint);
    if (client.session !== undefined) next.adopt(client.session);
    this.#current = next;
    this.#epoch += 1;
  }

  /**
   * A new session in place of the one that `client` had when it failed, from whichever of the hosts is the coordinator
   * now; nothing, when somebody else got one since. Tries until the time is over.
   */
  async renew(failed: FailedSession, hosts: readonly Endpoint[], signal: AbortSignal | undefined): Promise<void> {
    const { client, session } = failed;
    if (client !== this.#current || client.session !== session) return;
    this.#renewing ??= this.#renew(failed, [client.endpoint, ...hosts]).finally(() => {
      this.#renewing = undefined;
    });
    // One at a time; whoever comes meanwhile waits for it. It goes on when the one who asked gives up.
    await orAborted(this.#renewing, signal);
  }

  async #renew({ session, isDead }: FailedSession, hosts: readonly Endpoint[]): Promise<void> {
    const addresses = hosts.map(endpointAddress);
    if (isDead) this.#logger.info('The session ended; logging in again.');
    else this.#logger.warn('The coordinator does not answer; looking for it.', { addresses });
    const found = await this.#search(hosts);
    this.#current = found;
    this.#epoch += 1;
    this.#logger.info('Logged in.', { address: endpointAddress(found.endpoint) });
    if (session !== undefined && !isDead) await this.#endStray(found.endpoint, session);
  }

  /** Logs out and closes all connections. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort(notOpen());
    await this.#renewing?.catch(() => undefined);
    const client = this.#current;
    this.#current = undefined;
    if (client !== undefined) await this.#logOut(client);
    await Promise.all([...this.#clients].map((one) => one.release()));
    this.#clients.clear();
  }

  async #search(hosts: readonly Endpoint[]): Promise<XapiClient> {
    const endMs = this.#clock.nowMs() + this.#settings.reconnectTimeoutMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      const visited = new Set<string>();
      let last: unknown;
      for (const host of hosts) {
        if (visited.has(endpointAddress(host))) continue;
        this.#closing.signal.throwIfAborted();
        try {
          return await this.#logInFrom(host, visited);
        } catch (error) {
          if (!isPassing(error)) throw error;
          last = error;
        }
      }
      if (this.#clock.nowMs() + pauseMs >= endMs) throw last;
      await this.#clock.sleep(pauseMs, this.#closing.signal);
    }
  }

  async #logInFrom(start: Endpoint, visited: Set<string>): Promise<XapiClient> {
    let endpoint = start;
    for (let hops = 0; ; hops += 1) {
      visited.add(endpointAddress(endpoint));
      const client = this.#make(endpoint);
      try {
        await this.#logIn(client);
        return client;
      } catch (error) {
        await this.#drop(client);
        if (!isXapiError(error, 'HOST_IS_SLAVE') || hops >= MAX_HOPS) throw error;
        const next = this.endpointOf(error.params[0] ?? '');
        if (next.host === '' || visited.has(endpointAddress(next))) throw error;
        endpoint = next;
      }
    }
  }

  async #logIn(client: XapiClient): Promise<void> {
    const { credentials, callTimeoutMs } = this.#settings;
    const login = { username: credentials.username, password: credentials.reveal(), originator: ORIGINATOR };
    this.#redactor.addSecret(await client.login(login, Math.min(LOGIN_TIMEOUT_MS, callTimeoutMs)));
  }

  async #logOut(client: XapiClient): Promise<void> {
    const session = client.session;
    try {
      await client.logout(LOGOUT_TIMEOUT_MS);
    } catch (error) {
      if (isXapiError(error, 'SESSION_INVALID')) return;
      const [host] = isXapiError(error, 'HOST_IS_SLAVE') ? error.params : [];
      if (host !== undefined && session !== undefined) await this.#endStray(this.endpointOf(host), session);
      else this.#logger.warn('Logging out did not work; the session ends by itself within a day.', { error });
    }
  }

  /** Ends a session that a dead or moved coordinator may have left behind. */
  async #endStray(endpoint: Endpoint, session: string): Promise<void> {
    const client = this.#make(endpoint);
    client.adopt(session);
    try {
      await client.logout(LOGOUT_TIMEOUT_MS);
    } catch (error) {
      this.#logger.debug('An old session could not be ended; most likely it is gone.', { error });
    } finally {
      await this.#drop(client);
    }
  }

  #make(endpoint: Endpoint): XapiClient {
    const client = this.#newClient(endpoint);
    this.#clients.add(client);
    return client;
  }

  async #drop(client: XapiClient): Promise<void> {
    this.#clients.delete(client);
    await client.release();
  }
}

/** True for failures of one host that another host, or a little time, may cure. */
function isPassing(error: unknown): boolean {
  return isTransportError(error) || isXapiError(error, 'HOST_IS_SLAVE', ...EMERGENCY_CODES);
}

/** Waits for the work, or until the signal aborts; the work goes on. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  work.catch(() => undefined);
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

/** The error of a call on a connection that is not open. */
export function notOpen(): BackupError {
  return new BackupError('REQUEST_INVALID', 'The connection to the pool is closed.');
}
