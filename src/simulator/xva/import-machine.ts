import { SimulatedFailure } from '../simulated-failure.js';
import { flagOf, mapOf, NULL_REF, numberOf, textOf, type WireValue, type XapiRecord } from '../wire/wire-value.js';
import { dummyRef, type ImportState, isDryRun, lookUp } from './import-state.js';
import { type ArchiveObject } from './ova-reader.js';
import { without } from './without.js';

const DEVICE_MODEL = 'qemu-upstream-compat';
const GENERATION_IDS_WITHOUT_MEANING = new Set(['', '0:0']);

/** Makes the VM of the archive, or finds what stands for it (facts 5.5). */
export function importVm(state: ImportState, object: ArchiveObject): void {
  const { store } = state.pool;
  const name = textOf(object.record, 'name_label');
  const template = isDefaultTemplate(object.record)
    ? store.all('VM').find(([, record]) => textOf(record, 'name_label') === name)?.[0]
    : undefined;
  if (template !== undefined) {
    state.table.set(object.id, template);
    state.vms.add(template);
    return;
  }
  const existing = state.settings.restore ? byUuid(state, textOf(object.record, 'uuid')) : undefined;
  if (existing !== undefined && !mayReplace(state, existing, object.record)) return;
  if (isDryRun(state)) {
    state.table.set(object.id, dummyRef(state));
    return;
  }
  if (existing !== undefined) state.actions.destroyVm(existing);
  createVm(state, object, existing === undefined);
}

/** False when a forced import leaves the VM out. Throws VM_BAD_POWER_STATE, VM_TO_IMPORT_IS_NOT_NEWER_VERSION. */
function mayReplace(state: ImportState, existing: string, archive: XapiRecord): boolean {
  const present = state.pool.store.get('VM', existing);
  const powerState = textOf(present, 'power_state');
  if (powerState !== 'Halted') {
    if (state.settings.force) return false;
    throw new SimulatedFailure('VM_BAD_POWER_STATE', [existing, 'Halted', powerState]);
  }
  const have = numberOf(present, 'version');
  const got = numberOf(archive, 'version');
  if (have >= got && !state.settings.force) {
    throw new SimulatedFailure('VM_TO_IMPORT_IS_NOT_NEWER_VERSION', [existing, String(have), String(got)]);
  }
  return true;
}

function createVm(state: ImportState, object: ArchiveObject, isClean: boolean): void {
  const { pool, settings } = state;
  const fields = newVmFields(state, object, isClean);
  const metrics = pool.store.create('VM_metrics', { current_domain_type: 'unspecified' });
  const vm = pool.store.create('VM', { ...fields, metrics });
  state.cleanup.add('VM', () => {
    if (pool.store.has('VM', vm)) state.actions.destroyVm(vm);
  });
  if (textOf(object.record, 'power_state') === 'Suspended') suspend(state, vm, object.record);
  if (!settings.force) pool.store.patch('VM', vm, { current_operations: { [settings.task]: 'import' } });
  state.table.set(object.id, vm);
  state.vms.add(vm);
}

function newVmFields(state: ImportState, object: ArchiveObject, isClean: boolean): Record<string, WireValue> {
  const { pool, settings } = state;
  const { record } = object;
  const { uuid, ...kept } = record;
  const isTemplate = flagOf(record, 'is_a_template');
  const domainType = domainTypeOf(record);
  const known = (field: string): string => state.table.get(textOf(record, field)) ?? NULL_REF;
  return {
    ...kept,
    ...(settings.restore && uuid !== undefined ? { uuid } : {}),
    other_config: otherConfigOf(state, record, isClean),
    is_default_template: false,
    generation_id: isTemplate
      ? textOf(record, 'generation_id')
      : freshGenerationId(state, textOf(record, 'generation_id')),
    ...(object.present.has('has_vendor_device') ? {} : { has_vendor_device: false }),
    platform: platformOf(record, domainType, isTemplate),
    domain_type: domainType,
    version: settings.restore ? numberOf(record, 'version') + 1 : 0,
    protection_policy: NULL_REF,
    snapshot_schedule: NULL_REF,
    appliance: NULL_REF,
    groups: [],
    power_state: 'Halted',
    suspend_VDI: NULL_REF,
    suspend_SR: pool.store.has('SR', textOf(record, 'suspend_SR')) ? textOf(record, 'suspend_SR') : NULL_REF,
    resident_on: known('resident_on'),
    scheduled_to_be_resident_on: NULL_REF,
    affinity: known('affinity'),
    guest_metrics: known('guest_metrics'),
    domid: -1,
    blocked_operations: {},
    allowed_operations: [],
    current_operations: {},
    snapshot_metadata: '',
    // Both are ids of the archive still; linkSnapshots puts the references in.
    snapshot_of: NULL_REF,
    parent: NULL_REF,
    VIFs: [],
    VBDs: [],
    VUSBs: [],
    VGPUs: [],
    VTPMs: [],
    consoles: [],
    crash_dumps: [],
    attached_PCIs: [],
    snapshots: [],
    children: [],
    blobs: {},
    requires_reboot: false,
    pending_guidances: [],
    pending_guidances_recommended: [],
    pending_guidances_full: [],
  };
}

