import { formatBytes } from '../common/byte-size.js';
import { BackupError } from '../contract/index.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { findSavedDisk, type SavedDisk } from './disk-selection.js';
import {
  assertSpace,
  type ChosenStorage,
  chooseStorage,
  freeBytesOf,
  neededBytesOn,
  originalStorage,
  type StorageSituation,
} from './storage-choice.js';

/** `storage.<disk>=<to>`: where one disk goes. */
export interface StorageRule {
  readonly disk: string;
  readonly to: string;
}

export interface PlacesWish {
  /** The disks that come back. */
  readonly disks: readonly SavedDisk[];
  readonly rules: readonly StorageRule[];
  /** The storage named for all disks that no rule is about. */
  readonly storage: string | undefined;
  /** Size of the memory image that comes along; it stays where the import puts it, and so do all disks then. */
  readonly memoryBytes: number;
  /** Bytes that the saveset holds of all disks together. */
  readonly archiveBytes: number;
}

/** Where every disk goes. An import puts all of them on one storage; from there the others are brought to theirs. */
export interface DiskPlaces {
  readonly importTo: ChosenStorage;
  /** What the import takes there, the disks that move on included. */
  readonly neededBytes: number;
  readonly byPosition: ReadonlyMap<string, ChosenStorage>;
}

interface Placed {
  readonly disk: SavedDisk;
  readonly storage: ChosenStorage;
}

/** Storages that the placement may come to ask for room: their numbers should be fresh. */
export function storagesInQuestion(
  wish: Pick<PlacesWish, 'disks' | 'rules' | 'storage'>,
  situation: StorageSituation,
): ReadonlySet<RefOf<'SR'>> {
  const refs = new Set(wish.rules.map(({ to }) => chooseStorage(to, situation).ref));
  if (wish.storage !== undefined) return refs.add(chooseStorage(wish.storage, situation).ref);
  for (const disk of wish.disks) {
    const original = originalStorage(disk.storageId, situation);
    if (original !== undefined) refs.add(original.ref);
  }
  const preset = originalStorage(situation.storages.get(situation.defaultStorage)?.uuid ?? '', situation);
  if (preset !== undefined) refs.add(preset.ref);
  return refs;
}

/**
 * Each disk goes where its rule says, else to the storage named for all, else to where it was when that is there and has
 * room, else to the pool's default. Pure.
 * @throws {BackupError} STORAGE_NOT_FOUND, STORAGE_FULL and OBJECT_AMBIGUOUS with what there is to choose from;
 *   REQUEST_INVALID for a rule of no disk, of one disk twice, and of a machine whose memory comes along.
 */
export function placeDisks(wish: PlacesWish, situation: StorageSituation): DiskPlaces {
  const rules = new Map<string, ChosenStorage>();
  for (const { disk, to } of wish.rules) {
    const { position } = findSavedDisk(disk, wish.disks);
    if (rules.has(position)) {
      throw new BackupError('REQUEST_INVALID', `Two storages are named for the disk "${disk}".`, {
        hint: 'Name each disk once.',
      });
    }
    rules.set(position, chooseStorage(to, situation));
  }
  const named = wish.storage === undefined ? undefined : chooseStorage(wish.storage, situation);
  const allOriginal = placed(wish, rules, named, situation, true);
  try {
    return gather(allOriginal, wish, situation);
  } catch (error) {
    // Where a disk was is a preference, no order: one storage for all may have the room that the way round lacks.
    const isChosen = named !== undefined || allOriginal.every(({ disk }) => rules.has(disk.position));
    if (isChosen) throw error;
    return gather(placed(wish, rules, named, situation, false), wish, situation);
  }
}

function placed(
  { disks, archiveBytes, memoryBytes }: PlacesWish,
  rules: ReadonlyMap<string, ChosenStorage>,
  named: ChosenStorage | undefined,
  situation: StorageSituation,
  prefersOriginal: boolean,
): readonly Placed[] {
  const result: Placed[] = [];
  for (const disk of disks) {
    const original = prefersOriginal ? originalStorage(disk.storageId, situation) : undefined;
    const hasRoom = (storage: ChosenStorage): boolean => {
      const others = result.filter((one) => one.storage.ref === storage.ref).map((one) => one.disk.sizeBytes);
      const bytes = others.reduce((sum, size) => sum + size, disk.sizeBytes + memoryBytes);
      return freeBytesOf(storage.record) >= neededBytesOn(storage.record, bytes, archiveBytes);
    };
    const storage =
      rules.get(disk.position) ??
      named ??
      (original !== undefined && hasRoom(original) ? original : chooseStorage(undefined, situation));
    result.push({ disk, storage });
  }
  return result;
}

/** Looks at the room, and finds the storage that takes the import: of those that get disks the one that gets most. */
function gather(all: readonly Placed[], wish: PlacesWish, situation: StorageSituation): DiskPlaces {
  const { archiveBytes, memoryBytes } = wish;
  const sizes = new Map<RefOf<'SR'>, { readonly storage: ChosenStorage; bytes: number }>();
  for (const { disk, storage } of all) {
    const entry = sizes.get(storage.ref) ?? { storage, bytes: 0 };
    entry.bytes += disk.sizeBytes;
    sizes.set(storage.ref, entry);
  }
  const groups = [...sizes.values()].sort((one, other) => other.bytes - one.bytes);
  const totalBytes = groups.reduce((sum, { bytes }) => sum + bytes, memoryBytes);
  const [largest = { storage: chooseStorage(wish.storage, situation), bytes: 0 }] = groups;
  const needOn = ({ record }: ChosenStorage): number => neededBytesOn(record, totalBytes, archiveBytes);
  const places = (importTo: ChosenStorage, byPosition: readonly Placed[]): DiskPlaces => ({
    importTo,
    neededBytes: needOn(importTo),
    byPosition: new Map(byPosition.map(({ disk, storage }) => [disk.position, storage])),
  });
  if (groups.length < 2) {
    assertSpace(largest.storage, { diskBytes: totalBytes, archiveBytes }, situation);
    return places(largest.storage, all);
  }
  for (const { storage, bytes } of groups) assertSpace(storage, { diskBytes: bytes, archiveBytes }, situation);
  const importTo = groups.find(({ storage }) => freeBytesOf(storage.record) >= needOn(storage))?.storage;
  if (importTo === undefined) throw noWayRound(groups, needOn(largest.storage));
  if (memoryBytes === 0) return places(importTo, all);
  if (wish.rules.length > 0) {
    throw new BackupError('REQUEST_INVALID', 'The disks of a machine that comes back with its memory stay together.', {
      hint: "Name one storage for all of them: the pool does not let go of a suspended machine's disks.",
    });
  }
  return places(
    importTo,
    all.map(({ disk }) => ({ disk, storage: importTo })),
  );
}

function noWayRound(groups: readonly { readonly storage: ChosenStorage }[], neededBytes: number): BackupError {
  const rooms = groups.map(
    ({ storage: { record } }) => `"${record.name_label}" (${formatBytes(freeBytesOf(record))} free)`,
  );
  return new BackupError(
    'STORAGE_FULL',
    `The pool imports all disks to one storage before they can be spread, ${formatBytes(neededBytes)}; none has room for that: ${rooms.join(', ')}.`,
    {
      hint: 'Make room on one of them, or restore the disks in several runs (disks=...).',
      context: { neededBytes, candidates: rooms },
    },
  );
}
