import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { setOf, textOf } from '../wire/wire-value.js';

/** The VDI at a position of a VM. Throws INVALID_VALUE [position, text] when there is none. */
export function vmDisk(pool: SimulatedPool, vm: string, position: number): string {
  for (const vbd of setOf(pool.store.get('VM', vm), 'VBDs')) {
    const record = pool.store.get('VBD', vbd);
    const vdi = textOf(record, 'VDI');
    if (textOf(record, 'userdevice') === String(position) && pool.store.has('VDI', vdi)) return vdi;
  }
  throw new SimulatedFailure('INVALID_VALUE', ['position', `the VM has no disk at ${position}`]);
}
