import { type Machine } from '../browser/machine.js';
import { machinePath } from '../browser/source-name.js';
import {
  BackupError,
  type PlannedChange,
  type PlannedDisk,
  type PlannedInterface,
  type RestorePlan,
  type RestoreStep,
} from '../contract/index.js';
import { type RefOf, type VifRecord, type VmRecord, type XapiRecordTypes } from '../xapi/xapi-records.js';
import { type ChosenNetwork, type NetworkSituation, planNetworks } from './network-map.js';
import { planContent } from './plan-content.js';
import { planSteps, planWarnings, type PlanWarning } from './plan-story.js';
import { type KnownRelease } from './release-order.js';
import { type RestoreWish } from './restore-options.js';
import { isOrdinary, type RestoreTarget } from './restore-target.js';
import { type DiskPlaces, placeDisks } from './disk-places.js';
import { assertReaches, type ChosenHost } from './host-choice.js';
import { freeBytesOf, type StorageSituation } from './storage-choice.js';

/** What of the pool a plan depends on. */
export interface RestoreSituation extends StorageSituation, Pick<NetworkSituation, 'networks'> {
  readonly machines: ReadonlyMap<RefOf<'VM'>, VmRecord>;
  readonly interfaces: ReadonlyMap<RefOf<'VIF'>, VifRecord>;
  readonly cards: ReadonlyMap<string, Pick<XapiRecordTypes['PIF'], 'network' | 'VLAN' | 'host'>>;
  /** The host that it shall run on. */
  readonly host: ChosenHost | undefined;
  /** The machine that is overwritten, as it is now. */
  readonly existing: Machine | undefined;
  /** What the coordinator runs. */
  readonly release: KnownRelease;
}

export interface MachineRestorePlan {
  readonly wish: RestoreWish;
  readonly target: RestoreTarget;
  readonly places: DiskPlaces;
  readonly host: ChosenHost | undefined;
  /** Network of each saved interface, by its position; absent when the pool has no such network. */
  readonly networks: ReadonlyMap<string, RefOf<'network'>>;
  /** Names of the networks that the saved ones stand for here, by the saved UUID. */
  readonly networkNames: ReadonlyMap<string, string>;
  readonly disks: readonly PlannedDisk[];
  readonly interfaces: readonly PlannedInterface[];
  readonly changes: readonly PlannedChange[];
  readonly warnings: readonly PlanWarning[];
  readonly steps: readonly RestoreStep[];
}

/**
 * All of the restore, decided. Changes nothing.
 * @throws {BackupError} what `placeDisks` and `assertReaches` refuse; REQUEST_INVALID, OBJECT_NOT_FOUND and OBJECT_AMBIGUOUS for the network map;
 *   REQUEST_INVALID for a start beside a running machine with the same MAC address.
 */
export function planRestore(wish: RestoreWish, target: RestoreTarget, situation: RestoreSituation): MachineRestorePlan {
  const { details, storedBytes, disks, storages: rules, storage, hasMemory } = wish;
  const memoryBytes = hasMemory ? details.machine.memoryBytes : 0;
  const places = placeDisks({ disks, rules, storage, memoryBytes, archiveBytes: storedBytes }, situation);
  const chosen = planNetworks(details.interfaces, wish.networks, situation);
  const { host } = situation;
  if (host !== undefined) assertReaches(host, chosen.values(), situation);
  const doubles = wish.macs === 'keep' ? doublesOf(details.interfaces, target.existing?.ref, situation) : [];
  assertStartable(wish, doubles);
  return {
    wish,
    target,
    places,
    host,
    networks: new Map([...chosen].map(([position, { ref }]) => [position, ref])),
    networkNames: networkNames(wish, chosen, situation),
    ...planContent(wish, target, { networks: chosen, places, host, existing: situation.existing }),
    warnings: planWarnings(wish, target, {
      networks: chosen,
      doubles,
      existing: situation.existing,
      release: situation.release,
    }),
    steps: planSteps(wish, target, places),
  };
}

/** Machines other than `own` that have one of these addresses. */
export function doublesOf(
  addresses: readonly { readonly mac: string }[],
  own: RefOf<'VM'> | undefined,
  situation: Pick<RestoreSituation, 'machines' | 'interfaces'>,
): readonly VmRecord[] {
  const macs = new Set(addresses.map(({ mac }) => mac.toLowerCase()));
  const owners = [...situation.interfaces.values()]
    .filter(({ MAC, VM }) => macs.has(MAC.toLowerCase()) && VM !== own)
    .map(({ VM }) => VM);
  return [...new Set(owners)]
    .map((ref) => situation.machines.get(ref))
    .filter((machine) => machine !== undefined && isOrdinary(machine) && !machine.is_a_template) as readonly VmRecord[];
}

/** The plan as a host shows it. */
export function toContractPlan(plan: MachineRestorePlan): RestorePlan {
  const { importTo, neededBytes } = plan.places;
  const { record } = importTo;
  return {
    mode: plan.wish.mode,
    targetName: plan.wish.name,
    targetId: plan.target.existing?.record.uuid,
    storage: {
      id: record.uuid,
      name: record.name_label,
      freeBytes: freeBytesOf(record),
      neededBytes,
    },
    disks: plan.disks,
    interfaces: plan.interfaces,
    changes: plan.changes,
    steps: plan.steps,
    warnings: plan.warnings,
  };
}

/** Networks that the machine has no interface in are in archives too: they go by the name they have here. */
function networkNames(
  { details }: RestoreWish,
  chosen: ReadonlyMap<string, ChosenNetwork>,
  { networks }: Pick<NetworkSituation, 'networks'>,
): ReadonlyMap<string, string> {
  const names = new Map([...networks.values()].map(({ uuid, name_label }) => [uuid, name_label]));
  for (const { position, networkId } of details.interfaces) {
    const network = chosen.get(position);
    if (network !== undefined) names.set(networkId, network.record.name_label);
  }
  return names;
}

function assertStartable({ startAfter, mode }: RestoreWish, doubles: readonly VmRecord[]): void {
  const double = doubles.find(isAwake);
  if (!startAfter || double === undefined) return;
  throw new BackupError(
    'REQUEST_INVALID',
    `It cannot be started: "${double.name_label}" (${machinePath(double)}) runs with a MAC address of the backup.`,
    {
      hint:
        mode === 'new'
          ? 'Give it new addresses (mac=generate), do not start it, or shut the other machine down first.'
          : 'Shut the other machine down first, do not start it, or use mac=generate.',
      context: { uuid: double.uuid },
    },
  );
}

/** Holds on to its network addresses. */
export function isAwake({ power_state: state }: Pick<VmRecord, 'power_state'>): boolean {
  return state === 'Running' || state === 'Paused';
}
