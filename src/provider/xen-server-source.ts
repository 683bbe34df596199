import { inject, injectable, multiInject } from 'inversify';
import { type Observable } from 'rxjs';
import { BackupHandler } from '../backup/backup-handler.js';
import { BaseKeeper } from '../backup/base-keeper.js';
import { InventoryBrowser } from '../browser/inventory-browser.js';
import { Clock } from '../common/clock.js';
import {
  type BackupEstimate,
  type BackupEvent,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type BackupSource,
  BackupError,
  type CheckLine,
  type HostLogger,
  type Options,
  type ReconcileReport,
  type ResolvedSource,
  type RestoreEvent,
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
  type SourceBrowser,
} from '../contract/index.js';
import { KindRestoreHandler } from '../restore/restore-handler.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { watchCoordinator } from '../session/coordinator-watch.js';
import { assertOutsidePool } from '../session/data-mover.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger, Redactor } from '../session/redact.js';
import { PROVIDER_ID, SourceIdentity } from '../session/source-identity.js';
import { guardedMedia, guardedSink } from '../transfer/guarded-media.js';
import { Operations } from './operations.js';
import { PoolCheck } from './pool-check.js';
import { Reconciler } from './reconciler.js';
import { assertBackupRequest, assertRestoreRequest } from './request-check.js';
import { toBackupError } from './to-backup-error.js';

const PLAIN_HTTP = {
  code: 'PLAIN_HTTP',
  message:
    'Bulk data of this client goes over plain http: data and session references can be read on the network. ' +
    'Set dataTransport to https, or use the option http=https.',
};

type EmitWarning = (event: { type: 'warning'; code: string; message: string; atMs: number }) => void;

