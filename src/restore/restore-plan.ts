import { machinePath } from '../browser/source-name.js';
import { formatBytes } from '../common/byte-size.js';
import { BackupError, type RestorePlan, type RestoreStep } from '../contract/index.js';
import { type NetworkRecord, type RefOf, type VifRecord, type VmRecord } from '../xapi/xapi-records.js';
import { type RestoreWish } from './restore-options.js';
import { assertSpace, type ChosenStorage, freeBytesOf, neededBytesOn } from './storage-choice.js';

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

/** What of the pool a plan depends on. */
export interface RestoreSituation {
  readonly machines: ReadonlyMap<RefOf<'VM'>, VmRecord>;
  readonly networks: ReadonlyMap<RefOf<'network'>, NetworkRecord>;
  readonly interfaces: ReadonlyMap<RefOf<'VIF'>, VifRecord>;
  /** The storage chosen, with fresh numbers. */
  readonly storage: ChosenStorage;
}

export interface MachineRestorePlan {
  readonly wish: RestoreWish;
  readonly target: RestoreTarget;
  readonly storage: ChosenStorage;
  readonly neededBytes: number;
  /** Network of each saved interface, by its position; absent when the pool has no such network. */
  readonly networks: ReadonlyMap<string, RefOf<'network'>>;
  /** Names of the saved networks as they are here today, by UUID. */
  readonly networkNames: ReadonlyMap<string, string>;
  /** Another machine that runs has one of the addresses that are brought back. */
  readonly hasRunningDouble: boolean;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
  readonly steps: readonly RestoreStep[];
}

/**
 * What the restore goes to.
 * @throws {BackupError} TARGET_EXISTS, TARGET_RUNNING.
 */
export function planTarget(wish: RestoreWish, machines: RestoreSituation['machines']): RestoreTarget {
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

/**
 * All of the restore, decided. Changes nothing.
 * @throws {BackupError} STORAGE_FULL.
 */
export function planRestore(wish: RestoreWish, target: RestoreTarget, situation: RestoreSituation): MachineRestorePlan {
  const { details, item } = wish;
  const diskBytes = details.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const neededBytes = neededBytesOn(situation.storage.record, diskBytes, item.bytes);
  assertSpace(situation.storage, neededBytes);
  const networks = findNetworks(wish, situation.networks);
  const doubles = wish.macs === 'keep' ? findDoubles(wish, target, situation) : [];
  return {
    wish,
    target,
    storage: situation.storage,
    neededBytes,
    networks,
    networkNames: new Map([...situation.networks.values()].map(({ uuid, name_label }) => [uuid, name_label])),
    hasRunningDouble: doubles.some(({ power_state }) => power_state === 'Running'),
    warnings: [
      ...details.interfaces
        .filter(({ position }) => !networks.has(position))
        .map(({ position, networkName }) => ({
          code: 'NETWORK_MISSING',
          message: `The pool has no network "${networkName}" for interface ${position}; it will make one without a way out.`,
        })),
      ...doubles.map((double) => ({
        code: 'DUPLICATE_MAC',
        message: `The machine ${machinePath(double)} ("${double.name_label}") has a MAC address of the backup.`,
      })),
    ],
    steps: stepsOf(wish, target, situation.storage),
  };
}

/** The plan as a host shows it. */
export function toContractPlan(plan: MachineRestorePlan): RestorePlan {
  const { record } = plan.storage;
  return {
    mode: plan.wish.mode,
    targetName: plan.wish.name,
    targetId: plan.target.existing?.record.uuid,
    storage: {
      id: record.uuid,
      name: record.name_label,
      freeBytes: freeBytesOf(record),
      neededBytes: plan.neededBytes,
    },
    steps: plan.steps,
    warnings: plan.warnings,
  };
}

function isOrdinary(machine: VmRecord): boolean {
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

function findNetworks(
  wish: RestoreWish,
  networks: RestoreSituation['networks'],
): ReadonlyMap<string, RefOf<'network'>> {
  const all = [...networks];
  const found = new Map<string, RefOf<'network'>>();
  for (const { position, networkId, networkName } of wish.details.interfaces) {
    const hit =
      all.find(([, { uuid }]) => uuid === networkId) ?? all.find(([, { name_label }]) => name_label === networkName);
    if (hit !== undefined) found.set(position, hit[0]);
  }
  return found;
}

/** Machines other than the target that have a MAC address of the backup. */
function findDoubles(wish: RestoreWish, target: RestoreTarget, situation: RestoreSituation): readonly VmRecord[] {
  const macs = new Set(wish.details.interfaces.map(({ mac }) => mac.toLowerCase()));
  const owners = [...situation.interfaces.values()]
    .filter(({ MAC, VM }) => macs.has(MAC.toLowerCase()) && VM !== target.existing?.ref)
    .map(({ VM }) => VM);
  return [...new Set(owners)]
    .map((ref) => situation.machines.get(ref))
    .filter((machine) => machine !== undefined && isOrdinary(machine) && !machine.is_a_template) as readonly VmRecord[];
}

function stepsOf(wish: RestoreWish, target: RestoreTarget, storage: ChosenStorage): readonly RestoreStep[] {
  const step = (action: string, description: string, isDestructive = false): RestoreStep => ({
    action,
    description,
    isDestructive,
  });
  const { details, item, name } = wish;
  const where = `storage "${storage.record.name_label}"`;
  const what = `${details.disks.length} disks, ${formatBytes(item.bytes)}`;
  const start = wish.startAfter ? [step('start', `Start "${name}" and check that it runs.`)] : [];
  if (target.existing === undefined) {
    const identity = target.way === 'revive' ? ', with the UUID that it had' : '';
    return [
      step('import', `Import "${name}" (${what}) to ${where}${identity}.`),
      step('verify', 'Compare it with the record.'),
      ...start,
    ];
  }
  const { power_state: state } = target.existing.record;
  return [
    step('import', `Import the backup (${what}) beside "${name}" to ${where}.`),
    step('verify', 'Compare it with the record.'),
    ...(state === 'Halted' ? [] : [step('stop', `Stop "${name}" (${wish.stop ?? ''}).`, true)]),
    step('swap', `Put the backup's disks in the place of the disks of "${name}".`, true),
    step('configure', `Bring configuration and network interfaces of "${name}" back to the backup's.`, true),
    step('release', `Remove the old disks of "${name}".`, true),
    ...start,
  ];
}
