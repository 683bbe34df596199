import { inject, injectable } from 'inversify';
import {
  BackupError,
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { DatabaseDumpReader } from '../format/database-dump-reader.js';
import { DATABASE_ITEM, type PoolDetails, poolDetailsSchema } from '../format/pool-details.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type FlowCheck } from '../transfer/checked-stream.js';
import { type HostRecord } from '../xapi/xapi-records.js';
import { type ItemRestore, type ItemRestoreOutcome, ItemRestoreRunner } from './item-restore-runner.js';
import { type KindRestoreHandler, type RestoreProgressEvent } from './restore-handler.js';
import { type SystemRestoreDecision, systemRestorePlan, tryThenReplace } from './system-restore-decision.js';
import { isConfirmed, itemOf, parseSystemDetails, parseSystemRestore } from './system-restore-options.js';

const WHAT = 'The metadata of a pool';

interface Decided extends SystemRestoreDecision {
  readonly details: PoolDetails;
}

/** Pool metadata: asks the pool first, and puts the database back only when the pool's UUID was named. */
@injectable()
export class PoolMetadataRestoreHandler implements KindRestoreHandler {
  readonly kind = 'pool';

  constructor(
    @inject(PoolConnection) private readonly connection: PoolConnection,
    @inject(ItemRestoreRunner) private readonly runner: ItemRestoreRunner,
  ) {}

  async planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    const decided = await this.#decide(request, record, signal);
    const { item, targetName } = decided;
    return systemRestorePlan(
      decided,
      {
        action: 'dry-run',
        description: `Ask "${targetName}" whether it would take the database; it changes nothing.`,
      },
      { name: 'the database of the pool itself', neededBytes: item.bytes },
    );
  }

  restore(
    request: RestoreRequest,
    media: RestoreMedia,
    emit: (event: RestoreProgressEvent) => void,
    signal: AbortSignal,
  ): Promise<RestoreReport> {
    return this.runner.run(media, emit, signal, (restore) => this.#restore(request, media.record, restore));
  }

  async #restore(request: RestoreRequest, record: SavesetRecord, restore: ItemRestore): Promise<ItemRestoreOutcome> {
    const decided = await this.#decide(request, record, restore.signal);
    const { item, wish, details, targetName } = decided;
    const target = { path: '/pool/xmldbdump', forceHttps: wish.forceHttps };
    const title = `database of ${targetName}`;
    const send = (query: Readonly<Record<string, string>>, what: string): Promise<void> =>
      restore.send(item, databaseCheck(details), { ...target, query }, what);
    return await tryThenReplace(
      decided,
      restore,
      { replaced: 'POOL_REPLACED', triedWell: 'The pool would take the database.' },
      () => send({ dry_run: 'true' }, `${title}, dry run`),
      () => send({}, title),
    );
  }

  async #decide(request: RestoreRequest, record: SavesetRecord, signal: AbortSignal | undefined): Promise<Decided> {
    const wish = parseSystemRestore(request, record, WHAT);
    const details = parseSystemDetails(poolDetailsSchema, record);
    const item = itemOf(record, DATABASE_ITEM);
    const options = signal === undefined ? {} : { signal };
    const [pools, hosts] = await Promise.all([
      this.connection.allRecords('pool', options),
      this.connection.allRecords('host', options),
    ]);
    const [pool] = pools.values();
    if (pool === undefined) throw new BackupError('SOURCE_FAILED', 'The pool does not say what it is.');
    const coordinator = hosts.get(pool.master);
    const name = pool.name_label === '' ? (coordinator?.name_label ?? '') : pool.name_label;
    return {
      wish,
      details,
      item,
      targetId: pool.uuid,
      targetName: name,
      isConfirmed: isConfirmed(wish.confirm, pool.uuid, `the pool "${name}"`),
      consequences: consequencesOf(details, name, coordinator, [...hosts.values()], record),
      warnings:
        pool.uuid === details.pool.uuid
          ? []
          : [
              {
                code: 'OTHER_POOL',
                message: `The backup is of the pool "${details.pool.name}" (${details.pool.uuid}); "${name}" is another one and will become that pool.`,
              },
            ],
    };
  }
}

/** Facts 6.2, as sentences about this pool. */
function consequencesOf(
  details: PoolDetails,
  name: string,
  coordinator: HostRecord | undefined,
  hosts: readonly HostRecord[],
  { createdAt }: SavesetRecord,
): readonly string[] {
  const members = hosts.filter(({ uuid }) => uuid !== coordinator?.uuid).map(({ name_label: label }) => label);
  const gone = details.hosts.filter(({ uuid }) => uuid !== details.coordinator.uuid).map((host) => host.name);
  const dropped = [...new Set([...members, ...gone])];
  const kept = coordinator?.name_label ?? details.coordinator.name;
  return [
    `The database of "${name}" becomes that of ${createdAt}: everything made or changed in the pool since then is forgotten.`,
    ...(dropped.length === 0
      ? []
      : [`Only the coordinator is kept; ${dropped.map((host) => `"${host}"`).join(', ')} must join the pool again.`]),
    `The host "${kept}" reboots about 30 seconds later; machines that run on it stop.`,
  ];
}

/** A fresh reader for each reading; the dump must be the one that the record describes. */
function databaseCheck({ database, pool }: PoolDetails): FlowCheck {
  const reader = new DatabaseDumpReader();
  return {
    push: (chunk) => {
      reader.push(chunk);
    },
    end: () => {
      const { schemaMajor, schemaMinor, poolIds } = reader.end();
      const isSame = schemaMajor === database.schemaMajor && schemaMinor === database.schemaMinor;
      if (isSame && poolIds.includes(pool.uuid)) return;
      throw new BackupError('SAVESET_INVALID', 'The database is not the one that the record describes.', {
        hint: 'The record or the item was exchanged. Use another saveset.',
      });
    },
  };
}
