import { createDiskContent } from '../content/content-spec.js';
import { type Method, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, NULL_REF, numberOf, textOf } from '../wire/wire-value.js';
import { logReplacement } from './change-logs.js';
import { fieldsForCreate } from './constructor.js';
import {
  assertManaged,
  assertNotInUse,
  cloneVdi,
  contentOf,
  createVdi,
  destroyVdi,
  isInUse,
  snapshotVdi,
  updateVdiSpace,
} from './disks.js';
import { withOperation } from './with-operation.js';

const resize: Method = ({ pool }, args) => {
  const vdi = args.text(0);
  assertNotInUse(pool, vdi, 'resize');
  grow(pool, vdi, args.number(1));
  return undefined;
};

export const vdiMethods: MethodTable = {
  'VDI.create': ({ pool }, args) => {
    const fields = fieldsForCreate(pool, 'VDI', args.map(0));
    const sr = textOf(fields, 'SR');
    if (textOf(pool.store.get('SR', sr), 'content_type') === 'iso') {
      throw new SimulatedFailure('SR_OPERATION_NOT_SUPPORTED', [sr]);
    }
    const virtualSize = numberOf(fields, 'virtual_size');
    if (virtualSize <= 0) throw new SimulatedFailure('INVALID_VALUE', ['virtual_size', String(virtualSize)]);
    return createVdi(pool, { SR: sr, virtual_size: virtualSize, fields }, createDiskContent(virtualSize));
  },
  'VDI.destroy': ({ pool, task }, args) => {
    const vdi = args.text(0);
    assertManaged(pool, vdi);
    assertNotInUse(pool, vdi, 'destroy');
    return withOperation(pool, task, 'VDI', vdi, 'destroy', () => {
      pool.store.patch('VDI', vdi, { current_operations: {} });
      destroyVdi(pool, vdi);
      return undefined;
    });
  },
  'VDI.forget': ({ pool }, args) => {
    assertNotInUse(pool, args.text(0), 'forget');
    destroyVdi(pool, args.text(0));
    return undefined;
  },
  'VDI.snapshot': ({ pool, task }, args) =>
    withOperation(pool, task, 'VDI', args.text(0), 'snapshot', () => {
      assertHasData(pool, args.text(0));
      return snapshotVdi(pool, args.text(0));
    }),
  'VDI.clone': ({ pool, task }, args) =>
    withOperation(pool, task, 'VDI', args.text(0), 'clone', () => {
      assertHasData(pool, args.text(0));
      return cloneVdi(pool, args.text(0));
    }),
  'VDI.copy': ({ pool, task }, args) =>
    withOperation(pool, task, 'VDI', args.text(0), 'copy', () =>
      copyVdi(pool, args.text(0), args.text(1), args.text(3)),
    ),
  'VDI.resize': resize,
  'VDI.resize_online': ({ pool }, args) => {
    grow(pool, args.text(0), args.number(1));
    return undefined;
  },
  'VDI.update': ({ pool }, args) => {
    updateVdiSpace(pool, args.text(0));
    return undefined;
  },
  'VDI.set_on_boot': ({ pool }, args) => {
    const vdi = args.text(0);
    assertNotInUse(pool, vdi, 'set_on_boot');
    assertHasData(pool, vdi);
    if (flagOf(pool.store.get('VDI', vdi), 'cbt_enabled')) throw new SimulatedFailure('VDI_CBT_ENABLED', [vdi]);
    pool.store.patch('VDI', vdi, { on_boot: args.text(1), sm_config: { on_boot: args.text(1) } });
    return undefined;
  },
};

/** A full copy into an SR, or over a disk that is there already and as large. */
function copyVdi(pool: SimulatedPool, vdi: string, sr: string, into: string): string {
  assertHasData(pool, vdi);
  if (into === NULL_REF) {
    pool.store.get('SR', sr);
    return cloneVdi(pool, vdi, sr);
  }
  const target = pool.store.get('VDI', into);
  const size = numberOf(pool.store.get('VDI', vdi), 'virtual_size');
  if (size > numberOf(target, 'virtual_size')) throw new SimulatedFailure('VDI_TOO_SMALL', [into, String(size)]);
  if (isInUse(pool, into)) throw new SimulatedFailure('VDI_IN_USE', [into, 'copy']);
  pool.contents.set(into, contentOf(pool, vdi).clone());
  logReplacement(pool, into);
  updateVdiSpace(pool, into);
  return into;
}

function grow(pool: SimulatedPool, vdi: string, sizeBytes: number): void {
  assertHasData(pool, vdi);
  if (sizeBytes < numberOf(pool.store.get('VDI', vdi), 'virtual_size')) {
    throw new SimulatedFailure('SR_BACKEND_FAILURE_79', ['', 'VDI Invalid size [opterr=shrinking not allowed]', '']);
  }
  contentOf(pool, vdi).resize(sizeBytes);
  updateVdiSpace(pool, vdi);
}

/**
 * Refuses a VDI that is only the record of changed blocks, or the base of others. Throws VDI_INCOMPATIBLE_TYPE
 * [vdi, type] or VDI_NOT_MANAGED [vdi].
 */
export function assertHasData(pool: SimulatedPool, vdi: string): void {
  assertManaged(pool, vdi);
  if (textOf(pool.store.get('VDI', vdi), 'type') === 'cbt_metadata') {
    throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
  }
}
