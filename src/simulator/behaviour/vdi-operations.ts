import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { assertFeature, assertIdle, assertManaged } from './disk-records.js';

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

/**
 * Throws the failure that keeps an operation from being started on a disk, in XAPI's order of checks: managed, other
 * work, attached, what the storage can do, only changed blocks left, tracked. A copy that runs is no other work: it only
 * has the disk attached.
 */
export function checkVdiOperation(pool: SimulatedPool, vdi: string, operation: string): void {
  assertManaged(pool, vdi);
  const record = pool.store.get('VDI', vdi);
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
