import { machineConfiguration } from '../browser/machine-configuration.js';
import { disksOf, type Machine } from '../browser/machine.js';
import { formatBytes } from '../common/byte-size.js';
import { type PlannedChange, type PlannedDisk, type PlannedInterface } from '../contract/index.js';
import { type DiskPlaces } from './disk-places.js';
import { type ChosenHost } from './host-choice.js';
import { type ChosenNetwork } from './network-map.js';
import { type SavedDisk } from './disk-selection.js';
import { configurationChanges, plannedChange, savedConfiguration, wantedConfiguration } from './plan-changes.js';
import { type RestoreWish } from './restore-options.js';
import { type RestoreTarget } from './restore-target.js';
import { sparedDisks } from './spared-disks.js';

const NEW_ADDRESS = 'a new address';

export interface PlanChoices {
  readonly networks: ReadonlyMap<string, ChosenNetwork>;
  readonly places: DiskPlaces;
  readonly host: ChosenHost | undefined;
  /** The machine that is overwritten, as it is now. */
  readonly existing: Machine | undefined;
}

export interface PlanContent {
  readonly disks: readonly PlannedDisk[];
  readonly interfaces: readonly PlannedInterface[];
  readonly changes: readonly PlannedChange[];
}

/** Where every disk and interface goes, and each setting that will be another one. */
export function planContent(wish: RestoreWish, target: RestoreTarget, choices: PlanChoices): PlanContent {
  const { existing, host } = choices;
  const interfaces = plannedInterfaces(wish, choices.networks);
  const now = existing === undefined ? undefined : machineConfiguration(existing.record);
  const saved = savedConfiguration(wish.details, now);
  const wanted = wantedConfiguration(saved, wish);
  const settings = configurationChanges(now ?? saved, wanted);
  const devices =
    existing === undefined ? [] : [...interfaceChanges(existing, interfaces), ...removedDisks(existing, wish)];
  const identity = target.way === 'new' ? [{ what: 'UUID', from: wish.details.machine.uuid, to: 'a new one' }] : [];
  const leftOut = existing === undefined ? wish.leftOut.map(leftOutChange) : [];
  return {
    disks: plannedDisks(wish, choices),
    interfaces,
    changes: [...settings, ...identity, ...(host === undefined ? [] : [hostChange(host)]), ...leftOut, ...devices],
  };
}

function hostChange({ record }: ChosenHost): PlannedChange {
  return plannedChange('host', '', record.name_label);
}

function leftOutChange({ position, name, sizeBytes }: SavedDisk): PlannedChange {
  return plannedChange(`disk ${position}`, describeDisk(name, sizeBytes), 'does not come back');
}

function plannedDisks(wish: RestoreWish, { places, existing }: PlanChoices): readonly PlannedDisk[] {
  const spared = existing === undefined ? [] : sparedDisks(existing, wish);
  const giving = (existing === undefined ? [] : disksOf(existing)).filter((disk) => !spared.includes(disk));
  const present = new Map(
    giving.map(({ record, medium }) => [
      record.userdevice,
      describeDisk(medium.record.name_label, medium.record.virtual_size),
    ]),
  );
  return wish.disks.map(({ position, name, sizeBytes, storageName }) => {
    const replaces = present.get(position);
    return {
      position,
      name,
      sizeBytes,
      fromStorage: storageName,
      toStorage: (places.byPosition.get(position) ?? places.importTo).record.name_label,
      ...(replaces === undefined ? {} : { replaces }),
    };
  });
}

function plannedInterfaces(
  { details, macs }: RestoreWish,
  networks: PlanChoices['networks'],
): readonly PlannedInterface[] {
  return details.interfaces.map(({ position, networkName, mac }) => ({
    position,
    fromNetwork: networkName,
    toNetwork: networks.get(position)?.record.name_label ?? networkName,
    fromAddress: mac.toLowerCase(),
    ...(macs === 'keep' ? { toAddress: mac.toLowerCase() } : {}),
  }));
}

/** Against the interfaces that the machine has now. */
function interfaceChanges(existing: Machine, planned: readonly PlannedInterface[]): readonly PlannedChange[] {
  const now = new Map(
    existing.interfaces.map(({ record, network }) => [
      record.device,
      { network: network?.name_label ?? '', address: record.MAC.toLowerCase() },
    ]),
  );
  const wanted = new Map(
    planned.map(({ position, toNetwork, toAddress }) => [
      position,
      { network: toNetwork, address: toAddress ?? NEW_ADDRESS },
    ]),
  );
  return [...new Set([...now.keys(), ...wanted.keys()])].flatMap((position) => {
    const [from, to] = [now.get(position), wanted.get(position)];
    const what = `interface ${position}`;
    if (from === undefined || to === undefined) {
      const describe = (one: typeof from): string => (one === undefined ? '' : `${one.network}, ${one.address}`);
      return [plannedChange(what, describe(from), describe(to))];
    }
    return [
      ...(from.network === to.network ? [] : [plannedChange(`${what} network`, from.network, to.network)]),
      ...(from.address === to.address ? [] : [plannedChange(`${what} address`, from.address, to.address)]),
    ];
  });
}

/** Disks in places where the backup has none. A disk that another machine has too is detached and stays. */
function removedDisks(existing: Machine, wish: RestoreWish): readonly PlannedChange[] {
  const saved = new Set(wish.details.disks.map(({ position }) => position));
  const spared = sparedDisks(existing, wish);
  return disksOf(existing)
    .filter((disk) => !saved.has(disk.record.userdevice) && !spared.includes(disk))
    .map(({ record, medium }) => {
      const isShared = medium.record.VBDs.some((device) => !existing.record.VBDs.includes(device));
      const disk = describeDisk(medium.record.name_label, medium.record.virtual_size);
      return plannedChange(`disk ${record.userdevice}`, disk, isShared ? 'detached; another machine has it too' : '');
    });
}

function describeDisk(name: string, sizeBytes: number): string {
  return `"${name}" (${formatBytes(sizeBytes)})`;
}
