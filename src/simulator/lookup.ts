import { SimulatedFailure } from './simulated-failure.js';
import { type SimulatedPool } from './simulated-pool.js';
import { textOf } from './wire/wire-value.js';

/**
 * The reference of an object that a person names: by reference, uuid or name. Throws UUID_INVALID [class, text] when there is
 * none and INVALID_VALUE [class, text] when several have that name.
 */
export function findObject(pool: SimulatedPool, cls: string, text: string): string {
  if (pool.store.has(cls, text)) return text;
  const named: string[] = [];
  for (const [ref, record] of pool.store.all(cls)) {
    if (textOf(record, 'uuid') === text) return ref;
    if (textOf(record, 'name_label') === text) named.push(ref);
  }
  const [found] = named;
  if (found === undefined) throw new SimulatedFailure('UUID_INVALID', [cls, text]);
  if (named.length > 1) throw new SimulatedFailure('INVALID_VALUE', [cls, `${named.length} are called ${text}`]);
  return found;
}
