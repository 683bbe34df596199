import { type Fields } from '../record-store.js';
import { constructorFields } from '../rpc/generic-methods.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { type WireMap } from '../wire/wire-value.js';

/** The fields of a `create` call, by the datamodel: what may be given, with what must be given checked. */
export function fieldsForCreate(pool: SimulatedPool, cls: string, args: WireMap): Fields {
  return constructorFields(args, pool.datamodel.classes.get(cls)?.fields ?? new Map());
}
