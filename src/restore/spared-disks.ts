import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { type RestoreWish } from './restore-options.js';

/**
 * Disks of the machine that is overwritten which the restore must not touch: those in the places of disks that are left
 * out of the restore, and those that were left out of the backup. Of the latter there is no copy: they are known by their
 * UUID, and what is in their place now counts as them too, unless it is a disk that the backup has. Pure.
 */
export function sparedDisks(
  existing: Pick<Machine, 'devices'>,
  { leftOut, details }: Pick<RestoreWish, 'leftOut' | 'details'>,
): readonly MachineDisk[] {
  const places = new Set(leftOut.map(({ position }) => position));
  const saved = new Set(details.disks.map(({ uuid }) => uuid));
  const excluded = details.excludedDisks ?? [];
  return disksOf(existing).filter(({ record, medium }) => {
    if (places.has(record.userdevice) || excluded.some(({ uuid }) => uuid === medium.record.uuid)) return true;
    return excluded.some(({ position }) => position === record.userdevice) && !saved.has(medium.record.uuid);
  });
}

/** The place itself when it is free, else the first that is. Both as `userdevice`. Pure. */
export function freePlace(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  for (let place = 0; ; place += 1) if (!taken.has(String(place))) return String(place);
}
