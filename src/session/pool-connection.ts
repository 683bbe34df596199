import { type Readable } from 'node:stream';
import { type ServiceIdentifier } from 'inversify';
import { type NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default: the client's `callTimeoutMs` setting. */
  readonly timeoutMs?: number;
  /**
   * True when repeating the call does no harm: then it is repeated after a lost connection or a moved coordinator.
   * Default: true for `*.get_*` and the like, false for everything else.
   */
  readonly isIdempotent?: boolean;
  /**
   * Called when an answer has come in whole, before it is read: a call that is made in it is sent first, so that the pool
   * works while we read a large answer. Called again for each repetition of the call.
   */
  readonly onAnswered?: () => void;
}

export interface TaskOptions extends CallOptions {
  /** 0..1, as the pool says. */
  readonly onProgress?: (fraction: number) => void;
}

export interface NbdEndpointOptions extends CallOptions {
  /** True: only over TLS, whatever the client's `dataTransport` setting says. Default false. */
  readonly forceTls?: boolean;
}

/** A task that we made for an HTTP handler. The handler completes it; whoever made it follows and destroys it. */
export interface HandlerTask {
  readonly ref: RefOf<'task'>;
  readonly uuid: string;
  /**
   * The pool's verdict: resolves with the raw result text, rejects with `XapiError`. Starts following at once; the
   * rejection is never unhandled. Aborting the signal cancels the task in the pool.
   */
  readonly verdict: Promise<string>;
  /**
   * Cancels a pending task and resolves when the pool has ended it, or after `limitMs`; a signal does not shorten that. Never
   * rejects. A pool that was told to cancel works on for a moment, and takes away what it had made.
   */
  settled(limitMs: number): Promise<void>;
  /** Ends following; a pending task is cancelled and marked failed; then it is destroyed. Never rejects. */
  release(): Promise<void>;
}

export interface ExportRequest {
  /** Handler path: `/export`, `/export_metadata`, ... */
  readonly path: string;
  /** Without session_id and task_id, which are added. */
  readonly query: Readonly<Record<string, string>>;
  /** UUID of the member that is asked. Default: the coordinator. */
  readonly member?: string;
  readonly task: HandlerTask;
  readonly signal: AbortSignal;
  /** True: over https whatever the client's `dataTransport` setting says. Default false. */
  readonly forceHttps?: boolean;
}

export interface ImportRequest extends ExportRequest {
  readonly body: Readable;
  /** Exact; undefined when it can't be known. */
  readonly bytes: number | undefined;
  /** Told of each piece of the body that was sent, in order, when nobody looks at its memory any more: its length. */
  readonly onLeft?: (bytes: number) => void;
}

export interface PoolMember {
  readonly uuid: string;
  readonly name: string;
  readonly hostname: string;
  readonly address: string;
  /** Its address on the network that the pool keeps for backups (`xo:backupNetwork`); undefined when there is none. */
  readonly dataAddress: string | undefined;
}

/** The pool itself and its members. */
export interface PoolAndHosts {
  readonly pool: XapiRecordTypes['pool'] | undefined;
  readonly hosts: ReadonlyMap<RefOf<'host'>, XapiRecordTypes['host']>;
  readonly hostMetrics: ReadonlyMap<RefOf<'host_metrics'>, XapiRecordTypes['host_metrics']>;
}

/**
 * The pool as one thing to talk to. Logs in once, follows the coordinator wherever it goes (at login and later), logs
 * in again when the session died, repeats only what may be repeated, and logs out on `close`.
 * Every rejection is a `XapiError`, a transport error of `xapi/`, or the signal's reason, unless it says otherwise.
 */
export interface PoolConnection {
  open(signal?: AbortSignal): Promise<void>;
  /** Members as known since the last login, coordinator first. */
  readonly members: readonly PoolMember[];
  /** Host name or address that we talk to now. */
  readonly coordinatorAddress: string;
  /**
   * Grows with every new session and every move to another coordinator. What began under another number may have been
   * lost with the coordinator of that time.
   */
  readonly epoch: number;
  /** The member that is the coordinator now; asks the pool only when the number has grown. */
  coordinator(options?: CallOptions): Promise<PoolMember | undefined>;
  call<Result>(method: string, args?: readonly unknown[], options?: CallOptions): Promise<Result>;
  /** Runs `Async.<method>`, follows its task to the end, destroys the task, gives the decoded result. */
  callTask(method: string, args: readonly unknown[], options?: TaskOptions): Promise<string>;
  /**
   * Records of many objects in one round trip, whatever their classes. Objects that are gone are left out.
   */
  records<Class extends keyof XapiRecordTypes>(
    refs: readonly { readonly cls: Class; readonly ref: RefOf<Class> }[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<string, XapiRecordTypes[Class]>>;
  record<Class extends keyof XapiRecordTypes>(
    cls: Class,
    ref: RefOf<Class>,
    options?: CallOptions,
  ): Promise<XapiRecordTypes[Class]>;
  allRecords<Class extends keyof XapiRecordTypes>(
    cls: Class,
    options?: CallOptions,
  ): Promise<ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]>>;
  /** Of all objects of a class the named fields only: what is left out of a large pool's answer is not kept in memory. */
  allWithFields<Class extends keyof XapiRecordTypes, Field extends keyof XapiRecordTypes[Class]>(
    cls: Class,
    fields: readonly Field[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<RefOf<Class>, Pick<XapiRecordTypes[Class], Field>>>;
  /** The pool and its hosts, as they were a few seconds ago at most. */
  poolAndHosts(options?: CallOptions): Promise<PoolAndHosts>;
  /** The record of the session that we hold: who we are to the pool, and what we may do. Its reference stays hidden. */
  ownSession(options?: CallOptions): Promise<XapiRecordTypes['session']>;
  createTask(label: string, description: string, signal?: AbortSignal): Promise<HandlerTask>;
  /**
   * GET of a handler. Follows one redirect, within trust. Resolves when the status is known to be 200; the body carries
   * the inactivity limits. Rejects with the task's error when only the task knows it.
   */
  download(request: ExportRequest): Promise<Readable>;
  /**
   * Where the disk can be read by NBD, best first: on the network for backups if the pool has one, those that answer
   * before those that don't. Empty when no network of the pool is for NBD, or the release has none: read it another way.
   * The session is inside: ask again after a log-in, and for each reconnection. `VDI_INCOMPATIBLE_TYPE` when the disk has
   * no data.
   */
  nbdEndpoints(vdi: RefOf<'VDI'>, options?: NbdEndpointOptions): Promise<readonly NbdEndpoint[]>;
  /** What keeps a connection to the member, its certificate checked, from opening within the client's limit, if anything. */
  troubleReaching(member: string, signal?: AbortSignal): Promise<unknown>;
  /**
   * PUT to a handler. Finds the right member first (redirects) without losing a byte of the body. Resolves with the task's
   * result. Rejects with what ended the body when that is a `BackupError`: it says more than what the pool makes of data
   * that breaks off. The body is destroyed then.
   */
  upload(request: ImportRequest): Promise<string>;
  close(): Promise<void>;
}

export const PoolConnection = Symbol('PoolConnection') as ServiceIdentifier<PoolConnection>;
