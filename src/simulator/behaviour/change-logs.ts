import { UnitBitmap } from '../content/unit-bitmap.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';
import { createMessage } from './messages.js';

const WARNING_PRIORITY = 3;

/**
 * Why the storage gave up tracking the changes of a disk: the host died while it was in use, or there was no room for the
 * log of a snapshot or of a larger disk. Each is the name of a message about it.
 */
export const TRACKING_LOSSES = [
  'VDI_CBT_METADATA_INCONSISTENT',
  'VDI_CBT_SNAPSHOT_FAILED',
  'VDI_CBT_RESIZE_FAILED',
] as const;
export type TrackingLoss = (typeof TRACKING_LOSSES)[number];

const LOSS_TEXTS: Readonly<Record<TrackingLoss, (uuid: string) => string>> = {
  VDI_CBT_METADATA_INCONSISTENT: (uuid) => `Changed Block Tracking metadata is inconsistent for disk ${uuid}.`,
  VDI_CBT_SNAPSHOT_FAILED: (uuid) => `Creating CBT metadata log for disk ${uuid} failed.`,
  VDI_CBT_RESIZE_FAILED: (uuid) => `Resizing of the CBT metadata for disk ${uuid} failed.`,
};

/**
 * What was written to one disk since the one before it in the chain: snapshots of a disk, oldest first, then the disk
 * itself (facts 7.1). Outlives the disk's data.
 */
interface ChangeLog {
  readonly written: UnitBitmap;
  /** References of the disks before and after it. */
  older: string | undefined;
  newer: string | undefined;
  /** False after the host died under it: it is given up as soon as the disk is attached again. */
  isConsistent: boolean;
  /** What is in it makes no sense: nothing can be worked out from it. */
  isBroken: boolean;
}

const logsByPool = new WeakMap<SimulatedPool, Map<string, ChangeLog>>();

function logsOf(pool: SimulatedPool): Map<string, ChangeLog> {
  let logs = logsByPool.get(pool);
  if (logs === undefined) logsByPool.set(pool, (logs = new Map<string, ChangeLog>()));
  return logs;
}

/** Begins to note what is written to a disk. Nothing older can be compared with it. */
export function startLog(pool: SimulatedPool, vdi: string): void {
  putLog(pool, vdi, new UnitBitmap(), undefined, undefined);
}

/**
 * Ends the log of a disk, and leaves gaps in no other: what it held goes to the newer one when the disk is destroyed. With
 * tracking turned off, what is older and what is newer are no longer of one chain.
 */
export function endLog(pool: SimulatedPool, vdi: string, how: 'destroyed' | 'turned-off'): void {
  const logs = logsOf(pool);
  const log = logs.get(vdi);
  if (log === undefined) return;
  logs.delete(vdi);
  pool.contents.get(vdi)?.trackWrites(undefined);
  const older = log.older === undefined ? undefined : logs.get(log.older);
  const newer = log.newer === undefined ? undefined : logs.get(log.newer);
  const isJoined = how === 'destroyed';
  if (older !== undefined) older.newer = isJoined ? log.newer : undefined;
  if (newer !== undefined) newer.older = isJoined ? log.older : undefined;
  if (isJoined) newer?.written.merge(log.written);
}

/** Hands a disk's log to the snapshot that was just made of it, and begins a new one. */
export function splitLog(pool: SimulatedPool, disk: string, snapshot: string): void {
  const logs = logsOf(pool);
  const log = logs.get(disk);
  if (log === undefined) return;
  const older = log.older === undefined ? undefined : logs.get(log.older);
  if (older !== undefined) older.newer = snapshot;
  putLog(pool, snapshot, log.written, log.older, disk);
  putLog(pool, disk, new UnitBitmap(), snapshot, log.newer);
}

/** All that was written after `from` up to `to`; or why that cannot be told. */
export function writtenBetween(
  pool: SimulatedPool,
  from: string,
  to: string,
): UnitBitmap | 'unrelated' | 'inconsistent' {
  const logs = logsOf(pool);
  const written = new UnitBitmap();
  for (let at = logs.get(from)?.newer; at !== undefined; at = logs.get(at)?.newer) {
    const log = logs.get(at);
    if (log === undefined) break;
    if (log.isBroken) return 'inconsistent';
    written.merge(log.written);
    if (at === to) return written;
  }
  return 'unrelated';
}

/** Gives tracking of a disk up and tells it in a message, as storage does. A disk that is not tracked is left alone. */
export function loseTracking(pool: SimulatedPool, vdi: string, loss: TrackingLoss): void {
  const record = pool.store.get('VDI', vdi);
  if (!flagOf(record, 'cbt_enabled')) return;
  endLog(pool, vdi, 'turned-off');
  pool.store.patch('VDI', vdi, { cbt_enabled: false });
  const uuid = textOf(record, 'uuid');
  createMessage(pool, {
    name: loss,
    priority: WARNING_PRIORITY,
    cls: 'VDI',
    obj_uuid: uuid,
    body: LOSS_TEXTS[loss](uuid),
  });
}

/** Makes the log of a disk unusable without anybody noticing: comparisons over it are SR_BACKEND_FAILURE_459. */
export function breakLog(pool: SimulatedPool, vdi: string): void {
  const log = logsOf(pool).get(vdi);
  if (log !== undefined) log.isBroken = true;
}

/** What the death of a host does to the logs of the disks that its VMs write to. */
export function leaveLogsOpen(pool: SimulatedPool, host: string): void {
  for (const [vm, record] of pool.store.all('VM')) {
    if (textOf(record, 'resident_on') !== host || flagOf(record, 'is_control_domain')) continue;
    for (const vdi of writtenDisksOf(pool, vm)) {
      const log = logsOf(pool).get(vdi);
      if (log !== undefined) log.isConsistent = false;
    }
  }
}

/** Opens the logs of a VM's disks, as attaching them does: one that was left open is given up. */
export function openLogsOf(pool: SimulatedPool, vm: string): void {
  for (const vdi of writtenDisksOf(pool, vm)) openLog(pool, vdi);
}

/** The same for one disk. */
export function openLog(pool: SimulatedPool, vdi: string): void {
  if (logsOf(pool).get(vdi)?.isConsistent === false) loseTracking(pool, vdi, 'VDI_CBT_METADATA_INCONSISTENT');
}

function writtenDisksOf(pool: SimulatedPool, vm: string): readonly string[] {
  return setOf(pool.store.get('VM', vm), 'VBDs').flatMap((ref) => {
    const vbd = pool.store.get('VBD', ref);
    const vdi = textOf(vbd, 'VDI');
    return textOf(vbd, 'mode') === 'RW' && pool.store.has('VDI', vdi) ? [vdi] : [];
  });
}

function putLog(
  pool: SimulatedPool,
  vdi: string,
  written: UnitBitmap,
  older: string | undefined,
  newer: string | undefined,
): void {
  logsOf(pool).set(vdi, { written, older, newer, isConsistent: true, isBroken: false });
  pool.contents.get(vdi)?.trackWrites(written);
}
