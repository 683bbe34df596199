import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf } from '../wire/wire-value.js';
import { destroyVbd } from './disks.js';
import { destroyVtpm } from './vtpm-methods.js';
import { withOperation } from './with-operation.js';

export const destroyVmMethods: MethodTable = {
  'VM.destroy': async ({ pool, task }, args) => {
    const vm = args.text(0);
    if (flagOf(pool.store.get('VM', vm), 'is_default_template')) {
      throw new SimulatedFailure('VM_CANNOT_DELETE_DEFAULT_TEMPLATE', [vm]);
    }
    await withOperation(pool, task, 'VM', vm, 'destroy', () => {
      destroyVmRecord(pool, vm);
    });
    return undefined;
  },
};

/** Removes a VM with its VBDs, VIFs, metrics and consoles. Its disks and snapshots stay; its children get its parent. */
export function destroyVmRecord(pool: SimulatedPool, vm: string): void {
  const { store } = pool;
  const record = store.get('VM', vm);
  const parent = textOf(record, 'parent');
  for (const child of setOf(record, 'children')) store.patch('VM', child, { parent });
  for (const vbd of setOf(record, 'VBDs')) destroyVbd(pool, vbd);
  for (const vif of setOf(record, 'VIFs')) destroyVif(pool, vif);
  for (const vtpm of setOf(record, 'VTPMs')) destroyVtpm(pool, vtpm);
  for (const cls of ['VGPU', 'VUSB', 'console'] as const) {
    for (const ref of setOf(record, cls === 'console' ? 'consoles' : `${cls}s`)) store.destroy(cls, ref);
  }
  for (const [cls, field] of [
    ['VM_metrics', 'metrics'],
    ['VM_guest_metrics', 'guest_metrics'],
  ] as const) {
    if (store.has(cls, textOf(record, field))) store.destroy(cls, textOf(record, field));
  }
  store.destroy('VM', vm);
}

/** Removes a VIF record with its metrics. */
export function destroyVif(pool: SimulatedPool, vif: string): void {
  const metrics = textOf(pool.store.get('VIF', vif), 'metrics');
  pool.store.destroy('VIF', vif);
  if (pool.store.has('VIF_metrics', metrics)) pool.store.destroy('VIF_metrics', metrics);
}
