import { type MachineConfiguration } from '../browser/machine-configuration.js';
import { formatBytes } from '../common/byte-size.js';
import { type PlannedChange } from '../contract/index.js';
import { type MachineDetails } from '../format/machine-details.js';
import { type RestoreWish } from './restore-options.js';

/** Longer texts are shown by their beginning. */
const SHOWN_CHARACTERS = 72;

const CUSTOM_FIELD = 'XenCenter.CustomFields.';
export const AUTOSTART_KEY = 'auto_poweron';

const FIELD_WORDS: Readonly<Record<string, string>> = {
  name_label: 'name',
  name_description: 'description',
  is_a_template: 'is a template',
  ha_restart_priority: 'high availability',
  order: 'start order',
  start_delay: 'start delay',
  shutdown_delay: 'shutdown delay',
  blocked_operations: 'blocked',
  NVRAM: 'UEFI',
  VCPUs_params: 'CPU setting',
  'HVM_boot_params order': 'boot order',
  'HVM_boot_params firmware': 'firmware',
  HVM_boot_params: 'boot setting',
};

/** A configuration without anything in it. */
const NOTHING: MachineConfiguration = {
  fields: {},
  memory: { staticMin: 0, staticMax: 0, dynamicMin: 0, dynamicMax: 0 },
  vcpus: { max: 0, atStartup: 0 },
  otherConfig: {},
  tpms: 0,
};

/**
 * The configuration that was saved. Records of early versions know only some of it; the rest is taken from `base`.
 */
export function savedConfiguration(
  { machine, configuration }: MachineDetails,
  base: MachineConfiguration = NOTHING,
): MachineConfiguration {
  if (configuration !== undefined) return configuration;
  return {
    ...base,
    fields: {
      ...base.fields,
      ...machine.keptFields,
      name_label: machine.name,
      name_description: machine.description,
      is_a_template: machine.isTemplate,
    },
    memory: { ...base.memory, staticMax: machine.memoryBytes },
    vcpus: { ...base.vcpus, max: machine.vcpus },
  };
}

/** The configuration that the restored machine is to have. */
export function wantedConfiguration(saved: MachineConfiguration, wish: RestoreWish): MachineConfiguration {
  const { drops } = wish;
  const otherConfig = Object.entries(saved.otherConfig).filter(([key]) => !drops.autostart || key !== AUTOSTART_KEY);
  return {
    ...saved,
    fields: {
      ...saved.fields,
      name_label: wish.name,
      ...(drops.tags ? { tags: [] } : {}),
      ...(drops.highAvailability ? { ha_restart_priority: '' } : {}),
    },
    otherConfig: Object.fromEntries(otherConfig),
  };
}

/** What differs between two configurations, setting by setting, in a person's words. */
export function configurationChanges(now: MachineConfiguration, wanted: MachineConfiguration): PlannedChange[] {
  const before = settingsOf(now);
  const after = settingsOf(wanted);
  return [...new Set([...after.keys(), ...before.keys()])].flatMap((what): PlannedChange[] => {
    const [from = '', to = ''] = [before.get(what), after.get(what)];
    return from === to ? [] : [plannedChange(what, shown(what, from), shown(what, to))];
  });
}

/** Empty text means: there is none. */
export function plannedChange(what: string, from: string, to: string): PlannedChange {
  return { what, ...(from === '' ? {} : { from }), ...(to === '' ? {} : { to }) };
}

/** Every setting by the word for it, as it is. */
function settingsOf({ fields, memory, vcpus, otherConfig }: MachineConfiguration): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  const { name_label: name, name_description: description, ...others } = fields;
  const add = (field: string, value: MachineConfiguration['fields'][string] | undefined): void => {
    if (typeof value === 'object' && !Array.isArray(value)) {
      for (const [key, text] of Object.entries(value)) {
        settings.set(FIELD_WORDS[`${field} ${key}`] ?? `${FIELD_WORDS[field] ?? field} ${key}`, text);
      }
    } else if (value !== undefined) settings.set(FIELD_WORDS[field] ?? field, textOf(value));
  };
  add('name_label', name);
  add('name_description', description);
  settings.set('memory', String(memory.staticMax));
  settings.set('memory, least', String(memory.staticMin));
  settings.set('memory, dynamic most', String(memory.dynamicMax));
  settings.set('memory, dynamic least', String(memory.dynamicMin));
  settings.set('CPUs', String(vcpus.max));
  settings.set('CPUs at start', String(vcpus.atStartup));
  for (const [field, value] of Object.entries(others)) add(field, value);
  for (const [key, text] of Object.entries(otherConfig)) settings.set(otherConfigWord(key), text);
  return settings;
}

function otherConfigWord(key: string): string {
  if (key === AUTOSTART_KEY) return 'autostart';
  return key.startsWith(CUSTOM_FIELD) ? `custom field ${key.slice(CUSTOM_FIELD.length)}` : `other_config ${key}`;
}

function textOf(value: string | number | boolean | readonly string[]): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? [...value].sort().join(', ') : String(value);
}

function shown(what: string, text: string): string {
  if (what.startsWith('memory') && text !== '') return formatBytes(Number(text));
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS - 1)}…` : text;
}
