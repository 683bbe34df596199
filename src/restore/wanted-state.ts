import { randomBytes } from 'node:crypto';
import { type Machine } from '../browser/machine.js';
import { archiveMachine, type XvaArchive } from '../format/ova-xml.js';
import { isStruct, type XmlRpcValue } from '../format/xml-rpc-value.js';
import {
  deviceState,
  type DeviceState,
  type InterfaceState,
  machineState,
  type MachineState,
} from './machine-state.js';
import { type MachineRestorePlan } from './restore-plan.js';
import { freePlace, sparedDisks } from './spared-disks.js';

/**
 * The interfaces that the restored machine is to have: those that the import has made, in the networks of the backup
 * where the pool has them, with the backup's MAC addresses if they are to be kept.
 */
export function wantedInterfaces(imported: Machine, plan: MachineRestorePlan): readonly InterfaceState[] {
  const { details, macs } = plan.wish;
  // An import that keeps identities keeps these too, and what the pool makes up comes from the machine's old seed.
  const fresh = plan.target.way === 'revive' ? freshMac : undefined;
  return machineState(imported).interfaces.map((made) => {
    const saved = details.interfaces.find(({ position }) => position === made.position);
    return {
      ...made,
      network: plan.networks.get(made.position) ?? made.network,
      mac: macs === 'keep' ? (saved?.mac.toLowerCase() ?? made.mac) : (fresh?.() ?? made.mac),
    };
  });
}

/**
 * What an existing machine is to become: the imported one, under the name that it was saved with. An import adds keys
 * to `platform` that a machine of its own age doesn't have, so that map is taken as it was saved.
 */
export function wantedState(
  imported: Machine,
  archive: XvaArchive,
  plan: MachineRestorePlan,
  existing: Machine,
): MachineState {
  const state = machineState(imported);
  const { machine } = plan.wish.details;
  const platform = textMapOf(archiveMachine(archive).snapshot.platform);
  return {
    ...state,
    fields: {
      ...state.fields,
      name_label: machine.name,
      blocked_operations: machine.keptFields.blocked_operations,
      ...(platform === undefined ? {} : { platform }),
      ...(plan.host === undefined ? {} : { affinity: plan.host.ref }),
    },
    devices: [...state.devices, ...keptDevices(existing, plan, state.devices)],
    interfaces: [...wantedInterfaces(imported, plan)],
  };
}

/** Disks that the restore does not touch stay, in their places where the backup has nothing else there. */
function keptDevices(
  existing: Machine,
  { wish }: MachineRestorePlan,
  restored: readonly DeviceState[],
): readonly DeviceState[] {
  const spared = sparedDisks(existing, wish).map(deviceState);
  const taken = new Set(restored.map(({ position }) => position));
  const staying = spared.filter(({ position }) => !taken.has(position));
  for (const { position } of staying) taken.add(position);
  return spared.map((device) => {
    if (staying.includes(device)) return device;
    const position = freePlace(device.position, taken);
    taken.add(position);
    return { ...device, position };
  });
}

/** A random address of the range that everybody may hand out: unicast, locally administered. */
function freshMac(): string {
  const [first = 0, ...others] = randomBytes(6);
  return [(first & 0xfc) | 0x02, ...others].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function textMapOf(value: XmlRpcValue | undefined): Record<string, string> | undefined {
  if (!isStruct(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, typeof text === 'string' ? text : '']));
}
