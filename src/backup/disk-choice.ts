import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { BackupError } from '../contract/index.js';
import { type ExcludedDisk } from '../format/machine-details.js';

/** Which disks of a machine are saved: named by position, uuid or name. */
export interface DiskChoice {
  /** Only these. Absent: all. */
  readonly only: readonly string[] | undefined;
  readonly except: readonly string[];
}

/** A machine as if it had only the disks that are saved, and those that it has besides. */
export interface ChosenMachine {
  readonly machine: Machine;
  readonly left: readonly MachineDisk[];
  readonly excluded: readonly ExcludedDisk[];
}

/** In a disk's name: it is not saved, unless it is named in the request. XO knows the same word. */
const NO_BACKUP_WORD = '[NOBAK]';

/**
 * Leaves out what is not to be saved. Pure.
 * @throws {BackupError} REQUEST_INVALID for a name that fits no disk.
 */
export function chooseDisks(machine: Machine, { only, except }: DiskChoice): ChosenMachine {
  const disks = disksOf(machine);
  for (const name of [...(only ?? []), ...except]) {
    if (!disks.some((disk) => isNamed(disk, name))) throw unknownDisk(machine, disks, name);
  }
  const left: MachineDisk[] = [];
  const excluded: ExcludedDisk[] = [];
  for (const disk of disks) {
    const by = whyLeft(disk, only, except);
    if (by === undefined) continue;
    left.push(disk);
    const { uuid, name_label: name, virtual_size: sizeBytes } = disk.medium.record;
    excluded.push({ uuid, name, position: disk.record.userdevice, sizeBytes, by });
  }
  if (left.length === 0) return { machine, left, excluded };
  return {
    machine: { ...machine, devices: machine.devices.filter((device) => !isOneOf(left, device)) },
    left,
    excluded,
  };
}

function whyLeft(
  disk: MachineDisk,
  only: readonly string[] | undefined,
  except: readonly string[],
): ExcludedDisk['by'] | undefined {
  if (except.some((name) => isNamed(disk, name))) return 'request';
  if (only !== undefined) return only.some((name) => isNamed(disk, name)) ? undefined : 'request';
  return disk.medium.record.name_label.includes(NO_BACKUP_WORD) ? 'name' : undefined;
}

function isNamed({ record: device, medium: { record: disk } }: MachineDisk, name: string): boolean {
  return device.userdevice === name || disk.uuid === name || disk.name_label === name;
}

function isOneOf(disks: readonly MachineDisk[], { ref }: { readonly ref: string }): boolean {
  return disks.some((disk) => disk.ref === ref);
}

function unknownDisk({ record }: Machine, disks: readonly MachineDisk[], name: string): BackupError {
  const known = disks.map(
    ({ record: device, medium }) => `${device.userdevice} "${medium.record.name_label}" (${medium.record.uuid})`,
  );
  return new BackupError('REQUEST_INVALID', `"${record.name_label}" has no disk "${name}".`, {
    hint: `Its disks are: ${known.join(', ')}.`,
    context: { disks: known },
  });
}
