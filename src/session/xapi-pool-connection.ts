import { inject, injectable } from 'inversify';
import { type Readable } from 'node:stream';
import { Clock } from '../common/clock.js';
import { type HostLogger } from '../contract/host-services.js';
import { type NbdEndpoint } from '../xapi/nbd-endpoint.js';
import { type Endpoint } from '../xapi/tls-trust.js';
import { type XapiClient, XapiClientFactory } from '../xapi/xapi-client.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RecordClass, type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';
import { isReadOnlyMethod, NO_RECOVERY_YET, type Recovery, recoveryFor } from './call-recovery.js';
import { ConnectionSettings } from './connection-settings.js';
import {
  type CallOptions,
  type ExportRequest,
  type HandlerTask,
  type ImportRequest,
  type NbdEndpointOptions,
  type PoolAndHosts,
  type PoolConnection,
  type PoolMember,
  type TaskOptions,
} from './pool-connection.js';
import { PoolDisks } from './pool-disks.js';
import { PoolRecords } from './pool-records.js';
import { PoolTasks } from './pool-tasks.js';
import { PoolTransfers } from './pool-transfers.js';
import { RedactedLogger, Redactor } from './redact.js';
import { notOpen, orAborted, SessionKeeper } from './session-keeper.js';

/** A backup that begins right after the log-in need not ask again for what the log-in had to know. */
const SEEN_LIFETIME_MS = 10_000;

type Loose<T> = { readonly [Key in keyof T]?: T[Key] | undefined };

