import { createDiskContent } from '../content/content-spec.js';
import { type Method, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { numberOf, textOf } from '../wire/wire-value.js';
import { fieldsForCreate } from './constructor.js';
import { copyVdi } from './copy-vdi.js';
import {
  assertFeature,
  assertManaged,
  cloneVdi,
  contentOf,
  createVdi,
  destroyVdi,
  snapshotVdi,
  updateVdiSpace,
} from './disks.js';
import { migrateVdi } from './migrate-vdi.js';
import { assertSpace, isSparseSr } from './sr-space.js';
import { checkVdiOperation } from './vdi-operations.js';
import { withOperation } from './with-operation.js';

const resizeAs =
  (operation: 'resize' | 'resize_online'): Method =>
  ({ pool }, args) => {
    checkVdiOperation(pool, args.text(0), operation);
    grow(pool, args.text(0), args.number(1));
    return undefined;
  };

export const vdiMethods: MethodTable = {
  'VDI.create': ({ pool }, args) => {
    const fields = fieldsForCreate(pool, 'VDI', args.map(0));
    const sr = textOf(fields, 'SR');
    if (fields.type === 'cbt_metadata') throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', ['', 'CBT metadata']);
    assertFeature(pool, sr, 'VDI_CREATE');
    const virtualSize = numberOf(fields, 'virtual_size');
    if (virtualSize <= 0) throw new SimulatedFailure('INVALID_VALUE', ['virtual_size', String(virtualSize)]);
    return createVdi(pool, { SR: sr, virtual_size: virtualSize, fields }, createDiskContent(virtualSize));
  },
  'VDI.destroy': ({ pool, task }, args) => {
    const vdi = args.text(0);
    checkVdiOperation(pool, vdi, 'destroy');
    return withOperation(pool, task, 'VDI', vdi, 'destroy', () => {
      pool.store.patch('VDI', vdi, { current_operations: {} });
      destroyVdi(pool, vdi);
      return undefined;
    });
  },
  'VDI.forget': ({ pool }, args) => {
    checkVdiOperation(pool, args.text(0), 'forget');
    destroyVdi(pool, args.text(0));
    return undefined;
  },
  'VDI.snapshot': ({ pool, task }, args) => {
    checkVdiOperation(pool, args.text(0), 'snapshot');
    return withOperation(pool, task, 'VDI', args.text(0), 'snapshot', () => snapshotVdi(pool, args.text(0)));
  },
  'VDI.clone': ({ pool, task }, args) => {
    checkVdiOperation(pool, args.text(0), 'clone');
    return withOperation(pool, task, 'VDI', args.text(0), 'clone', () => cloneVdi(pool, args.text(0)));
  },
  'VDI.copy': (context, args) =>
    copyVdi(context, { vdi: args.text(0), sr: args.text(1), base: args.text(2), into: args.text(3) }),
  'VDI.pool_migrate': (context, args) => migrateVdi(context, args.text(0), args.text(1)),
  'VDI.resize': resizeAs('resize'),
  'VDI.resize_online': resizeAs('resize_online'),
  'VDI.update': ({ pool }, args) => {
    updateVdiSpace(pool, args.text(0));
    return undefined;
  },
  'VDI.set_on_boot': ({ pool }, args) => {
    const vdi = args.text(0);
    checkVdiOperation(pool, vdi, 'set_on_boot');
    pool.store.patch('VDI', vdi, { on_boot: args.text(1), sm_config: { on_boot: args.text(1) } });
    return undefined;
  },
};

/** Grows a disk. On thick storage the rest of it must fit. */
function grow(pool: SimulatedPool, vdi: string, sizeBytes: number): void {
  const record = pool.store.get('VDI', vdi);
  const moreBytes = sizeBytes - numberOf(record, 'virtual_size');
  if (moreBytes < 0) {
    throw new SimulatedFailure('SR_BACKEND_FAILURE_79', ['', 'VDI Invalid size [opterr=shrinking not allowed]', '']);
  }
  const sr = textOf(record, 'SR');
  if (!isSparseSr(pool.store.get('SR', sr))) assertSpace(pool, sr, moreBytes);
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
