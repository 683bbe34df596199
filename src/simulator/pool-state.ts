import { type SimulatedPool } from './simulated-pool.js';
import { type WireValue } from './wire/wire-value.js';

export interface StateOptions {
  /** Classes to leave out besides `session`, `task` and `message`, which always are unless listed in `withClasses`. */
  readonly withoutClasses?: readonly string[];
  readonly withClasses?: readonly string[];
  /** Leaves out numbers that move by themselves: SR and VDI utilisation, `last_updated`, `last_active`. */
  readonly withoutVolatile?: boolean;
}

/** Class to reference to record: plain data, safe to keep and to compare. */
export type PoolState = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, WireValue>>>>>>;

const TRANSIENT = ['session', 'task', 'message'];
const VOLATILE = new Set(['physical_utilisation', 'virtual_allocation', 'last_updated', 'last_active', 'memory_free']);

/** A deep copy of the pool's records. The order of sets is the pool's own; refs in sets are sorted, for comparing. */
export function snapshotState(pool: SimulatedPool, options: StateOptions = {}): PoolState {
  const left = new Set([...TRANSIENT, ...(options.withoutClasses ?? [])]);
  for (const cls of options.withClasses ?? []) left.delete(cls);
  const classes = [...pool.datamodel.classes.keys()].filter((cls) => !left.has(cls) && pool.store.count(cls) > 0);
  return Object.fromEntries(
    classes.map((cls) => [
      cls,
      Object.fromEntries(
        pool.store.all(cls).map(([ref, record]) => [
          ref,
          Object.fromEntries(
            Object.entries(record)
              .filter(([field]) => options.withoutVolatile !== true || !VOLATILE.has(field))
              .map(([field, value]) => [field, inOrder(value)]),
          ),
        ]),
      ),
    ]),
  );
}

function inOrder(value: WireValue): WireValue {
  const copy = structuredClone(value);
  if (Array.isArray(copy) && copy.every((item) => typeof item === 'string' && item.startsWith('OpaqueRef:'))) {
    return [...(copy as string[])].sort();
  }
  return copy;
}