/** `PoolConnection` over `XapiClient`: here is only how a call survives what happens to a pool. */
@injectable()
export class XapiPoolConnection implements PoolConnection {
  readonly #settings: ConnectionSettings;
  readonly #logger: HostLogger;
  readonly #clock: Clock;
  readonly #keeper: SessionKeeper;
  readonly #records: PoolRecords;
  readonly #tasks: PoolTasks;
  readonly #transfers: PoolTransfers;
  readonly #disks: PoolDisks;
  #members: readonly PoolMember[] = [];
  #membersOf: string | undefined;
  #seen: { readonly of: string; readonly atMs: number; readonly what: PoolAndHosts } | undefined;
  #opening: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    @inject(ConnectionSettings) settings: ConnectionSettings,
    @inject(XapiClientFactory) newClient: XapiClientFactory,
    @inject(Clock) clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
    @inject(Redactor) redactor: Redactor,
  ) {
    this.#settings = settings;
    this.#logger = logger;
    this.#clock = clock;
    redactor.addSecret(settings.credentials.reveal());
    this.#keeper = new SessionKeeper(settings, newClient, clock, logger, redactor);
    const call = (method: string, args: readonly unknown[], options?: Loose<CallOptions>): Promise<unknown> =>
      this.call(method, args, options);
    this.#records = new PoolRecords(call);
    this.#tasks = new PoolTasks(call, clock, settings.callTimeoutMs);
    const context = {
      session: () => this.#session(),
      members: (isFresh: boolean) => this.#knownMembers(isFresh),
      logInAgain: (refused: string, signal: AbortSignal) => this.#logInAgain(refused, signal),
    };
    this.#transfers = new PoolTransfers(settings, context, clock);
    this.#disks = new PoolDisks(settings, {
      call,
      members: () => this.#knownMembers(false),
      coordinator: () => this.#session().endpoint,
    });
  }

  get members(): readonly PoolMember[] {
    return this.#members;
  }

  get coordinatorAddress(): string {
    return this.#keeper.current?.endpoint.host ?? this.#settings.endpoint.host;
  }

  get epoch(): number {
    return this.#keeper.epoch;
  }

  async coordinator(options: CallOptions = {}): Promise<PoolMember | undefined> {
    return (await this.#knownMembers(false, options))[0];
  }

  async open(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw notOpen();
    this.#opening ??= this.#open();
    try {
      // A log-in is never dropped half-way: a session that comes late is ended by `close`.
      await orAborted(this.#opening, signal);
    } catch (error) {
      const closed = this.close();
      if (signal?.aborted !== true) await closed;
      throw error;
    }
  }

  async call<Result>(method: string, args: readonly unknown[] = [], options: Loose<CallOptions> = {}): Promise<Result> {
    const { signal, timeoutMs = this.#settings.callTimeoutMs, onAnswered } = options;
    const isIdempotent = options.isIdempotent ?? isReadOnlyMethod(method);
    let done = NO_RECOVERY_YET;
    const fromMs = this.#clock.nowMs();
    for (;;) {
      signal?.throwIfAborted();
      const client = this.#client();
      const { session } = client;
      try {
        return (await client.call(method, args, { signal, timeoutMs, onAnswered })) as Result;
      } catch (error) {
        signal?.throwIfAborted();
        const recovery = recoveryFor(error, isIdempotent, done);
        if (recovery.action === 'give-up' || this.#closed !== undefined) {
          throw isXapiError(error) ? error.within({ fromMs, toMs: this.#clock.nowMs() }) : error;
        }
        this.#logger.debug('A call failed; it will be made again.', { method, error, action: recovery.action });
        done = {
          logins: done.logins + Number(recovery.action === 'log-in-again'),
          moves: done.moves + Number(recovery.action === 'move'),
          searches: done.searches + Number(recovery.action === 'find-coordinator'),
        };
        await this.#recover(recovery, client, session, signal);
      }
    }
  }

  async callTask(method: string, args: readonly unknown[], options?: TaskOptions): Promise<string> {
    return await this.#tasks.callTask(method, args, options);
  }

  async records<Class extends RecordClass>(
    refs: readonly { readonly cls: Class; readonly ref: RefOf<Class> }[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<string, XapiRecordTypes[Class]>> {
    return await this.#records.records(refs, options);
  }

  async record<Class extends RecordClass>(
    cls: Class,
    ref: RefOf<Class>,
    options?: CallOptions,
  ): Promise<XapiRecordTypes[Class]> {
    return await this.#records.record(cls, ref, options);
  }

  async allRecords<Class extends RecordClass>(
    cls: Class,
    options?: CallOptions,
  ): Promise<ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]>> {
    return await this.#records.allRecords(cls, options);
  }

  async allWithFields<Class extends RecordClass, Field extends keyof XapiRecordTypes[Class]>(
    cls: Class,
    fields: readonly Field[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<RefOf<Class>, Pick<XapiRecordTypes[Class], Field>>> {
    return await this.#records.allWithFields(cls, fields, options);
  }

  async poolAndHosts(options?: CallOptions): Promise<PoolAndHosts> {
    const { of, atMs, what } = this.#seen ?? {};
    const isFresh = of === this.#place() && atMs !== undefined && this.#clock.nowMs() - atMs < SEEN_LIFETIME_MS;
    return isFresh && what !== undefined ? what : await this.#lookAtPool(options);
  }

  async ownSession(options?: CallOptions): Promise<XapiRecordTypes['session']> {
    return await this.record('session', this.#session().reference as RefOf<'session'>, options);
  }

  async createTask(label: string, description: string, signal?: AbortSignal): Promise<HandlerTask> {
    return await this.#tasks.createTask(label, description, signal);
  }

  async download(request: ExportRequest): Promise<Readable> {
    return await this.#transfers.download(request);
  }

  async nbdEndpoints(vdi: RefOf<'VDI'>, options?: NbdEndpointOptions): Promise<readonly NbdEndpoint[]> {
    return await this.#disks.nbdEndpoints(vdi, options);
  }

  async troubleReaching(member: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#transfers.troubleReaching(member, signal);
  }

  async upload(request: ImportRequest): Promise<string> {
    return await this.#transfers.upload(request);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #open(): Promise<void> {
    await this.#keeper.open();
    await this.#knownMembers(true);
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#tasks.close();
    this.#transfers.release();
    await this.#keeper.close();
  }

  #client(): XapiClient {
    const client = this.#keeper.current;
    if (client === undefined) throw notOpen();
    return client;
  }

  #session(): { reference: string; endpoint: Endpoint } {
    const { session, endpoint } = this.#client();
    if (session === undefined) throw notOpen();
    return { reference: session, endpoint };
  }

  async #recover(
    recovery: Exclude<Recovery, { action: 'give-up' }>,
    client: XapiClient,
    session: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (recovery.action === 'move') {
      this.#keeper.moveTo(recovery.host, client);
      return;
    }
    const others = this.#members.map(({ address }) => this.#keeper.endpointOf(address));
    const hosts = [...others, this.#settings.endpoint];
    const isDead = recovery.action === 'log-in-again';
    await this.#keeper.renew({ client, session, isDead }, hosts, signal);
  }

  async #logInAgain(refused: string, signal: AbortSignal): Promise<void> {
    const client = this.#client();
    await this.#recover({ action: 'log-in-again' }, client, refused, signal);
  }

  async #lookAtPool(options?: CallOptions): Promise<PoolAndHosts> {
    const seen = { of: this.#place(), atMs: this.#clock.nowMs() };
    const what = await this.#records.poolAndHosts(options);
    this.#seen = { ...seen, what };
    return what;
  }

  /** Whom we talk to, and by which session. */
  #place(): string {
    const { session = '', endpoint } = this.#client();
    return `${session}@${endpoint.host}`;
  }

  /** Asks again after a log-in or a move: the coordinator may be another one by then. */
  async #knownMembers(isFresh: boolean, options?: CallOptions): Promise<readonly PoolMember[]> {
    const now = this.#place();
    if (isFresh || now !== this.#membersOf) {
      this.#members = await this.#records.members(await this.#lookAtPool(options), options);
      this.#membersOf = now;
    }
    return this.#members;
  }
}
