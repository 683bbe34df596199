import { MIB } from '../../common/byte-size.js';
import { type DiskContent, UNIT_BYTES } from '../content/disk-content.js';
import { type StorageCondition } from '../pool-conditions.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, numberOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';

const ORDINARY: StorageCondition = { isStale: false, foreignBytes: 0, hasChains: false };
/** What LVM hands out. */
export const EXTENT_BYTES = 4 * MIB;

export function storageCondition(pool: SimulatedPool, sr: string): StorageCondition {
  return pool.storage.get(sr) ?? ORDINARY;
}

/** File-based SRs take only the space that is written; block-based ones the whole disk. */
export function isSparseSr(sr: XapiRecord): boolean {
  return !['lvm', 'lvmoiscsi', 'lvmohba', 'lvmofcoe'].includes(textOf(sr, 'type'));
}

/**
 * The space that a disk takes. On block-based SRs a disk in use takes its whole size, and one that only keeps data (a
 * snapshot, a base copy) what is in it: the cost of a snapshot is what was written (facts 8). In a chain only what differs
 * from `parent` counts.
 */
export function spaceOf(sr: XapiRecord, vdi: XapiRecord, content: DiskContent, parent?: DiskContent): number {
  const changed = parent === undefined ? undefined : content.changedUnits(parent);
  const heldBytes = changed === undefined ? content.allocatedBytes : changed.length * UNIT_BYTES;
  if (isSparseSr(sr)) return heldBytes;
  const isLeaf = !flagOf(vdi, 'is_a_snapshot') && vdi.managed !== false;
  if (isLeaf) return content.sizeBytes;
  return Math.min(content.sizeBytes, Math.max(1, Math.ceil(heldBytes / EXTENT_BYTES)) * EXTENT_BYTES);
}

/** The image that a disk's own is based on, when the SR has chains. */
export function parentOf(pool: SimulatedPool, vdi: XapiRecord): string | undefined {
  const uuid = mapOf(vdi, 'sm_config')['vhd-parent'];
  const sr = textOf(vdi, 'SR');
  if (uuid === undefined || !storageCondition(pool, sr).hasChains) return undefined;
  return setOf(pool.store.get('SR', sr), 'VDIs').find((ref) => textOf(pool.store.get('VDI', ref), 'uuid') === uuid);
}

/** Bytes free in truth, whatever the record shows; infinite for an SR without a size. */
export function roomIn(pool: SimulatedPool, sr: string): number {
  const size = numberOf(pool.store.get('SR', sr), 'physical_size');
  return size === 0 ? Number.POSITIVE_INFINITY : size - usage(pool, sr).physical_utilisation;
}

/** Throws SR_BACKEND_FAILURE_44 when so much does not fit. */
export function assertSpace(pool: SimulatedPool, sr: string, bytes: number): void {
  if (pool.isBeingBuilt) return;
  if (bytes > roomIn(pool, sr)) {
    throw new SimulatedFailure('SR_BACKEND_FAILURE_44', ['', 'There is insufficient space', '']);
  }
}

/** Brings an SR's record up to date, unless it is one that only a scan brings up to date. */
export function updateSrSpace(pool: SimulatedPool, sr: string): void {
  if (pool.isBeingBuilt) return;
  if (pool.store.has('SR', sr) && !storageCondition(pool, sr).isStale) refreshSrSpace(pool, sr);
}

/** What SR.scan does to the numbers. */
export function refreshSrSpace(pool: SimulatedPool, sr: string): void {
  pool.store.patch('SR', sr, { ...usage(pool, sr) });
}

/**
 * Watches a disk that is being written to: call the returned function after each write. Throws VDI_IO_ERROR when the SR
 * has filled up, as thin storage does.
 */
export function watchRoom(pool: SimulatedPool, vdi: string, content: DiskContent): () => void {
  const sr = textOf(pool.store.get('VDI', vdi), 'SR');
  if (!isSparseSr(pool.store.get('SR', sr))) return () => undefined;
  const limitBytes = content.allocatedBytes + roomIn(pool, sr);
  return () => {
    if (content.allocatedBytes > limitBytes) throw new SimulatedFailure('VDI_IO_ERROR', ['Device I/O errors']);
  };
}

function usage(
  pool: SimulatedPool,
  sr: string,
): Readonly<Record<'virtual_allocation' | 'physical_utilisation', number>> {
  const vdis = setOf(pool.store.get('SR', sr), 'VDIs').map((vdi) => pool.store.get('VDI', vdi));
  const sum = (field: string): number => vdis.reduce((total, vdi) => total + numberOf(vdi, field), 0);
  return {
    virtual_allocation: sum('virtual_size'),
    physical_utilisation: sum('physical_utilisation') + storageCondition(pool, sr).foreignBytes,
  };
}
