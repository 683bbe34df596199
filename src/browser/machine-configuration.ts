import { createHash } from 'node:crypto';
import { type VmRecord } from '../xapi/xapi-records.js';

/** Fields of a machine that a setter of the same name (`VM.set_<field>`) brings back. */
export const PLAIN_FIELDS = [
  'name_label',
  'name_description',
  'user_version',
  'is_a_template',
  'affinity',
  'VCPUs_params',
  'actions_after_shutdown',
  'actions_after_reboot',
  'actions_after_crash',
  'actions_after_softreboot',
  'PV_bootloader',
  'PV_kernel',
  'PV_ramdisk',
  'PV_args',
  'PV_bootloader_args',
  'PV_legacy_args',
  'domain_type',
  'HVM_boot_policy',
  'HVM_boot_params',
  'HVM_shadow_multiplier',
  'platform',
  'PCI_bus',
  'xenstore_data',
  'recommendations',
  'tags',
  'NVRAM',
  'hardware_platform_version',
  'has_vendor_device',
  'ha_restart_priority',
  'order',
  'start_delay',
  'shutdown_delay',
  'blocked_operations',
] as const;

type SettingValue = string | number | boolean | string[] | Record<string, string>;

/** The settings of a machine by XAPI's names. Memory in bytes. */
export interface MachineConfiguration {
  fields: Record<string, SettingValue>;
  memory: { staticMin: number; staticMax: number; dynamicMin: number; dynamicMax: number };
  vcpus: { max: number; atStartup: number };
  otherConfig: Record<string, string>;
  /** How many virtual TPMs it has. */
  tpms: number;
}

/** Keys of `other_config` that the pool or this program writes: they are not configuration. */
export function isConfigurationKey(key: string): boolean {
  return !key.startsWith('xen-backup:') && key !== 'import_task' && key !== 'mac_seed';
}

/**
 * What a person would call the configuration of a machine, as plain JSON, so that a plan can say what a restore changes
 * without reading the archive. UEFI variables are long and opaque: of each only a digest is kept.
 */
export function machineConfiguration(record: VmRecord): MachineConfiguration {
  const fields: MachineConfiguration['fields'] = {};
  for (const field of PLAIN_FIELDS) {
    // A reference means nothing in another pool.
    if (field === 'affinity') continue;
    const value: unknown = field === 'NVRAM' ? digested(record.NVRAM) : structuredClone(record[field]);
    fields[field] = value as MachineConfiguration['fields'][string];
  }
  return {
    fields,
    memory: {
      staticMin: record.memory_static_min,
      staticMax: record.memory_static_max,
      dynamicMin: record.memory_dynamic_min,
      dynamicMax: record.memory_dynamic_max,
    },
    vcpus: { max: record.VCPUs_max, atStartup: record.VCPUs_at_startup },
    otherConfig: Object.fromEntries(Object.entries(record.other_config).filter(([key]) => isConfigurationKey(key))),
    tpms: record.VTPMs.length,
  };
}

function digested(variables: Readonly<Record<string, string>>): Record<string, string> {
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);
  return Object.fromEntries(
    Object.entries(variables).map(([key, text]) => [key, `${text.length} characters, ${digest(text)}`]),
  );
}
