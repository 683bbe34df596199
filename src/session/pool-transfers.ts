import { Readable } from 'node:stream';
import { MIB } from '../common/byte-size.js';
import { type Clock } from '../common/clock.js';
import { isBackupError } from '../contract/backup-error.js';
import { HandlerDownload } from '../xapi/handler-download.js';
import { type HandlerLimits, type HandlerRequest } from '../xapi/handler-request.js';
import { HandlerUpload } from '../xapi/handler-upload.js';
import { type Endpoint, openSocket, trustedConnector } from '../xapi/tls-trust.js';
import { isTransportError, TransportError } from '../xapi/transport-error.js';
import { type ConnectionSettings } from './connection-settings.js';
import { type ExportRequest, type ImportRequest, type PoolMember } from './pool-connection.js';

/** What transfers need to know of the connection they belong to. */
export interface TransferContext {
  /** Where the coordinator is, and the session; throws when the connection is closed. */
  readonly session: () => { readonly reference: string; readonly endpoint: Endpoint };
  /** The members; `isFresh` asks the pool again. */
  readonly members: (isFresh: boolean) => Promise<readonly PoolMember[]>;
  /** Gets a new session after the pool refused the given one. */
  readonly logInAgain: (refused: string, signal: AbortSignal) => Promise<void>;
}

/** Bulk data to and from the handlers of any member. */
export class PoolTransfers {
  readonly #settings: ConnectionSettings;
  readonly #context: TransferContext;
  readonly #connect: ReturnType<typeof trustedConnector>;
  readonly #downloads: HandlerDownload;
  readonly #uploads: HandlerUpload;

  constructor(settings: ConnectionSettings, context: TransferContext, clock: Clock) {
    this.#settings = settings;
    this.#context = context;
    const limits: HandlerLimits = {
      firstByteTimeoutMs: settings.firstByteTimeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      verdictTimeoutMs: settings.callTimeoutMs,
    };
    this.#connect = trustedConnector(settings.trust, settings.connectTimeoutMs);
    const bulk = trustedConnector(settings.trust, settings.connectTimeoutMs, { readBytes: MIB });
    this.#downloads = new HandlerDownload(bulk, limits, clock);
    this.#uploads = new HandlerUpload(this.#connect, limits, clock);
  }

  async download(request: ExportRequest): Promise<Readable> {
    return await this.#withSession(request, (endpoint, handlerRequest) =>
      this.#downloads.download(endpoint, handlerRequest),
    );
  }

  async upload(request: ImportRequest): Promise<string> {
    const { body, bytes, onLeft } = request;
    try {
      return await this.#withSession(request, (endpoint, handlerRequest) =>
        this.#uploads.upload(endpoint, { ...handlerRequest, body, bytes, onLeft }),
      );
    } catch (error) {
      const { errored } = body;
      body.destroy();
      throw isBackupError(errored) ? errored : error;
    }
  }

  /** The connector has the limit of one attempt; whatever stops it, the member is not to be had from here. */
  async troubleReaching(member: string, signal: AbortSignal | undefined): Promise<unknown> {
    const { endpoint } = this.#context.session();
    try {
      const socket = await openSocket(this.#connect, await this.#memberEndpoint(member, endpoint), signal);
      socket.destroy();
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      return error;
    }
  }

  release(): void {
    this.#downloads.release();
  }

  /** Once more with a new session when the handler does not take the old one: it says so before it does anything. */
  async #withSession<T>(
    request: ExportRequest,
    work: (endpoint: Endpoint, request: HandlerRequest) => Promise<T>,
  ): Promise<T> {
    const { path, query, member, task, signal, forceHttps = false } = request;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const { reference, endpoint } = this.#context.session();
      try {
        const asked = await this.#memberEndpoint(member, endpoint);
        return await work(this.#dataEndpoint(asked, forceHttps), {
          path,
          query: { ...query, session_id: reference, task_id: task.ref },
          signal,
          verdict: task.verdict,
          redirect: (location) => this.#redirected(location, endpoint, forceHttps),
        });
      } catch (error) {
        const isRefused = isTransportError(error, 'http-status') && error.httpStatus === 401;
        if (!isRefused || attempt > 1 || isUsed(request)) throw error;
        await this.#context.logInAgain(reference, signal);
      }
    }
  }

  /**
   * Where a member takes bulk data; the coordinator when none is named. On the backup network if the pool has one. The
   * coordinator may be known to us under another address than to itself (NAT); then ours is used.
   */
  async #memberEndpoint(uuid: string | undefined, coordinator: Endpoint): Promise<Endpoint> {
    const members = await this.#context.members(false);
    const index = uuid === undefined ? 0 : members.findIndex((member) => member.uuid === uuid);
    const { address = '', dataAddress } = members[index] ?? {};
    if (dataAddress !== undefined) return { ...coordinator, host: dataAddress };
    if (index === 0) return coordinator;
    if (address === '') throw new TransportError('unreachable', `The pool has no address of its member ${uuid ?? ''}.`);
    return { ...coordinator, host: address };
  }

  #dataEndpoint({ host, port, protocol }: Endpoint, forceHttps: boolean): Endpoint {
    return this.#settings.dataTransport === 'http' && !forceHttps
      ? { protocol: 'http:', host, port: this.#settings.httpPort }
      : { protocol, host, port };
  }

  /**
   * The address behind a redirect, which must be a member of the pool: the session would go anywhere else with it. Only
   * host and port are taken; XAPI always says https and repeats our query. The coordinator may be known to us under
   * another address than to itself (NAT), then ours is used.
   */
  async #redirected(location: string, coordinator: Endpoint, forceHttps: boolean): Promise<Endpoint> {
    const url = URL.canParse(location) ? new URL(location) : undefined;
    if (url === undefined) throw new TransportError('protocol', 'The pool redirects a transfer to no address.');
    if (url.protocol !== 'https:' && this.#dataEndpoint(coordinator, forceHttps).protocol === 'https:') {
      throw new TransportError('untrusted', `The pool redirects a transfer from https to ${url.protocol}`);
    }
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const known = (await this.#memberAt(host, false)) ?? (await this.#memberAt(host, true));
    if (known === undefined && host !== coordinator.host) {
      throw new TransportError('untrusted', `The pool redirects a transfer to ${host}, which is none of its members.`);
    }
    const port = url.port === '' ? coordinator.port : Number(url.port);
    const reachable = known === undefined ? { ...coordinator, host } : await this.#memberEndpoint(known, coordinator);
    return this.#dataEndpoint({ ...reachable, port }, forceHttps);
  }

  /** UUID of the member with this address. */
  async #memberAt(host: string, isFresh: boolean): Promise<string | undefined> {
    const members = await this.#context.members(isFresh);
    return members.find(({ address, dataAddress }) => address === host || dataAddress === host)?.uuid;
  }
}

/** True when some of the body to send was read already: it cannot be sent again. */
function isUsed(request: ExportRequest | ImportRequest): boolean {
  return 'body' in request && Readable.isDisturbed(request.body);
}