/** One open client: hands each request to the part that knows, and speaks the contract's language. No algorithm. */
@injectable()
export class XenServerSource implements BackupSource {
  readonly browser: SourceBrowser;
  readonly #operations: Operations;
  readonly #logger: HostLogger;
  #hasWarnedOfHttp = false;
  #closed: Promise<void> | undefined;
  #onClosed: () => void = () => undefined;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(InventoryBrowser) browser: SourceBrowser,
    @multiInject(BackupHandler) private readonly backups: readonly BackupHandler[],
    @multiInject(KindRestoreHandler) private readonly restores: readonly KindRestoreHandler[],
    @inject(PoolCheck) private readonly checks: PoolCheck,
    @inject(Reconciler) private readonly reconciler: Reconciler,
    @inject(BaseKeeper) private readonly bases: BaseKeeper,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
    @inject(Redactor) redactor: Redactor,
  ) {
    this.#operations = new Operations(
      () => clock.nowMs(),
      (error) => redactor.error(error),
    );
    this.#logger = logger.child({ part: 'source' });
    this.browser = {
      list: (path, query = {}) =>
        this.#operations.run((signal) => browser.list(path, { ...query, signal }), query.signal),
    };
  }

  /**
   * Logs in. Called once, before anything else.
   * @throws {BackupError} CONFIG_INVALID when this machine is a host of the pool; what a log-in fails with.
   */
  async open(signal?: AbortSignal): Promise<void> {
    await this.#operations.run(async (all) => {
      await this.pool.open(all);
      assertOutsidePool(this.identity.mover, this.pool.members);
    }, signal);
    this.#logger.info('Open.', { coordinator: this.pool.coordinatorAddress, members: this.pool.members.length });
  }

  check(signal?: AbortSignal): Promise<readonly CheckLine[]> {
    return this.#operations.run((all) => this.checks.run(all), signal);
  }

  resolve(names: readonly string[], signal?: AbortSignal): Promise<readonly ResolvedSource[]> {
    return this.#operations.run(async (all) => {
      const resolved: ResolvedSource[] = [];
      for (const name of names) resolved.push(...(await this.#expand(name, all)));
      return resolved;
    }, signal);
  }

  estimate(request: BackupRequest): Promise<BackupEstimate> {
    return this.#operations.run(async (signal) => {
      assertBackupRequest(request);
      const { handler, source } = await this.#handlerOf(request.source, signal);
      return await handler.estimate(source, { ...request, signal });
    }, request.signal);
  }

  backup(request: BackupRequest, sink: BackupSink): Observable<BackupEvent> {
    return this.#operations.observe<BackupEvent, BackupReport>(
      async (emit, signal) => {
        assertBackupRequest(request);
        this.#warnOfHttp(request.options, emit);
        emit({ type: 'phase-entered', phase: 'resolve', atMs: this.clock.nowMs() });
        const { result: report, warnings } = await this.#watched(emit, signal, async () => {
          const { handler, source } = await this.#handlerOf(request.source, signal);
          this.#logger.info('Backup begins.', { source: source.path, saveset: request.savesetId });
          return await handler.backup(source, request, guardedSink(sink), emit, signal);
        });
        const { transferredBytes, elapsedMs, record } = report;
        this.#logger.info('Backup done.', { saveset: request.savesetId, transferredBytes, elapsedMs });
        return { ...report, record: { ...record, warnings: [...record.warnings, ...warnings] } };
      },
      request.signal,
      { discard: ({ record }) => this.#discardUnheard(record) },
    );
  }

  /** Moves the base of later increments; a saveset that is one archive has none. Repeating it does nothing. */
  settle(record: SavesetRecord, outcome: 'stored' | 'discarded'): Promise<void> {
    return this.#operations.run(async (signal) => {
      await this.bases.settle(record, outcome, signal);
      this.#logger.info('Saveset settled.', { saveset: record.savesetId, outcome });
    });
  }

  /** Its own signal is over by then, and nobody but the log hears of a failure. */
  async #discardUnheard(record: SavesetRecord): Promise<void> {
    const saveset = record.savesetId;
    try {
      await this.bases.settle(record, 'discarded', new AbortController().signal);
      this.#logger.info('Nobody waited for the end of the backup: it leaves no base.', { saveset });
    } catch (error) {
      const { message } = toBackupError(error);
      this.#logger.warn(`The base of a backup for whose end nobody waited is left: ${message}`, {
        code: 'LEFTOVER',
        saveset,
      });
    }
  }

  planRestore(request: RestoreRequest, record: SavesetRecord): Promise<RestorePlan> {
    return this.#operations.run(async (signal) => {
      assertRestoreRequest(request);
      return await this.#restorerOf(record).planRestore(request, record, signal);
    }, request.signal);
  }

  restore(request: RestoreRequest, media: RestoreMedia): Observable<RestoreEvent> {
    return this.#operations.observe<RestoreEvent, RestoreReport>(
      async (emit, signal) => {
        assertRestoreRequest(request);
        this.#warnOfHttp(request.options, emit);
        const saveset = media.record.savesetId;
        this.#logger.info('Restore begins.', { saveset, mode: request.mode });
        const restorer = this.#restorerOf(media.record);
        const { result: report, warnings } = await this.#watched(emit, signal, () =>
          restorer.restore(request, guardedMedia(media), emit, signal),
        );
        this.#logger.info('Restore done.', { saveset, target: report.targetId, elapsedMs: report.elapsedMs });
        return { ...report, warnings: [...report.warnings, ...warnings] };
      },
      request.signal,
      { fallback: 'RESTORE_FAILED' },
    );
  }

  reconcile(signal?: AbortSignal): Promise<ReconcileReport> {
    return this.#operations.run((all) => this.reconciler.run(all), signal);
  }

  /** Cancels what still runs, waits for its clean-up, logs out. Closing again waits for the same. */
  close(): Promise<void> {
    this.#closed ??= this.#operations
      .close()
      .then(() => this.pool.close())
      .finally(() => {
        this.#onClosed();
      });
    return this.#closed;
  }

  /** Has somebody told once the source is closed. */
  onClosed(listener: () => void): void {
    this.#onClosed = listener;
  }

  async #expand(name: string, signal: AbortSignal): Promise<readonly ResolvedSource[]> {
    for (const handler of this.backups) {
      const sources = await handler.expand?.(name, signal);
      if (sources !== undefined) return sources;
    }
    return [(await this.#handlerOf(name, signal)).source];
  }

  async #handlerOf(name: string, signal: AbortSignal): Promise<{ handler: BackupHandler; source: ResolvedSource }> {
    for (const handler of this.backups) {
      const source = await handler.resolve(name, signal);
      if (source !== undefined) return { handler, source };
    }
    throw new BackupError('OBJECT_NOT_SUPPORTED', `"${name}" can't be backed up.`, {
      hint: `This version saves: ${this.backups.map(({ kind }) => kind).join(', ')}.`,
    });
  }

  #restorerOf(record: SavesetRecord): KindRestoreHandler {
    const handler = this.restores.find(({ kind }) => kind === record.source.kind);
    if (handler !== undefined && record.providerId === PROVIDER_ID) return handler;
    throw new BackupError('SAVESET_INVALID', `The saveset is of ${record.providerId}/${record.source.kind}.`, {
      hint: 'It was written by another provider or by a newer version.',
      context: { saveset: record.savesetId },
    });
  }

  /** Whoever reads a result should know that the coordinator went in the middle; it explains what took long or failed. */
  async #watched<Report>(
    emit: EmitWarning,
    signal: AbortSignal,
    work: () => Promise<Report>,
  ): Promise<{ result: Report; warnings: readonly { code: string; message: string }[] }> {
    const changeSince = await watchCoordinator(this.pool, signal);
    const tell = async (): Promise<readonly { code: string; message: string }[]> => {
      const change = await changeSince();
      if (change === undefined) return [];
      this.#logger.warn(change.message, { code: change.code });
      emit({ type: 'warning', ...change, atMs: this.clock.nowMs() });
      return [change];
    };
    try {
      const result = await work();
      return { result, warnings: await tell() };
    } catch (error) {
      await tell();
      throw error;
    }
  }

  #warnOfHttp(options: Options | undefined, emit: EmitWarning): void {
    if (this.settings.dataTransport === 'https' || options?.http === 'https' || this.#hasWarnedOfHttp) return;
    this.#hasWarnedOfHttp = true;
    this.#logger.warn(PLAIN_HTTP.message, { code: PLAIN_HTTP.code, client: this.identity.clientName });
    emit({ type: 'warning', ...PLAIN_HTTP, atMs: this.clock.nowMs() });
  }
}
