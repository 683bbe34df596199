import { isUuid } from '../browser/source-name.js';
import { formatBytes } from '../common/byte-size.js';
import { BackupError } from '../contract/index.js';
import { isNullRef, type RefOf, type SrRecord } from '../xapi/xapi-records.js';

/** The storages of a pool as a choice needs them. */
export interface StorageSituation {
  readonly storages: ReadonlyMap<RefOf<'SR'>, SrRecord>;
  /** References of the storages that at least one host has attached; with `hostName` that one host. */
  readonly attached: ReadonlySet<RefOf<'SR'>>;
  /** The one host that must see them. */
  readonly hostName?: string | undefined;
  readonly defaultStorage: RefOf<'SR'>;
}

export interface ChosenStorage {
  readonly ref: RefOf<'SR'>;
  readonly record: SrRecord;
}

/** Bytes that a storage says it has left. */
export function freeBytesOf(record: Pick<SrRecord, 'physical_size' | 'physical_utilisation'>): number {
  return Math.max(0, record.physical_size - record.physical_utilisation);
}

/**
 * The storage that the disks go to: the one asked for by UUID or name, else the pool's default.
 * @throws {BackupError} STORAGE_NOT_FOUND with what there is to choose from, OBJECT_AMBIGUOUS for a name of several.
 */
export function chooseStorage(wanted: string | undefined, situation: StorageSituation): ChosenStorage {
  return wanted === undefined ? defaultStorage(situation) : namedStorage(wanted, situation);
}

/** The storage with this UUID when it takes disks now: where they were. */
export function originalStorage(uuid: string, situation: StorageSituation): ChosenStorage | undefined {
  const all = [...situation.storages].map(([ref, record]) => ({ ref, record }));
  const found = uuid === '' ? undefined : all.find(({ record }) => record.uuid === uuid);
  return found !== undefined && whyUnfit(found, situation) === undefined ? found : undefined;
}

/**
 * Bytes that the disks will take there. Storages that give every disk its whole size at once (LVM) need the sizes;
 * the others need about what the archive holds.
 */
export function neededBytesOn(record: Pick<SrRecord, 'type'>, diskBytes: number, archiveBytes: number): number {
  return record.type.startsWith('lvm') ? diskBytes : Math.min(diskBytes, archiveBytes);
}

/** How much a restore brings, and how much of it an archive holds. */
export interface SpaceNeed {
  readonly diskBytes: number;
  readonly archiveBytes: number;
}

/** @throws {BackupError} STORAGE_FULL with the numbers, and the storages that could take it. */
export function assertSpace({ ref, record }: ChosenStorage, need: SpaceNeed, situation: StorageSituation): void {
  const freeBytes = freeBytesOf(record);
  const neededBytes = neededBytesOn(record, need.diskBytes, need.archiveBytes);
  if (freeBytes >= neededBytes) return;
  const others = [...situation.storages]
    .map(([other, candidate]) => ({ ref: other, record: candidate }))
    .filter((storage) => storage.ref !== ref && whyUnfit(storage, situation) === undefined)
    .filter(
      (storage) => freeBytesOf(storage.record) >= neededBytesOn(storage.record, need.diskBytes, need.archiveBytes),
    )
    .map(describe);
  throw new BackupError(
    'STORAGE_FULL',
    `The storage "${record.name_label}" has ${formatBytes(freeBytes)} left; this restore needs ${formatBytes(neededBytes)}.`,
    {
      hint:
        others.length === 0
          ? 'Make room there; no other storage of the pool has enough.'
          : `Make room there, or name one that could take it: ${others.join(', ')}.`,
      context: { storage: record.uuid, freeBytes, neededBytes, couldTake: others },
    },
  );
}

function defaultStorage(situation: StorageSituation): ChosenStorage {
  const record = isNullRef(situation.defaultStorage) ? undefined : situation.storages.get(situation.defaultStorage);
  if (record === undefined) throw notFound('The pool has no default storage.', situation);
  const chosen = { ref: situation.defaultStorage, record };
  const problem = whyUnfit(chosen, situation);
  if (problem !== undefined) throw notFound(`The pool's default storage "${record.name_label}" ${problem}.`, situation);
  return chosen;
}

function namedStorage(wanted: string, situation: StorageSituation): ChosenStorage {
  const all = [...situation.storages].map(([ref, record]) => ({ ref, record }));
  const byUuid = isUuid(wanted) ? all.filter(({ record }) => record.uuid === wanted.toLowerCase()) : [];
  const named = byUuid.length > 0 ? byUuid : all.filter(({ record }) => record.name_label === wanted);
  const [first, second] = named;
  if (first === undefined) throw notFound(`The pool has no storage "${wanted}".`, situation);
  if (second !== undefined) {
    const uuids = named.map(({ record }) => record.uuid);
    throw new BackupError('OBJECT_AMBIGUOUS', `${named.length} storages are called "${wanted}": ${uuids.join(', ')}.`, {
      hint: 'Name the storage by its UUID.',
      context: { storage: wanted, candidates: uuids },
    });
  }
  const problem = whyUnfit(first, situation);
  if (problem !== undefined) throw notFound(`The storage "${wanted}" ${problem}.`, situation);
  return first;
}

/** Why disks can't go there; undefined when they can. Content types: facts 2 (SR) and 4.4. */
function whyUnfit({ ref, record }: ChosenStorage, { attached, hostName }: StorageSituation): string | undefined {
  const isForDisks = !['iso', 'disk'].includes(record.content_type) && !['iso', 'udev'].includes(record.type);
  if (!isForDisks || record.is_tools_sr) return 'is not for the disks of machines';
  if (attached.has(ref)) return undefined;
  return hostName === undefined ? 'is not attached to any host' : `is not attached to the host "${hostName}"`;
}

function notFound(message: string, situation: StorageSituation): BackupError {
  const candidates = [...situation.storages]
    .map(([ref, record]) => ({ ref, record }))
    .filter((storage) => whyUnfit(storage, situation) === undefined)
    .map(describe);
  return new BackupError('STORAGE_NOT_FOUND', message, {
    hint: candidates.length === 0 ? 'No storage of the pool takes disks.' : `Name one of: ${candidates.join(', ')}.`,
    context: { candidates },
  });
}

function describe({ record }: ChosenStorage): string {
  return `"${record.name_label}" (${record.uuid}, ${formatBytes(freeBytesOf(record))} free)`;
}
