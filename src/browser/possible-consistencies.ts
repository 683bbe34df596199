import { type Consistency } from '../contract/index.js';
import { type VmRecord } from '../xapi/xapi-records.js';

/** What the judgement must know of a machine; the field names are XAPI's. */
export type ConsistencySubject = Pick<VmRecord, 'power_state' | 'is_a_template' | 'allowed_operations'>;

export interface PossibleConsistencies {
  readonly possible: readonly Consistency[];
  /** Why the others can't be had now: `memory: no checkpoint is allowed`. */
  readonly impossible: readonly string[];
}

/**
 * Which consistencies a backup of this machine could ask for as it is now, by what the pool says it allows (facts 3.3), and
 * why not the others. What a guest at rest has nothing to do with is not listed as impossible.
 */
export function possibleConsistencies(machine: ConsistencySubject, hasGuestTools: boolean): PossibleConsistencies {
  if (machine.is_a_template || machine.power_state === 'Halted') return { possible: ['offline'], impossible: [] };
  if (machine.power_state === 'Suspended') return { possible: ['crash', 'memory'], impossible: [] };
  const withoutTools = hasGuestTools ? undefined : 'it has no guest tools';
  const wanted: readonly (readonly [Consistency, string, string])[] = [
    ['offline', 'clean_shutdown', withoutTools ?? 'its guest takes no request to shut down'],
    ['quiesced', 'snapshot_with_quiesce', withoutTools ?? 'neither this release nor its guest offers it'],
    ['memory', 'checkpoint', withoutTools ?? 'the pool allows no checkpoint of it now'],
  ];
  const allowed = wanted.filter(([, operation]) => machine.allowed_operations.includes(operation));
  const refused = wanted.filter(([, operation]) => !machine.allowed_operations.includes(operation));
  return {
    possible: ['crash', ...allowed.map(([consistency]) => consistency)],
    impossible: refused.map(([consistency, , why]) => `${consistency}: ${why}`),
  };
}

/** The same as properties of a node. */
export function consistencyProperties(
  machine: ConsistencySubject,
  hasGuestTools: boolean,
): Readonly<Record<string, readonly string[]>> {
  const { possible, impossible } = possibleConsistencies(machine, hasGuestTools);
  return { consistency: possible, ...(impossible.length === 0 ? {} : { notPossible: impossible }) };
}
