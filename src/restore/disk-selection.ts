import { BackupError } from '../contract/index.js';
import { type MachineDetails } from '../format/machine-details.js';

export type SavedDisk = MachineDetails['disks'][number];

/** Which of the saved disks come back: only those, or all but those. Each by position, name or UUID. */
export interface DiskSubset {
  readonly only?: readonly string[] | undefined;
  readonly except?: readonly string[] | undefined;
}

/**
 * The saved disk that a person means, by position, UUID or name.
 * @throws {BackupError} REQUEST_INVALID when there is none, OBJECT_AMBIGUOUS for a name of several; both with what there is.
 */
export function findSavedDisk<Disk extends Pick<SavedDisk, 'position' | 'name' | 'uuid'>>(
  wanted: string,
  disks: readonly Disk[],
): Disk {
  const fitting =
    [
      disks.filter(({ position }) => position === wanted),
      disks.filter(({ uuid }) => uuid === wanted.toLowerCase()),
      disks.filter(({ name }) => name === wanted),
    ].find((some) => some.length > 0) ?? [];
  const [first, second] = fitting;
  if (first !== undefined && second === undefined) return first;
  const describe = ({ position, name, uuid }: Disk): string => `${position} "${name}" (${uuid})`;
  if (first === undefined) {
    throw new BackupError('REQUEST_INVALID', `The backup has no disk "${wanted}".`, {
      hint: 'Name a disk of the backup by its position, name or UUID.',
      context: { disk: wanted, candidates: disks.map(describe) },
    });
  }
  throw new BackupError('OBJECT_AMBIGUOUS', `${fitting.length} disks of the backup are called "${wanted}".`, {
    hint: 'Name the disk by its position or UUID.',
    context: { disk: wanted, candidates: fitting.map(describe) },
  });
}

/**
 * The disks that come back, in their order.
 * @throws {BackupError} as `findSavedDisk`; REQUEST_INVALID for both lists at once and when no disk would be left.
 */
export function selectDisks({ only, except }: DiskSubset, disks: readonly SavedDisk[]): readonly SavedDisk[] {
  if (only !== undefined && except !== undefined) {
    throw new BackupError('REQUEST_INVALID', 'The options disks and excludeDisks exclude each other.', {
      hint: 'Name the disks that come back, or those that do not.',
    });
  }
  const named = new Set((only ?? except ?? []).map((wanted) => findSavedDisk(wanted, disks).position));
  const selected = disks.filter(({ position }) => (only === undefined ? !named.has(position) : named.has(position)));
  if (selected.length === 0 && disks.length > 0) {
    throw new BackupError('REQUEST_INVALID', 'No disk of the backup would come back.', {
      hint: 'Leave at least one disk in.',
    });
  }
  return selected;
}
