import { machinePath } from '../browser/source-name.js';
import { formatBytes } from '../common/byte-size.js';
import { BackupError, type RestorePlan, type RestoreStep } from '../contract/index.js';
import { type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { type DiskRestoreWish } from './disk-restore-options.js';
import { placeDisks } from './disk-places.js';
import { type ChosenStorage, freeBytesOf, type StorageSituation } from './storage-choice.js';

/** A machine that gets the disk. */
export interface DiskHolder {
  readonly ref: RefOf<'VM'>;
  readonly record: VmRecord;
}

export interface DiskRestorePlan {
  readonly wish: DiskRestoreWish;
  readonly storage: ChosenStorage;
  readonly neededBytes: number;
  readonly holder: DiskHolder | undefined;
}

/**
 * Where the disk goes. Pure.
 * @throws {BackupError} what `placeDisks` refuses.
 */
export function planDiskRestore(
  wish: DiskRestoreWish,
  holder: DiskHolder | undefined,
  situation: StorageSituation,
): DiskRestorePlan {
  const { disk, storage, storedBytes } = wish;
  const places = placeDisks(
    { disks: [disk], rules: [], storage, memoryBytes: 0, archiveBytes: storedBytes },
    situation,
  );
  return { wish, storage: places.importTo, neededBytes: places.neededBytes, holder };
}

/**
 * Refuses a machine that the disk can't be attached to.
 * @param freePlaces positions that the pool has left there.
 * @throws {BackupError} REQUEST_INVALID
 */
export function assertTakesDisk({ record }: DiskHolder, freePlaces: readonly string[]): void {
  if (record.power_state === 'Suspended') {
    throw new BackupError('REQUEST_INVALID', `"${record.name_label}" is suspended and takes no disk.`, {
      hint: 'Resume it or shut it down first, or restore the disk without attaching it.',
      context: { uuid: record.uuid },
    });
  }
  if (freePlaces.length > 0) return;
  throw new BackupError('REQUEST_INVALID', `"${record.name_label}" has no place left for a disk.`, {
    hint: 'Take one off it, or restore the disk without attaching it.',
    context: { uuid: record.uuid },
  });
}

/** The plan as a host shows it. */
export function toContractDiskPlan({ wish, storage, neededBytes, holder }: DiskRestorePlan): RestorePlan {
  const { disk, name } = wish;
  const { record } = storage;
  return {
    mode: 'disk',
    targetName: name,
    targetId: undefined,
    storage: { id: record.uuid, name: record.name_label, freeBytes: freeBytesOf(record), neededBytes },
    disks: [
      {
        position: disk.position,
        name: disk.name,
        sizeBytes: disk.sizeBytes,
        fromStorage: disk.storageName,
        toStorage: record.name_label,
      },
    ],
    steps: steps(wish, storage, holder),
    warnings: [],
  };
}

function steps(
  { disk, name, comparesContent, storedBytes, savesets }: DiskRestoreWish,
  { record: storage }: ChosenStorage,
  holder: DiskHolder | undefined,
): readonly RestoreStep[] {
  const step = (action: string, description: string): RestoreStep => ({ action, description, isDestructive: false });
  const merged = savesets === 1 ? '' : `, merged from up to ${savesets} savesets`;
  const what = `disk ${disk.position} "${disk.name}" (${formatBytes(disk.sizeBytes)}, up to ${formatBytes(storedBytes)} stored${merged})`;
  const compare = comparesContent ? 'Read it again and compare it with what was sent.' : 'Look at its size.';
  const isRunning = holder?.record.power_state === 'Running';
  const attach = holder === undefined ? [] : [`"${holder.record.name_label}" (${machinePath(holder.record)})`];
  return [
    step('import', `Bring ${what} into a new disk "${name}" on storage "${storage.name_label}".`),
    step('verify', compare),
    ...attach.map((to) => step('attach', `Attach it to ${to}, in a free place${isRunning ? ', and plug it in' : ''}.`)),
  ];
}
