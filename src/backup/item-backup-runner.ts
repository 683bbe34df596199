import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import {
  type BackupPhase,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type HostLogger,
  type ResolvedSource,
  type SavesetItem,
  type SavesetRecord,
} from '../contract/index.js';
import { RedactedLogger } from '../session/redact.js';
import { PROVIDER_ID, SourceIdentity } from '../session/source-identity.js';
import { OperationRun } from '../transfer/operation-run.js';
import { type BackupProgressEvent } from './backup-handler.js';
import { parseFullOnly } from './backup-options.js';
import { type ExportTools, ItemExporter, type ItemLabel, type ItemOrder } from './item-exporter.js';
import { loadPoolFacts, type PoolFacts, poolName } from './pool-facts.js';
import { ConnectionSettings, dataTransportOf } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';

/** What a handler can do while its backup runs. */
export interface ItemBackup {
  readonly facts: PoolFacts;
  readonly startedAtMs: number;
  readonly signal: AbortSignal;
  /**
   * Saves one answer of the pool, in the order of the calls. The order is asked for once more when the answer was lost with
   * the coordinator: its check must know nothing of before.
   */
  save(newOrder: () => Omit<ItemOrder, 'forceHttps'>): Promise<void>;
  /** Saves a text. */
  write(label: ItemLabel, text: string): Promise<void>;
}

export interface ItemBackupOrder {
  readonly source: ResolvedSource;
  readonly request: BackupRequest;
  readonly sink: BackupSink;
  readonly emit: (event: BackupProgressEvent) => void;
  readonly signal: AbortSignal;
}

/** The story of a backup that is a few answers of the pool: check, transfer, verify, release. Makes nothing in the pool. */
@injectable()
export class ItemBackupRunner {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ItemExporter) private readonly exporter: ItemExporter,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'backup' });
  }

  /**
   * @param check looks at the pool before anything moves.
   * @param work saves the items and returns what the record keeps as `details`.
   */
  async run(
    { source, request, sink, emit, signal }: ItemBackupOrder,
    check: (facts: PoolFacts) => Promise<void>,
    work: (backup: ItemBackup) => Promise<SavesetRecord['details']>,
  ): Promise<BackupReport> {
    const run = new OperationRun<BackupPhase>({
      savesetId: request.savesetId,
      emit,
      signal,
      clock: this.clock,
      logger: this.#logger,
      leftoverEnding: '.',
    });
    const { cleanup, enter, meter, startedAtMs } = run;
    const items: SavesetItem[] = [];
    const tools: ExportTools = { sink, meter, cleanup, signal };
    const { facts, details, forceHttps } = await run.complete(async () => {
      enter('check');
      const { forceHttps } = parseFullOnly(request);
      const facts = await loadPoolFacts(this.pool, signal);
      await check(facts);
      enter('transfer');
      const details = await work({
        facts,
        startedAtMs,
        signal,
        save: async (newOrder) => {
          items.push(await this.exporter.exportAnew(() => ({ ...newOrder(), forceHttps }), tools));
        },
        write: async (label, text) => {
          items.push(await this.exporter.write(label, text, tools));
        },
      });
      // Each item was checked as it flowed; this is where a reader of events learns that all of them were.
      enter('verify');
      return { facts, details, forceHttps };
    });
    return {
      record: this.#record({ source, request, startedAtMs, facts, items, warnings: run.warnings, details }),
      transferredBytes: meter.transferredBytes,
      elapsedMs: run.elapsedMs,
      dataTransport: dataTransportOf(this.settings, forceHttps),
    };
  }

  #record(saved: {
    readonly source: ResolvedSource;
    readonly request: BackupRequest;
    readonly startedAtMs: number;
    readonly facts: PoolFacts;
    readonly items: SavesetItem[];
    readonly warnings: SavesetRecord['warnings'];
    readonly details: SavesetRecord['details'];
  }): SavesetRecord {
    const { source, request, startedAtMs, facts, items, warnings, details } = saved;
    const { path, kind, id, displayName } = source;
    return {
      version: 1,
      savesetId: request.savesetId,
      providerId: PROVIDER_ID,
      createdAt: new Date(startedAtMs).toISOString(),
      completedAt: new Date(this.clock.nowMs()).toISOString(),
      source: { path, kind, id, displayName, originId: facts.pool.uuid, originName: poolName(facts) },
      level: 'full',
      // Taken from a system at work: what was being written at that moment is as after a power failure.
      consistency: 'crash',
      items,
      disks: [],
      warnings,
      moverHost: this.identity.moverHost,
      details,
    };
  }
}
