import { z } from 'zod';
import { type Machine, type MachineDevice, type MachineInterface } from '../browser/machine.js';
import { isConfigurationKey, PLAIN_FIELDS } from '../browser/machine-configuration.js';

/** Keys of our own in a machine's `other_config`. */
export const JOURNAL_KEY = 'xen-backup:overwrite';
export const JOURNAL_DONE_KEY = 'xen-backup:overwrite-done';

const scalarOrMap = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.array(z.string()),
  z.record(z.string(), z.string()),
]);
const textMap = z.record(z.string(), z.string());

const deviceStateSchema = z.strictObject({
  /** `userdevice`. */
  position: z.string(),
  type: z.enum(['Disk', 'CD', 'Floppy']),
  mode: z.enum(['RO', 'RW']),
  isBootable: z.boolean(),
  isUnpluggable: z.boolean(),
  /** UUID of the disk or ISO in it; empty for an empty drive. */
  mediumUuid: z.string(),
  otherConfig: textMap,
  qosType: z.string(),
  qosParams: textMap,
});

const interfaceStateSchema = z.strictObject({
  position: z.string(),
  mac: z.string(),
  /** Reference of the network. */
  network: z.string(),
  mtu: z.number(),
  otherConfig: textMap,
  lockingMode: z.string(),
  ipv4Allowed: z.array(z.string()),
  ipv6Allowed: z.array(z.string()),
  qosType: z.string(),
  qosParams: textMap,
});

/**
 * What makes a machine what it is, as plain JSON: enough to bring it back to this state while its disks exist. A state
 * may name only some fields; the others are then left as they are.
 */
export const machineStateSchema = z.strictObject({
  fields: z.record(z.string(), scalarOrMap),
  memory: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  vcpus: z.strictObject({ max: z.number(), atStartup: z.number() }),
  otherConfig: textMap,
  devices: z.array(deviceStateSchema),
  interfaces: z.array(interfaceStateSchema),
});

export type MachineState = z.infer<typeof machineStateSchema>;
export type DeviceState = MachineState['devices'][number];
export type InterfaceState = MachineState['interfaces'][number];
export type FieldValue = z.infer<typeof scalarOrMap>;

/** The state of a machine as it is now. */
export function machineState(machine: Machine): MachineState {
  const { record } = machine;
  const fields: Record<string, FieldValue> = {};
  for (const field of PLAIN_FIELDS) fields[field] = structuredClone(record[field]) as FieldValue;
  return {
    fields,
    memory: [record.memory_static_min, record.memory_static_max, record.memory_dynamic_min, record.memory_dynamic_max],
    vcpus: { max: record.VCPUs_max, atStartup: record.VCPUs_at_startup },
    otherConfig: Object.fromEntries(Object.entries(record.other_config).filter(([key]) => isConfigurationKey(key))),
    devices: machine.devices.map(deviceState),
    interfaces: machine.interfaces.map(interfaceState),
  };
}

export function deviceState({ record, medium }: MachineDevice): DeviceState {
  return {
    position: record.userdevice,
    type: record.type,
    mode: record.mode,
    isBootable: record.bootable,
    isUnpluggable: record.unpluggable,
    mediumUuid: medium?.record.uuid ?? '',
    otherConfig: { ...record.other_config },
    qosType: record.qos_algorithm_type,
    qosParams: { ...record.qos_algorithm_params },
  };
}

export function interfaceState({ record }: MachineInterface): InterfaceState {
  return {
    position: record.device,
    mac: record.MAC.toLowerCase(),
    network: record.network,
    mtu: record.MTU,
    otherConfig: { ...record.other_config },
    lockingMode: record.locking_mode,
    ipv4Allowed: [...record.ipv4_allowed],
    ipv6Allowed: [...record.ipv6_allowed],
    qosType: record.qos_algorithm_type,
    qosParams: { ...record.qos_algorithm_params },
  };
}
