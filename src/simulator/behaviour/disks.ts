import { createDiskContent } from '../content/content-spec.js';
import { type DiskContent } from '../content/disk-content.js';
import { type Fields } from '../record-store.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, NULL_REF, numberOf, setOf, textOf, wireDate, type XapiRecord } from '../wire/wire-value.js';

export interface NewVdi {
  readonly SR: string;
  /** Bytes. */
  readonly virtual_size: number;
  readonly fields?: Fields;
}

/** A VDI record and its bytes together; without `content` the disk is empty. Throws what the SR refuses. */
export function createVdi(pool: SimulatedPool, vdi: NewVdi, content?: DiskContent): string {
  const sr = usableSr(pool, vdi.SR);
  const uuid = typeof vdi.fields?.uuid === 'string' ? vdi.fields.uuid : pool.random.uuid();
  const bytes = content ?? createDiskContent(vdi.virtual_size);
  const isSparse = isSparseSr(sr);
  assertSpace(pool, vdi.SR, isSparse ? bytes.allocatedBytes : vdi.virtual_size);
  const ref = pool.store.create('VDI', {
    managed: true,
    type: 'user',
    ...vdi.fields,
    uuid,
    location: uuid,
    SR: vdi.SR,
    virtual_size: vdi.virtual_size,
    physical_utilisation: isSparse ? bytes.allocatedBytes : vdi.virtual_size,
  });
  pool.contents.set(ref, bytes);
  updateSrSpace(pool, vdi.SR);
  return ref;
}

/** Drops record, bytes and leftover VBDs. Throws VDI_IN_USE [vdi, operation] while a VBD is attached. */
export function destroyVdi(pool: SimulatedPool, ref: string): void {
  const record = pool.store.get('VDI', ref);
  assertNotInUse(pool, ref, 'destroy');
  for (const vbd of setOf(record, 'VBDs')) destroyVbd(pool, vbd);
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

/** A snapshot of a disk: same names, type, tags and settings, a new uuid, bytes shared until either side writes. */
export function snapshotVdi(pool: SimulatedPool, ref: string, extra: Fields = {}): string {
  const record = pool.store.get('VDI', ref);
  return createVdi(
    pool,
    {
      SR: textOf(record, 'SR'),
      virtual_size: numberOf(record, 'virtual_size'),
      fields: {
        ...copiedFields(pool, record),
        is_a_snapshot: true,
        snapshot_of: ref,
        snapshot_time: wireDate(pool.nowMs()),
        cbt_enabled: flagOf(record, 'cbt_enabled'),
        ...extra,
      },
    },
    contentOf(pool, ref).snapshot(),
  );
}

/** An independent disk with the same bytes, in the same SR or another. */
export function cloneVdi(pool: SimulatedPool, ref: string, sr?: string, extra: Fields = {}): string {
  const record = pool.store.get('VDI', ref);
  return createVdi(
    pool,
    {
      SR: sr ?? textOf(record, 'SR'),
      virtual_size: numberOf(record, 'virtual_size'),
      fields: { ...copiedFields(pool, record), ...extra },
    },
    contentOf(pool, ref).snapshot(),
  );
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
  const isSparse = isSparseSr(pool.store.get('SR', sr));
  pool.store.patch('VDI', ref, {
    virtual_size: content.sizeBytes,
    physical_utilisation: isSparse ? content.allocatedBytes : content.sizeBytes,
  });
  updateSrSpace(pool, sr);
}

/** Some VBD of the disk is attached: to a running VM, or to a control domain while bytes are moved. */
export function isInUse(pool: SimulatedPool, ref: string): boolean {
  return setOf(pool.store.get('VDI', ref), 'VBDs').some((vbd) => {
    const record = pool.store.find('VBD', vbd);
    return record !== undefined && flagOf(record, 'currently_attached');
  });
}

export function assertNotInUse(pool: SimulatedPool, ref: string, operation: string): void {
  const isBusy = Object.keys(mapOf(pool.store.get('VDI', ref), 'current_operations')).length > 0;
  if (isBusy) throw new SimulatedFailure('OTHER_OPERATION_IN_PROGRESS', ['VDI', ref]);
  if (isInUse(pool, ref)) throw new SimulatedFailure('VDI_IN_USE', [ref, operation]);
}

/** The SR, checked: it is there, has a plugged PBD, and takes disks. */
function usableSr(pool: SimulatedPool, ref: string): XapiRecord {
  const sr = pool.store.get('SR', ref);
  const pbds = setOf(sr, 'PBDs');
  if (pbds.length === 0) throw new SimulatedFailure('SR_HAS_NO_PBDS', [ref]);
  if (!pbds.some((pbd) => flagOf(pool.store.get('PBD', pbd), 'currently_attached'))) {
    throw new SimulatedFailure('SR_NOT_ATTACHED', [ref]);
  }
  return sr;
}

/** File-based SRs take only the space that is written; block-based ones the whole disk. */
function isSparseSr(sr: XapiRecord): boolean {
  return !['lvm', 'lvmoiscsi', 'lvmohba', 'lvmofcoe'].includes(textOf(sr, 'type'));
}

function assertSpace(pool: SimulatedPool, ref: string, bytes: number): void {
  const sr = pool.store.get('SR', ref);
  const size = numberOf(sr, 'physical_size');
  if (size > 0 && numberOf(sr, 'physical_utilisation') + bytes > size) {
    throw new SimulatedFailure('SR_BACKEND_FAILURE_44', ['', 'There is insufficient space', '']);
  }
}

function updateSrSpace(pool: SimulatedPool, ref: string): void {
  const sr = pool.store.find('SR', ref);
  if (sr === undefined) return;
  const vdis = setOf(sr, 'VDIs').map((vdi) => pool.store.get('VDI', vdi));
  const sum = (field: string): number => vdis.reduce((total, vdi) => total + numberOf(vdi, field), 0);
  pool.store.patch('SR', ref, {
    virtual_allocation: sum('virtual_size'),
    physical_utilisation: sum('physical_utilisation'),
  });
}

const COPIED = [
  'name_label',
  'name_description',
  'type',
  'sharable',
  'read_only',
  'tags',
  'on_boot',
  'allow_caching',
  'xenstore_data',
  'sm_config',
];

function copiedFields(pool: SimulatedPool, record: XapiRecord): Fields {
  const copied = COPIED.flatMap((name) => (record[name] === undefined ? [] : [[name, record[name]] as const]));
  return {
    ...Object.fromEntries(copied),
    other_config: { ...mapOf(record, 'other_config'), content_id: pool.random.uuid() },
    snapshot_of: NULL_REF,
  };
}
