import { inject, injectable } from 'inversify';
import { isPoolName, POOL_PATH } from '../browser/pool-source-name.js';
import {
  BackupError,
  type BackupEstimate,
  type BackupReport,
  type BackupRequest,
  type BackupSink,
  type ResolvedSource,
  type SavesetRecord,
} from '../contract/index.js';
import { DatabaseDumpReader, type DatabaseDumpSummary } from '../format/database-dump-reader.js';
import { type XvaArchive } from '../format/ova-xml.js';
import { DATABASE_ITEM, MACHINES_ITEM, type PoolDetails, RUNBOOK_ITEM } from '../format/pool-details.js';
import { XvaReader } from '../format/xva-reader.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type BackupHandler, type BackupProgressEvent } from './backup-handler.js';
import { parseFullOnly } from './backup-options.js';
import { type ItemBackup, ItemBackupRunner } from './item-backup-runner.js';
import { hostFacts, loadPoolFacts, type PoolFacts, poolName, releaseOf } from './pool-facts.js';
import { poolRunbook } from './runbook.js';

/** What is known of the items once they have been read. */
interface Seen {
  database?: DatabaseDumpSummary;
  machines?: number;
}

/** The pool's database, and the records of all machines without their disks. */
@injectable()
export class PoolMetadataBackupHandler implements BackupHandler {
  readonly kind = 'pool';

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ItemBackupRunner) private readonly runner: ItemBackupRunner,
  ) {}

  async resolve(name: string, signal?: AbortSignal): Promise<ResolvedSource | undefined> {
    if (!isPoolName(name)) return undefined;
    const facts = await loadPoolFacts(this.pool, signal);
    return { path: POOL_PATH, kind: this.kind, id: facts.pool.uuid, displayName: `${poolName(facts)} metadata` };
  }

  /** Nobody can say how large a database is before it has been sent. */
  estimate(source: ResolvedSource, request: BackupRequest): Promise<BackupEstimate> {
    parseFullOnly(request);
    return Promise.resolve({ source, level: 'full', expectedBytes: 0, expectedIs: 'unknown', disks: [] });
  }

  backup(
    source: ResolvedSource,
    request: BackupRequest,
    sink: BackupSink,
    emit: (event: BackupProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<BackupReport> {
    const order = { source, request, sink, emit, signal };
    return this.runner.run(
      order,
      () => Promise.resolve(),
      (backup) => this.#save(backup),
    );
  }

  async #save(backup: ItemBackup): Promise<SavesetRecord['details']> {
    const { facts } = backup;
    const seen: Seen = {};
    await backup.save(() => {
      const database = new DatabaseDumpReader();
      return {
        name: DATABASE_ITEM,
        kind: 'pool-database',
        mediaType: 'application/xml',
        title: `database of ${poolName(facts)}`,
        path: '/pool/xmldbdump',
        query: {},
        check: {
          push: (chunk) => {
            database.push(chunk);
          },
          end: () => {
            seen.database = database.end();
            assertOfPool(seen.database, facts);
          },
        },
      };
    });
    await backup.save(() => {
      const archive = new XvaReader({ hasDiskData: false });
      return {
        name: MACHINES_ITEM,
        kind: 'machine-metadata',
        mediaType: 'application/x-xva',
        title: `machine records of ${poolName(facts)}`,
        path: '/export_metadata',
        query: { all: 'true' },
        check: {
          push: (chunk) => {
            archive.push(chunk);
          },
          end: () => {
            seen.machines = countMachines(archive.end().archive);
          },
        },
      };
    });
    const details = poolDetails(facts, seen);
    const runbook = poolRunbook(details, new Date(backup.startedAtMs).toISOString());
    await backup.write({ name: RUNBOOK_ITEM, kind: 'runbook', mediaType: 'text/plain; charset=utf-8' }, runbook);
    return { ...details, runbook };
  }
}

/**
 * The dump must be this pool's. While a pool is being upgraded it gives out a document that is whole and has nothing in it.
 * @throws {BackupError} SOURCE_BUSY, DATA_DAMAGED.
 */
function assertOfPool({ poolIds, hostIds }: DatabaseDumpSummary, { pool, coordinator }: PoolFacts): void {
  if (poolIds.length === 0 || hostIds.length === 0) {
    throw new BackupError(
      'SOURCE_BUSY',
      'The pool gave out an empty database, as it does while it is being upgraded.',
      {
        hint: 'Finish the upgrade of all hosts, then run the backup again.',
        isRetriable: true,
        context: { poolRows: poolIds.length, hostRows: hostIds.length },
      },
    );
  }
  if (poolIds.includes(pool.uuid) && hostIds.includes(coordinator.uuid)) return;
  throw new BackupError('DATA_DAMAGED', 'The database that the pool gave out is not its own.', {
    hint: 'Run the backup again. If it fails again, look at the log of the coordinator.',
    context: { expected: [pool.uuid, coordinator.uuid], found: [...poolIds, ...hostIds] },
  });
}

/** Machines and templates, not their snapshots and not the control domains. */
function countMachines({ objects }: XvaArchive): number {
  return objects.filter(({ class: cls, snapshot: vm }) => {
    return cls === 'VM' && vm.is_a_snapshot !== true && vm.is_control_domain !== true;
  }).length;
}

function poolDetails(facts: PoolFacts, { database, machines = 0 }: Seen): Omit<PoolDetails, 'runbook'> {
  const { pool, coordinator, hosts } = facts;
  return {
    version: 1,
    pool: { uuid: pool.uuid, name: poolName(facts) },
    coordinator: hostFacts(coordinator),
    hosts: [...hosts.values()].map(hostFacts),
    database: {
      schemaMajor: database?.schemaMajor ?? 0,
      schemaMinor: database?.schemaMinor ?? 0,
      generation: database?.generation ?? 0,
      rows: Object.fromEntries(database?.rowCounts ?? []),
    },
    machines,
    release: releaseOf(coordinator),
  };
}