function otherConfigOf(state: ImportState, record: XapiRecord, isClean: boolean): Record<string, string> {
  const { restore, force, task } = state.settings;
  const config = without(mapOf(record, 'other_config'), 'import_task', 'grant_api_access');
  const { mac_seed: seed, default_template: isDefault, ...rest } = config;
  return {
    import_task: task,
    mac_seed: restore && seed !== undefined ? seed : state.pool.random.uuid(),
    ...(isDefault !== undefined && (force || !isClean) ? { default_template: isDefault } : {}),
    ...rest,
  };
}

function platformOf(record: XapiRecord, domainType: string, isTemplate: boolean): Record<string, string> {
  const platform = mapOf(record, 'platform');
  if (isTemplate || domainType !== 'hvm') return platform;
  if (platform['device-model'] === 'qemu-trad') return { ...platform, 'device-model': DEVICE_MODEL };
  return 'device-model' in platform ? platform : { 'device-model': DEVICE_MODEL, ...platform };
}

function domainTypeOf(record: XapiRecord): string {
  const type = textOf(record, 'domain_type');
  if (type !== 'unspecified' && type !== '') return type;
  return textOf(record, 'HVM_boot_policy') === '' ? 'pv' : 'hvm';
}

function freshGenerationId(state: ImportState, current: string): string {
  if (GENERATION_IDS_WITHOUT_MEANING.has(current)) return current;
  const half = (): string => state.pool.random.bytes(8).readBigInt64BE().toString();
  return `${half()}:${half()}`;
}

function suspend(state: ImportState, vm: string, record: XapiRecord): void {
  const image = textOf(record, 'suspend_VDI');
  if (!state.table.has(image) && state.settings.force) return;
  state.pool.store.patch('VM', vm, { power_state: 'Suspended', suspend_VDI: lookUp(state, image) });
}

/** Once all VMs are there: snapshots point to their VM, and everything to its parent. */
export function linkSnapshots(state: ImportState): void {
  for (const object of state.objects) {
    const vm = object.cls === 'VM' ? state.table.get(object.id) : undefined;
    if (vm === undefined || !state.pool.store.has('VM', vm)) continue;
    const source = textOf(object.record, 'snapshot_of');
    if (flagOf(object.record, 'is_a_snapshot') && source !== NULL_REF && source !== '') {
      state.pool.store.patch('VM', vm, { snapshot_of: lookUp(state, source) });
    }
    const parent = state.table.get(textOf(object.record, 'parent'));
    if (parent !== undefined) state.pool.store.patch('VM', vm, { parent });
  }
}

/** Refuses a restore whose MAC seed an unrelated VM of the pool has: DUPLICATE_MAC_SEED [seed]. */
export function assertNoForeignMacSeed(state: ImportState): void {
  for (const object of state.objects) {
    const seed = object.cls === 'VM' ? mapOf(object.record, 'other_config').mac_seed : undefined;
    if (seed === undefined) continue;
    for (const [, present] of state.pool.store.all('VM')) {
      if (mapOf(present, 'other_config').mac_seed !== seed) continue;
      if (!isSameFamily(state, object.record, present)) throw new SimulatedFailure('DUPLICATE_MAC_SEED', [seed]);
    }
  }
}

/** Two records are of one VM: the VM itself, or a snapshot of it. */
function isSameFamily(state: ImportState, a: XapiRecord, b: XapiRecord): boolean {
  const first = familyOf(state, a);
  return first !== undefined && first === familyOf(state, b);
}

function familyOf(state: ImportState, record: XapiRecord): string | undefined {
  if (!flagOf(record, 'is_a_snapshot')) return textOf(record, 'uuid');
  const source = textOf(record, 'snapshot_of');
  if (source.startsWith('Ref:')) {
    const object = state.objects.find(({ cls, id }) => cls === 'VM' && id === source);
    return object === undefined ? undefined : textOf(object.record, 'uuid');
  }
  const present = state.pool.store.find('VM', source);
  if (present !== undefined) return textOf(present, 'uuid');
  return /\('uuid' '([^']*)'\)/.exec(textOf(record, 'snapshot_metadata'))?.[1];
}

function byUuid(state: ImportState, uuid: string): string | undefined {
  return state.pool.store.all('VM').find(([, record]) => textOf(record, 'uuid') === uuid)?.[0];
}

function isDefaultTemplate(record: XapiRecord): boolean {
  const hasMark = flagOf(record, 'is_a_template') && mapOf(record, 'other_config').default_template === 'true';
  return flagOf(record, 'is_default_template') || hasMark;
}
