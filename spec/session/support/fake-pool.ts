import { type Clock } from '../../../src/common/clock.js';
import { type ConnectionSettings } from '../../../src/session/connection-settings.js';
import { Credentials } from '../../../src/session/credentials.js';
import { Redactor } from '../../../src/session/redact.js';
import { XapiPoolConnection } from '../../../src/session/xapi-pool-connection.js';
import { XenApiClient } from '../../../src/xapi/xen-api-client.js';
import { RecordingLogger } from '../../support/recording-logger.js';
import { type RpcAnswer, type RpcCall, type RpcHost, type RpcHosts, startRpcHosts } from '../../support/rpc-hosts.js';

/** Time that passes by itself whenever somebody waits. */
class EagerClock implements Clock {
  #nowMs = 0;
  nowMs(): number {
    return this.#nowMs;
  }
  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#nowMs += delayMs;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
}

/** A pool of three that knows log-in, log-out and its members; the rest a spec says. */
export class FakePool {
  readonly sessions = new Set<string>();
  coordinator = '127.0.0.1';
  /** What hosts say to other calls. */
  other: (call: RpcCall, host: RpcHost) => RpcAnswer = () => ({ result: 'done' });
  /** Addresses as the pool itself knows them, where they differ from ours (NAT). */
  readonly ownAddress = new Map<string, string>();
  /** What hosts say to a log-in, when not what they ought to. */
  login: ((host: RpcHost) => RpcAnswer | undefined) | undefined;
  readonly #rpc: RpcHosts;
  readonly #connections: XapiPoolConnection[] = [];
  #count = 0;

  constructor(rpc: RpcHosts) {
    this.#rpc = rpc;
    for (const host of rpc.hosts) host.answer = (call) => this.#answer(call, host);
  }

  host(index: number): RpcHost {
    return this.#rpc.hosts[index]!;
  }

  /** The addresses at which a method was called, host by host. */
  callsOf(method: string): string[] {
    return this.#rpc.hosts.flatMap(({ calls, address }) =>
      calls.filter((call) => call.method === method).map(() => address),
    );
  }

  /** One more connection to the first host, not open yet; it is closed with the pool. */
  connect(): XapiPoolConnection {
    const connection = connectionTo(this.#rpc.port);
    this.#connections.push(connection);
    return connection;
  }

  async stopAllHosts(): Promise<void> {
    await this.#rpc.close();
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
    await this.#rpc.close();
  }

  #answer(call: RpcCall, host: RpcHost): RpcAnswer {
    if (call.method === 'session.login_with_password') {
      const odd = this.login?.(host);
      if (odd !== undefined) return odd;
      if (host.address !== this.coordinator) return { error: ['HOST_IS_SLAVE', this.coordinator] };
      this.#count += 1;
      this.sessions.add(`OpaqueRef:session-${this.#count}`);
      return { result: `OpaqueRef:session-${this.#count}` };
    }
    const session = String(call.params[0]);
    if (!this.sessions.has(session)) return { error: ['SESSION_INVALID', session] };
    if (host.address !== this.coordinator) return { error: ['HOST_IS_SLAVE', this.coordinator] };
    if (call.method === 'session.logout') {
      this.sessions.delete(session);
      return { result: '' };
    }
    if (call.method === 'event.from' && JSON.stringify(call.params[1]) === '["pool","host","host_metrics"]')
      return { result: this.#members() };
    return this.other(call, host);
  }

  #members(): object {
    const ref = (address: string): string => `OpaqueRef:host-${address}`;
    const hosts = this.#rpc.hosts.map(({ address }) => ({
      class: 'host',
      ref: ref(address),
      operation: 'add',
      snapshot: { uuid: address, name_label: address, address: this.ownAddress.get(address) ?? address },
    }));
    const pool = {
      class: 'pool',
      ref: 'OpaqueRef:pool',
      operation: 'add',
      snapshot: { master: ref(this.coordinator) },
    };
    return { token: 't', events: [pool, ...hosts] };
  }
}

/** The end of the connection in place of an answer. */
export const cut: RpcAnswer = {
  byHand: (request) => {
    request.socket.destroy();
  },
};

export async function startFakePool(): Promise<{ pool: FakePool; connection: XapiPoolConnection }> {
  const pool = new FakePool(await startRpcHosts(3));
  return { pool, connection: pool.connect() };
}

/** In a time that passes by itself. */
function connectionTo(port: number): XapiPoolConnection {
  const settings: ConnectionSettings = {
    endpoint: { protocol: 'http:', host: '127.0.0.1', port },
    credentials: new Credentials('root', 'hunter22'),
    trust: { mode: 'system' },
    dataTransport: 'https',
    httpPort: 80,
    connectTimeoutMs: 1000,
    callTimeoutMs: 2000,
    firstByteTimeoutMs: 1000,
    idleTimeoutMs: 1000,
    reconnectTimeoutMs: 20_000,
  };
  return new XapiPoolConnection(
    settings,
    (endpoint) => new XenApiClient({ endpoint, trust: settings.trust, connectTimeoutMs: settings.connectTimeoutMs }),
    new EagerClock(),
    new RecordingLogger(),
    new Redactor(),
  );
}
