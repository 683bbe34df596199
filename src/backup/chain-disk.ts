import { type MachineDisk } from '../browser/machine.js';
import { BackupError, type SavesetDisk } from '../contract/index.js';
import { type MachineChain, type MachineChainDisk } from '../format/machine-details.js';
import { MAX_VHD_DISK_BYTES, type VhdParent } from '../format/vhd-structures.js';
import { type RefOf, type VdiRecord } from '../xapi/xapi-records.js';
import { type BaseRetention } from './backup-options.js';
import { type DiskLevel, type LevelPlan } from './level-plan.js';

export const METADATA_ITEM = 'machine.xva';

/** A disk of the machine with the snapshot that it is read from. */
export interface SnapshotDisk {
  readonly level: DiskLevel;
  readonly ref: RefOf<'VDI'>;
  readonly record: VdiRecord;
}

/** The item of the disk at that place of the machine. */
export function diskItem(position: string): string {
  return `disk-${position}.vhd`;
}

/** @throws {BackupError} SOURCE_UNSUPPORTED for a disk that is larger than a VHD can be (facts 4.6). */
export function assertFitsVhd(disks: readonly MachineDisk[]): void {
  const large = disks.find(({ medium }) => medium.record.virtual_size > MAX_VHD_DISK_BYTES);
  if (large === undefined) return;
  const { name_label: name, uuid, virtual_size: sizeBytes } = large.medium.record;
  throw new BackupError('SOURCE_UNSUPPORTED', `The disk "${name}" is larger than 2040 GiB, and no VHD can hold it.`, {
    hint: 'Save the machine with format=xva, which carries it, or leave the disk out with excludeDisks.',
    context: { disk: uuid, sizeBytes },
  });
}

/**
 * The disks of a snapshot as they belong to the planned ones. Pure.
 * @throws {BackupError} SOURCE_BUSY when somebody changed the machine between the plan and the snapshot.
 */
export function matchSnapshot(
  plan: LevelPlan,
  disks: readonly MachineDisk[],
  machineName: string,
): readonly SnapshotDisk[] {
  const matched = plan.disks.map((level) => {
    const found = disks.find(({ medium }) => medium.record.snapshot_of === level.disk.ref);
    // In another place, it would come back in that of another disk: the machine's metadata are the snapshot's.
    const isSame =
      found?.medium.record.virtual_size === level.disk.sizeBytes && found.record.userdevice === level.disk.position;
    return isSame ? { level, ref: found.medium.ref, record: found.medium.record } : undefined;
  });
  const known = matched.filter((disk) => disk !== undefined);
  if (known.length === matched.length && disks.length === known.length) return known;
  throw new BackupError('SOURCE_BUSY', `The disks of "${machineName}" were changed while its backup began.`, {
    hint: 'Run the backup again.',
    isRetriable: true,
  });
}

/** What stays of a snapshot's disk for the next increment: the bitmap alone only where it can be made use of. */
export function baseKindOf({ record }: SnapshotDisk, hasNbd: boolean, wanted: BaseRetention): 'metadata' | 'snapshot' {
  return wanted === 'metadata' && hasNbd && record.cbt_enabled ? 'metadata' : 'snapshot';
}

/** What a disk of the machine says in the saveset record. */
export function savesetDisk({ level: { disk, level, reason } }: SnapshotDisk): SavesetDisk {
  const { id, name, position, sizeBytes } = disk;
  return { id, name, position, sizeBytes, level, reason, item: diskItem(position) };
}

/** The parent as a VHD names it: by its id, and where a directory of savesets has it. */
export function vhdParent({ savesetId, disk }: NonNullable<DiskLevel['parent']>, timestampMs: number): VhdParent {
  return { uuid: disk.vhdId, name: `..\\${savesetId}\\${disk.item}`, timestampMs };
}

/** What the record's details keep of a disk once its item is stored. */
export function chainDisk(
  { level: { disk, parent }, record }: SnapshotDisk,
  stored: {
    readonly vhdId: string;
    readonly readBy: MachineChainDisk['readBy'];
    readonly baseKind: MachineChainDisk['baseKind'];
    readonly startedTracking: boolean;
  },
): MachineChainDisk {
  const { vhdId, readBy, baseKind, startedTracking } = stored;
  return {
    position: disk.position,
    uuid: disk.id,
    item: diskItem(disk.position),
    vhdId,
    ...(parent === undefined
      ? {}
      : { parent: { savesetId: parent.savesetId, item: parent.disk.item, vhdId: parent.disk.vhdId } }),
    ...(baseKind === undefined ? {} : { baseId: record.uuid, baseKind }),
    startedTracking,
    readBy,
  };
}

/** Savesets of the history that nobody builds on once this one is stored: all but the chain's full. A copy changes nothing. */
export function supersededBy(
  { level, ancestors }: LevelPlan,
  historyIds: ReadonlySet<string>,
): MachineChain['supersedes'] {
  if (level === 'copy') return [];
  return [...historyIds].filter((id) => id !== ancestors[0]);
}
