import { machinePath } from '../browser/source-name.js';
import { BackupError } from '../contract/index.js';
import { type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { type RestoreWish } from './restore-options.js';

export interface ExistingMachine {
  readonly ref: RefOf<'VM'>;
  readonly record: VmRecord;
}

/**
 * `new`: as a machine of its own. `beside`: imported beside the existing machine, then moved into it. `revive`: the
 * machine is gone and gets its identity back.
 */
export type RestoreTarget =
  | { readonly way: 'new' | 'revive'; readonly existing: undefined }
  | { readonly way: 'beside'; readonly existing: ExistingMachine };

/**
 * What the restore goes to.
 * @throws {BackupError} TARGET_EXISTS, TARGET_RUNNING.
 */
export function planTarget(wish: RestoreWish, machines: ReadonlyMap<RefOf<'VM'>, VmRecord>): RestoreTarget {
  const candidates = [...machines].map(([ref, record]) => ({ ref, record })).filter(({ record }) => isOrdinary(record));
  if (wish.mode === 'new') {
    const holder = candidates.find(({ record }) => record.name_label === wish.name);
    if (holder === undefined) return { way: 'new', existing: undefined };
    throw new BackupError(
      'TARGET_EXISTS',
      `There is already a machine called "${wish.name}": ${machinePath(holder.record)}.`,
      {
        hint: 'Choose another name. To bring the saved machine back to its old state, use mode overwrite.',
        context: { name: wish.name, uuid: holder.record.uuid },
      },
    );
  }
  const existing = candidates.find(({ record }) => record.uuid === wish.details.machine.uuid);
  if (existing === undefined) return { way: 'revive', existing: undefined };
  assertStoppable(existing.record, wish.stop);
  return { way: 'beside', existing };
}

/** A machine or template that people work with. */
export function isOrdinary(machine: VmRecord): boolean {
  return !machine.is_a_snapshot && !machine.is_control_domain;
}

function assertStoppable(existing: VmRecord, stop: RestoreWish['stop']): void {
  const { power_state: state, name_label: name, uuid } = existing;
  const canStop = stop === 'hard' ? state === 'Running' || state === 'Paused' : stop === 'clean' && state === 'Running';
  if (state === 'Halted' || canStop) return;
  const hints = {
    Suspended: 'Resume it and shut it down: overwriting it now would lose its memory for good.',
    Paused: 'Shut it down, or allow it with the option stop=hard.',
    Running: 'Shut it down, or allow it with the option stop=clean or stop=hard.',
  };
  throw new BackupError(
    'TARGET_RUNNING',
    `The machine "${name}" is ${state.toLowerCase()}; only a halted one can be overwritten.`,
    {
      hint: hints[state],
      context: { uuid, powerState: state },
    },
  );
}
