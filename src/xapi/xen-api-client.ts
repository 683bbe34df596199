import { type XapiTransportFactory } from 'xen-api/transports/json-rpc.mjs';
import { withDeadline } from '../common/abort.js';
import { type CallFlow, RpcDispatcher } from './rpc-dispatcher.js';
import { type Endpoint, endpointAddress, type TlsTrust, trustedConnector, urlHost } from './tls-trust.js';
import { toTransportError, TransportError } from './transport-error.js';
import { type XapiCallOptions, type XapiClient, type XapiLogin } from './xapi-client.js';
import { XapiError } from './xapi-error.js';

/** Loaded with the first call: a host that binds another client never loads the package. */
const DIALECTS = {
  'json-rpc': () => import('xen-api/transports/json-rpc.mjs'),
  'xml-rpc': () => import('xen-api/transports/xml-rpc.mjs'),
} as const;

type Dialect = keyof typeof DIALECTS;

export interface XenApiClientOptions {
  readonly endpoint: Endpoint;
  readonly trust: TlsTrust;
  readonly connectTimeoutMs: number;
}

/**
 * `XapiClient` over npm `xen-api`. Of that package only the RPC transport runs (JSON-RPC, falling back to XML-RPC):
 * its own log-in costs two calls more and knows no originator, its log-out is not waited for, and it repeats calls. So only
 * the transports are loaded: the rest, with what it brings, would be a tenth of the time that a command takes to start.
 * Trust is put in as xen-api knows only "all" or "system": see `trustedConnector`.
 */
export class XenApiClient implements XapiClient {
  readonly endpoint: Endpoint;
  readonly #transports: Partial<Record<Dialect, Promise<XapiTransportFactory>>> = {};
  #dialect: Dialect = 'json-rpc';
  readonly #dispatcher: RpcDispatcher;
  readonly #address: string;
  #session: string | undefined;

  constructor({ endpoint, trust, connectTimeoutMs }: XenApiClientOptions) {
    this.endpoint = endpoint;
    this.#address = endpointAddress(endpoint);
    this.#dispatcher = new RpcDispatcher(trustedConnector(trust, connectTimeoutMs));
  }

  get session(): string | undefined {
    return this.#session;
  }

  async login({ username, password, originator }: XapiLogin, timeoutMs: number): Promise<string> {
    const session = await this.#send('session.login_with_password', [username, password, '1.0', originator], {
      timeoutMs,
    });
    if (typeof session !== 'string' || session === '') {
      throw new TransportError('protocol', `${this.#address} answered a log-in with something else than a session.`);
    }
    this.#session = session;
    return session;
  }

  adopt(session: string): void {
    this.#session = session;
  }

  async call(method: string, args: readonly unknown[], options: XapiCallOptions): Promise<unknown> {
    if (this.#session === undefined) throw new XapiError('SESSION_INVALID', [], { call: method });
    return await this.#send(method, [this.#session, ...args], options);
  }

  async logout(timeoutMs: number): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    await this.#send('session.logout', [session], { timeoutMs });
  }

  async release(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  #send(
    method: string,
    args: readonly unknown[],
    { signal, timeoutMs, onAnswered }: XapiCallOptions,
  ): Promise<unknown> {
    const onTimeout = (): Error =>
      new TransportError('timeout', `${this.#address} did not answer ${method} in ${timeoutMs} ms.`, {
        address: this.#address,
        call: method,
      });
    return withDeadline([signal], timeoutMs, onTimeout, async (limited) => {
      limited.throwIfAborted();
      try {
        return await this.#request(method, args, { signal: limited, onAnswered });
      } catch (error) {
        // undici wraps some reasons; the signal knows best why it ended.
        limited.throwIfAborted();
        throw this.#asOurs(error, method);
      }
    });
  }

  /** JSON-RPC, and from its first refusal on XML-RPC: hosts that are old enough speak nothing else. */
  async #request(method: string, args: readonly unknown[], flow: CallFlow): Promise<unknown> {
    const dialect = this.#dialect;
    try {
      return await this.#requestIn(dialect, method, args, flow);
    } catch (error) {
      if (dialect === 'xml-rpc' || (error as Error).name !== 'UnsupportedTransport') throw error;
    }
    this.#dialect = 'xml-rpc';
    return await this.#requestIn('xml-rpc', method, args, flow);
  }

  /** A transport for each call, as a transport takes no signal. */
  async #requestIn(dialect: Dialect, method: string, args: readonly unknown[], flow: CallFlow): Promise<unknown> {
    const newTransport = await (this.#transports[dialect] ??= DIALECTS[dialect]().then((module) => module.default));
    const { protocol, host, port } = this.endpoint;
    const url = { protocol, hostname: urlHost(host), port: String(port) };
    return await newTransport({ dispatcher: this.#dispatcher.under(flow), url })(method, args);
  }

  #asOurs(error: unknown, method: string): unknown {
    const { name, code, params } = error as { name?: unknown; code?: unknown; params?: unknown };
    if (name === 'XapiError' && typeof code === 'string' && Array.isArray(params)) {
      return new XapiError(code, params.map(String), { call: method });
    }
    const ours = toTransportError(error, this.#address);
    if (ours instanceof TransportError) return ours.duringCall(method);
    return new TransportError(
      'protocol',
      `${this.#address} answered ${method} with something that is not a XAPI answer.`,
      {
        cause: error,
        address: this.#address,
        call: method,
      },
    );
  }
}
