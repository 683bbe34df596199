import { type SimulatedPool } from '../simulated-pool.js';
import { mapOf } from '../wire/wire-value.js';
import { checkVmOperation } from './vm-operations.js';

/**
 * Does `work` while `current_operations` of the object shows `operation` under the task's reference. For a VM the
 * operation is checked first, and what keeps it from starting is thrown.
 */
export async function withOperation<T>(
  pool: SimulatedPool,
  task: string,
  cls: 'VM' | 'VDI' | 'SR' | 'VBD' | 'VIF',
  ref: string,
  operation: string,
  work: () => T | Promise<T>,
): Promise<T> {
  if (cls === 'VM') checkVmOperation(pool, ref, operation);
  const current = mapOf(pool.store.get(cls, ref), 'current_operations');
  pool.store.patch(cls, ref, { current_operations: { ...current, [task]: operation } });
  try {
    return await work();
  } finally {
    const record = pool.store.find(cls, ref);
    if (record !== undefined) {
      const left = Object.entries(mapOf(record, 'current_operations')).filter(([key]) => key !== task);
      pool.store.patch(cls, ref, { current_operations: Object.fromEntries(left) });
    }
  }
}
