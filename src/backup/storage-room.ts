import { disksOf, type Machine } from '../browser/machine.js';
import { formatBytes, MIB } from '../common/byte-size.js';
import { BackupError } from '../contract/index.js';
import { type RefOf, type SrRecord } from '../xapi/xapi-records.js';

/** LVM: the snapshot's own small volume and two journals of 4 MiB each (facts 8). */
const THICK_OVERHEAD_BYTES = 12 * MIB;
/** Files: the snapshot costs metadata only, but what the guest writes from now on goes into a new file. */
const THIN_RESERVE_BYTES = 16 * MIB;

/** What a snapshot takes from one storage. */
export interface RoomNeed {
  readonly storage: RefOf<'SR'>;
  readonly neededBytes: number;
}

type Room = Pick<SrRecord, 'physical_size' | 'physical_utilisation'>;

/**
 * What a snapshot of the machine can take from each storage at most. LVM makes the whole disk anew in the worst case; what
 * was really written in it the records don't tell. Pure.
 */
export function snapshotNeeds(
  machine: Pick<Machine, 'devices' | 'storages'>,
  memory?: { readonly storage: RefOf<'SR'>; readonly bytes: number },
): readonly RoomNeed[] {
  const needs = new Map<RefOf<'SR'>, number>();
  const add = (storage: RefOf<'SR'>, bytes: number): void => {
    needs.set(storage, (needs.get(storage) ?? 0) + bytes);
  };
  for (const { medium } of disksOf(machine)) {
    const { SR: storage, virtual_size: sizeBytes } = medium.record;
    const isThick = machine.storages.get(storage)?.type.startsWith('lvm') === true;
    add(storage, isThick ? sizeBytes + THICK_OVERHEAD_BYTES : THIN_RESERVE_BYTES);
  }
  if (memory !== undefined) add(memory.storage, memory.bytes);
  return [...needs].map(([storage, neededBytes]) => ({ storage, neededBytes }));
}

/** Bytes left; undefined for a storage that has no size of its own. */
export function roomOf({ physical_size: sizeBytes, physical_utilisation: usedBytes }: Room): number | undefined {
  return sizeBytes > 0 ? Math.max(0, sizeBytes - usedBytes) : undefined;
}

/** The first need that does not fit; undefined when all do. Pure. */
export function unmetNeed(
  needs: readonly RoomNeed[],
  storages: ReadonlyMap<string, Room>,
): (RoomNeed & { readonly freeBytes: number }) | undefined {
  for (const need of needs) {
    const record = storages.get(need.storage);
    const freeBytes = record === undefined ? undefined : roomOf(record);
    if (freeBytes !== undefined && freeBytes < need.neededBytes) return { ...need, freeBytes };
  }
  return undefined;
}

export interface Candidates {
  readonly storages: ReadonlyMap<RefOf<'SR'>, SrRecord>;
  /** Those that a host has attached. */
  readonly attached: ReadonlySet<RefOf<'SR'>>;
}

/** The refusal of a snapshot that doesn't fit: the numbers, and where the disks would have room. */
export function noRoom(
  machineName: string,
  { storage, neededBytes, freeBytes }: RoomNeed & { readonly freeBytes: number },
  { storages, attached }: Candidates,
): BackupError {
  const name = storages.get(storage)?.name_label ?? 'unknown';
  const candidates = [...storages]
    .filter(([ref, record]) => ref !== storage && attached.has(ref) && isForDisks(record))
    .filter(([, record]) => (roomOf(record) ?? Infinity) >= neededBytes)
    .map(([, record]) => `"${record.name_label}" (${record.uuid}, ${formatBytes(roomOf(record) ?? 0)} free)`);
  const move = candidates.length === 0 ? '' : `, move its disks to one of: ${candidates.join(', ')}`;
  return new BackupError(
    'STORAGE_FULL',
    `A snapshot of "${machineName}" can need ${formatBytes(neededBytes)} on "${name}", which has ${formatBytes(freeBytes)} left.`,
    {
      hint: `Make room there${move}, back the machine up offline, or use space=skip if you know that it fits.`,
      context: { storage: storages.get(storage)?.uuid, neededBytes, freeBytes, candidates },
    },
  );
}

function isForDisks({ content_type: content, type, is_tools_sr: isTools }: SrRecord): boolean {
  return !['iso', 'disk'].includes(content) && !['iso', 'udev'].includes(type) && !isTools;
}
