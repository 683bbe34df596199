import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { assertFeature, assertIdle, assertManaged } from './disk-records.js';
import { isUpgrading } from './vm-operations.js';

/** Possible while somebody has the disk attached, be it for writing. */
const LIVE = new Set(['snapshot', 'resize_online', 'clone', 'mirror', 'enable_cbt', 'disable_cbt', 'data_destroy']);
/** What a disk whose data is gone is still good for. */
const FOR_METADATA = new Set(['destroy', 'data_destroy', 'list_changed_blocks', 'forget', 'update']);
/** What the driver of the storage must be able to do. */
const NEEDED_FEATURES: Readonly<Record<string, string>> = {
  snapshot: 'VDI_SNAPSHOT',
  clone: 'VDI_CLONE',
  destroy: 'VDI_DELETE',
  resize: 'VDI_RESIZE',
  resize_online: 'VDI_RESIZE',
  set_on_boot: 'VDI_RESET_ON_BOOT',
};

/** What a pool in the middle of an upgrade still does with disks: what releases before 7.1 knew, so nothing about changed blocks. */
const DURING_UPGRADE = new Set(['clone', 'copy', 'resize', 'resize_online', 'snapshot', 'destroy', 'forget', 'update']);
const SNAPSHOT_DURING_COPY = 'Snapshot operation not allowed during copy.';

/**
 * Throws the failure that keeps an operation from being started on a disk, in XAPI's order of checks: upgrade, other work,
 * attached, what the storage can do, only changed blocks left, tracked, what the operation asks for, plugged, managed. A copy
 * that runs is no other work but for a snapshot: it only has the disk attached.
 */
export function checkVdiOperation(pool: SimulatedPool, vdi: string, operation: string): void {
  const record = pool.store.get('VDI', vdi);
  assertNotUpgrading(pool, operation);
  assertIdle(pool, vdi);
  if (isBlockedByAttach(pool, record, operation)) throw new SimulatedFailure('VDI_IN_USE', [vdi, operation]);
  const feature = NEEDED_FEATURES[operation];
  if (feature !== undefined) assertFeature(pool, textOf(record, 'SR'), feature);
  if (textOf(record, 'type') === 'cbt_metadata' && !FOR_METADATA.has(operation)) {
    throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
  }
  if (flagOf(record, 'cbt_enabled') && (operation === 'mirror' || operation === 'set_on_boot')) {
    throw new SimulatedFailure('VDI_CBT_ENABLED', [vdi]);
  }
  assertSuits(vdi, record, operation);
  assertPlugged(pool, textOf(record, 'SR'));
  assertManaged(pool, vdi);
}

/** Throws NOT_SUPPORTED_DURING_UPGRADE [] for what older releases do not know, while a rolling upgrade of the pool runs. */
export function assertNotUpgrading(pool: SimulatedPool, operation: string): void {
  if (isUpgrading(pool) && !DURING_UPGRADE.has(operation)) throw new SimulatedFailure('NOT_SUPPORTED_DURING_UPGRADE');
}

function assertSuits(vdi: string, record: XapiRecord, operation: string): void {
  const isSnapshot = operation === 'snapshot';
  if (operation === 'destroy' || operation === 'forget') {
    if (textOf(record, 'type') === 'rrd') throw new SimulatedFailure('VDI_HAS_RRDS', [vdi]);
  }
  if (isSnapshot && flagOf(record, 'sharable')) throw new SimulatedFailure('VDI_IS_SHARABLE', [vdi]);
  if ((isSnapshot || operation === 'copy') && textOf(record, 'on_boot') === 'reset') {
    throw new SimulatedFailure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION');
  }
  if (isSnapshot && Object.values(mapOf(record, 'current_operations')).includes('copy')) {
    throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [SNAPSHOT_DURING_COPY]);
  }
}

/** Throws SR_HAS_NO_PBDS [sr] when no host has the storage plugged. */
function assertPlugged(pool: SimulatedPool, sr: string): void {
  const pbds = setOf(pool.store.get('SR', sr), 'PBDs');
  if (!pbds.some((pbd) => flagOf(pool.store.get('PBD', pbd), 'currently_attached'))) {
    throw new SimulatedFailure('SR_HAS_NO_PBDS', [sr]);
  }
}

function isBlockedByAttach(pool: SimulatedPool, record: XapiRecord, operation: string): boolean {
  if (LIVE.has(operation)) return false;
  const attached = setOf(record, 'VBDs').flatMap((ref) => {
    const vbd = pool.store.find('VBD', ref);
    return vbd !== undefined && flagOf(vbd, 'currently_attached') ? [vbd] : [];
  });
  if (operation === 'copy') return attached.some((vbd) => textOf(vbd, 'mode') === 'RW');
  return attached.length > 0;
}
