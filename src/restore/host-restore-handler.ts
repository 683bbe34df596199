import { inject, injectable } from 'inversify';
import { resolveHost } from '../browser/pool-source-name.js';
import {
  BackupError,
  type RestoreMedia,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../contract/index.js';
import { HostArchiveReader } from '../format/host-archive-reader.js';
import { HOST_ITEM, type HostDetails, hostDetailsSchema } from '../format/pool-details.js';
import { PoolConnection } from '../session/pool-connection.js';
import { unreachableHost } from '../session/unreachable-host.js';
import { type FlowCheck } from '../transfer/checked-stream.js';
import { type HostRecord } from '../xapi/xapi-records.js';
import { type ItemRestore, type ItemRestoreOutcome, ItemRestoreRunner } from './item-restore-runner.js';
import { type KindRestoreHandler, type RestoreProgressEvent } from './restore-handler.js';
import {
  isConfirmed,
  itemOf,
  parseSystemDetails,
  parseSystemRestore,
  type SystemRestoreWish,
} from './system-restore-options.js';
import { type SystemRestoreDecision, systemRestorePlan, tryThenReplace } from './system-restore-decision.js';

const WHAT = 'The backup of a host';

interface Decided extends SystemRestoreDecision {
  readonly details: HostDetails;
}

/** A host's control domain: read through first, and put on the host only when the host's UUID was named. */
@injectable()
export class HostRestoreHandler implements KindRestoreHandler {
  readonly kind = 'host';

  constructor(
    @inject(PoolConnection) private readonly connection: PoolConnection,
    @inject(ItemRestoreRunner) private readonly runner: ItemRestoreRunner,
  ) {}

  async planRestore(request: RestoreRequest, record: SavesetRecord, signal?: AbortSignal): Promise<RestorePlan> {
    const decided = await this.#decide(request, record, signal);
    const { item, details, targetName } = decided;
    const { unpackedBytes: neededBytes } = details.archive;
    return systemRestorePlan(
      decided,
      { action: 'verify', description: `Read ${item.name} through and unpack it, to see that it is whole.` },
      // The partition is formatted by the host; nobody tells its size.
      { name: `the backup partition of ${targetName}`, neededBytes },
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
    const { item, wish, details, targetId: member, targetName: name } = decided;
    const target = { path: '/host_restore', query: {}, member, forceHttps: wish.forceHttps };
    return await tryThenReplace(
      decided,
      restore,
      { replaced: 'HOST_REPLACED', triedWell: 'The backup is whole.' },
      // The host formats its partition before it has seen all of the archive: whether it is whole must be known by then.
      () => withArchive(details, (check) => restore.read(item, check, `control domain of ${name}, read through`)),
      () => withArchive(details, (check) => restore.send(item, check, target, `control domain of ${name}`)),
    );
  }

  async #decide(request: RestoreRequest, record: SavesetRecord, signal: AbortSignal | undefined): Promise<Decided> {
    const wish = parseSystemRestore(request, record, WHAT);
    const details = parseSystemDetails(hostDetailsSchema, record);
    const item = itemOf(record, HOST_ITEM);
    const hosts = await this.connection.allRecords('host', signal === undefined ? {} : { signal });
    const host = targetHost(wish, details, [...hosts.values()], record);
    const { uuid, name_label: name } = host;
    const trouble = await this.connection.troubleReaching(uuid, signal);
    if (trouble !== undefined) throw unreachableHost(`The host "${name}" can't get the backup`, host, trouble);
    return {
      wish,
      details,
      item,
      targetId: uuid,
      targetName: name,
      isConfirmed: isConfirmed(wish.confirm, uuid, `the host "${name}"`),
      consequences: [
        `The backup partition of "${name}" is formatted and gets the control domain of "${details.host.name}" as of ${record.createdAt}. What is on that partition now is lost.`,
        'The running system stays as it is until the host is booted from the installer and "Restore from backup" is chosen there.',
      ],
      warnings:
        uuid === details.host.uuid
          ? []
          : [
              {
                code: 'OTHER_HOST',
                message: `The backup is of "${details.host.name}" (${details.host.uuid}); restored, "${name}" becomes that host.`,
              },
            ],
    };
  }
}

/** @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS. */
function targetHost(
  { host: wanted }: SystemRestoreWish,
  { host: saved }: HostDetails,
  hosts: readonly HostRecord[],
  { savesetId }: SavesetRecord,
): HostRecord {
  if (wanted !== undefined) return resolveHost(wanted, hosts);
  const same = hosts.find(({ uuid }) => uuid === saved.uuid);
  if (same !== undefined) return same;
  const names = hosts.map(({ uuid, name_label: name }) => `${uuid} ("${name}")`).join(', ');
  throw new BackupError(
    'OBJECT_NOT_FOUND',
    `The host that was saved, "${saved.name}" (${saved.uuid}), is not in the pool.`,
    {
      hint: `A host that was installed anew has a new UUID. Type: xen-backup restore ${savesetId} --overwrite -o host=<uuid>. The pool has ${names}.`,
      context: { host: saved.uuid },
    },
  );
}

/** Unpacks beside the reading; the archive must be the one that the record describes. */
async function withArchive(details: HostDetails, work: (check: FlowCheck) => Promise<void>): Promise<void> {
  const reader = new HostArchiveReader();
  try {
    await work({
      push: (chunk) => reader.push(chunk),
      end: async () => {
        const { hostId } = await reader.end();
        if (hostId === details.host.uuid) return;
        throw new BackupError('SAVESET_INVALID', 'The archive is of another host than the record says.', {
          hint: 'The record or the item was exchanged. Use another saveset.',
          context: { expected: details.host.uuid, found: hostId },
        });
      },
    });
  } finally {
    reader.destroy();
  }
}
