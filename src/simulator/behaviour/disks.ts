import { type Fields } from '../record-store.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, NULL_REF, numberOf, textOf, wireDate, type XapiRecord } from '../wire/wire-value.js';
import { splitLog } from './change-logs.js';
import { without } from '../xva/without.js';
import { assertFeature, contentOf, createVdi, dropVdi } from './disk-records.js';
import { branch, coalesceLater } from './image-chain.js';

export {
  assertFeature,
  assertIdle,
  assertManaged,
  contentOf,
  createVdi,
  destroyVbd,
  isInUse,
  updateVdiSpace,
} from './disk-records.js';

/** Drops record, bytes and leftover VBDs. Throws VDI_IN_USE [vdi, operation] while a VBD is attached. */
export function destroyVdi(pool: SimulatedPool, ref: string): void {
  const sr = textOf(pool.store.get('VDI', ref), 'SR');
  dropVdi(pool, ref);
  coalesceLater(pool, sr);
}

/** A snapshot of a disk: same names, type, tags and settings, a new uuid, bytes shared until either side writes. */
export function snapshotVdi(pool: SimulatedPool, ref: string, extra: Fields = {}): string {
  assertFeature(pool, textOf(pool.store.get('VDI', ref), 'SR'), 'VDI_SNAPSHOT');
  const parent = branch(pool, ref);
  const record = pool.store.get('VDI', ref);
  const snapshot = createVdi(
    pool,
    {
      SR: textOf(record, 'SR'),
      virtual_size: numberOf(record, 'virtual_size'),
      parent,
      fields: {
        ...copiedFields(record),
        is_a_snapshot: true,
        snapshot_of: ref,
        snapshot_time: wireDate(pool.nowMs()),
        cbt_enabled: flagOf(record, 'cbt_enabled'),
        ...extra,
      },
    },
    contentOf(pool, ref).snapshot(),
  );
  splitLog(pool, ref, snapshot);
  return snapshot;
}

/** An independent disk with the same bytes, in the same SR or another. */
export function cloneVdi(pool: SimulatedPool, ref: string, sr?: string, extra: Fields = {}): string {
  const isNear = sr === undefined || sr === textOf(pool.store.get('VDI', ref), 'SR');
  const parent = isNear ? branch(pool, ref) : undefined;
  const record = pool.store.get('VDI', ref);
  return createVdi(
    pool,
    {
      SR: sr ?? textOf(record, 'SR'),
      virtual_size: numberOf(record, 'virtual_size'),
      parent,
      fields: { ...copiedFields(record), ...extra },
    },
    contentOf(pool, ref).snapshot(),
  );
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
];

function copiedFields(record: XapiRecord): Fields {
  const copied = COPIED.flatMap((name) => (record[name] === undefined ? [] : [[name, record[name]] as const]));
  return {
    ...Object.fromEntries(copied),
    other_config: mapOf(record, 'other_config'),
    sm_config: without(mapOf(record, 'sm_config'), 'import_task'),
    snapshot_of: NULL_REF,
  };
}
