import { createDiskContent } from '../content/content-spec.js';
import { type DiskContent } from '../content/disk-content.js';
import { compareLifecycles } from '../datamodel/release.js';
import { type Fields } from '../record-store.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { without } from '../xva/without.js';
import { endLog, startLog } from './change-logs.js';
import { assertSpace, parentOf, spaceOf, updateSrSpace } from './sr-space.js';

export interface NewVdi {
  readonly SR: string;
  /** Bytes. */
  readonly virtual_size: number;
  readonly fields?: Fields;
  /** Uuid of the image that this one builds on, on storage with chains. */
  readonly parent?: string | undefined;
  /** The caller has made sure that it fits. */
  readonly isSpaceChecked?: boolean;
}

/** A VDI record and its bytes together; without `content` the disk is empty. Throws what the SR refuses. */
export function createVdi(pool: SimulatedPool, vdi: NewVdi, content?: DiskContent): string {
  const sr = usableSr(pool, vdi.SR);
  const uuid = typeof vdi.fields?.uuid === 'string' ? vdi.fields.uuid : pool.random.uuid();
  const bytes = content ?? createDiskContent(vdi.virtual_size);
  const config = without(mapOf(vdi.fields ?? {}, 'sm_config'), 'vhd-parent');
  const fields = {
    managed: true,
    type: 'user',
    ...vdi.fields,
    sm_config: vdi.parent === undefined ? config : { ...config, 'vhd-parent': vdi.parent },
    uuid,
    location: uuid,
    SR: vdi.SR,
    virtual_size: vdi.virtual_size,
  };
  const physicalBytes = spaceOf(sr, fields, bytes, parentContent(pool, fields));
  if (vdi.isSpaceChecked !== true) assertSpace(pool, vdi.SR, physicalBytes);
  const ref = pool.store.create('VDI', { ...fields, physical_utilisation: physicalBytes });
  pool.contents.set(ref, bytes);
  if (flagOf(pool.store.get('VDI', ref), 'cbt_enabled')) startLog(pool, ref);
  updateSrSpace(pool, vdi.SR);
  return ref;
}

/** Drops record, bytes and leftover VBDs. Throws VDI_IN_USE [vdi, operation] while a VBD is attached. */
export function dropVdi(pool: SimulatedPool, ref: string): void {
  const record = pool.store.get('VDI', ref);
  assertNotInUse(pool, ref, 'destroy');
  for (const vbd of setOf(record, 'VBDs')) destroyVbd(pool, vbd);
  endLog(pool, ref, 'destroyed');
  pool.store.destroy('VDI', ref);
  pool.contents.delete(ref);
  updateSrSpace(pool, textOf(record, 'SR'));
}

/** Drops a VBD record and its metrics, whatever its state. */
export function destroyVbd(pool: SimulatedPool, ref: string): void {
  const metrics = textOf(pool.store.get('VBD', ref), 'metrics');
  pool.store.destroy('VBD', ref);
  if (pool.store.has('VBD_metrics', metrics)) pool.store.destroy('VBD_metrics', metrics);
}

/** The bytes of a disk; throws VDI_NOT_AVAILABLE [vdi] when it has none (metadata of changed blocks only). */
export function contentOf(pool: SimulatedPool, ref: string): DiskContent {
  const content = pool.contents.get(ref);
  if (content === undefined) throw new SimulatedFailure('VDI_NOT_AVAILABLE', [ref]);
  return content;
}

/** Brings record and SR up to date after bytes were written. */
export function updateVdiSpace(pool: SimulatedPool, ref: string): void {
  const record = pool.store.find('VDI', ref);
  const content = pool.contents.get(ref);
  if (record === undefined || content === undefined) return;
  const sr = textOf(record, 'SR');
  pool.store.patch('VDI', ref, {
    virtual_size: content.sizeBytes,
    physical_utilisation: spaceOf(pool.store.get('SR', sr), record, content, parentContent(pool, record)),
  });
  updateSrSpace(pool, sr);
}

function parentContent(pool: SimulatedPool, record: XapiRecord): DiskContent | undefined {
  const parent = parentOf(pool, record);
  return parent === undefined ? undefined : pool.contents.get(parent);
}

/** Some VBD of the disk is attached: to a running VM, or to a control domain while bytes are moved. */
export function isInUse(pool: SimulatedPool, ref: string): boolean {
  return setOf(pool.store.get('VDI', ref), 'VBDs').some((vbd) => {
    const record = pool.store.find('VBD', vbd);
    return record !== undefined && flagOf(record, 'currently_attached');
  });
}

/** Refuses the base of a chain. Throws VDI_NOT_MANAGED [vdi]. */
export function assertManaged(pool: SimulatedPool, ref: string): void {
  if (!flagOf(pool.store.get('VDI', ref), 'managed')) throw new SimulatedFailure('VDI_NOT_MANAGED', [ref]);
}

/**
 * Throws OTHER_OPERATION_IN_PROGRESS [`VDI`, vdi], with the operation and its task since XAPI 25.27, while something is
 * done to the disk. A copy is nothing that is done to it: it only has the disk attached.
 */
export function assertIdle(pool: SimulatedPool, ref: string): void {
  const operations = Object.entries(mapOf(pool.store.get('VDI', ref), 'current_operations'));
  const other = operations.find(([, name]) => name !== 'copy');
  if (other === undefined) return;
  const [task, name] = other;
  const isNamed = compareLifecycles([], pool.datamodel.release.xapiVersion, '25.27.0') >= 0;
  throw new SimulatedFailure('OTHER_OPERATION_IN_PROGRESS', ['VDI', ref, ...(isNamed ? [name, task] : [])]);
}

export function assertNotInUse(pool: SimulatedPool, ref: string, operation: string): void {
  assertIdle(pool, ref);
  if (isInUse(pool, ref)) throw new SimulatedFailure('VDI_IN_USE', [ref, operation]);
}

/** Throws SR_OPERATION_NOT_SUPPORTED [sr] when the driver of the SR lacks a feature. */
export function assertFeature(pool: SimulatedPool, sr: string, feature: string): void {
  const type = textOf(pool.store.get('SR', sr), 'type');
  const driver = pool.store.all('SM').find(([, record]) => textOf(record, 'type') === type)?.[1];
  if (driver === undefined || !(feature in mapOf(driver, 'features'))) {
    throw new SimulatedFailure('SR_OPERATION_NOT_SUPPORTED', [sr]);
  }
}

/** The SR, checked: it is there, has a plugged PBD, and takes disks. */
function usableSr(pool: SimulatedPool, ref: string): XapiRecord {
  const sr = pool.store.get('SR', ref);
  if (!setOf(sr, 'PBDs').some((pbd) => flagOf(pool.store.get('PBD', pbd), 'currently_attached'))) {
    throw new SimulatedFailure('SR_HAS_NO_PBDS', [ref]);
  }
  return sr;
}
