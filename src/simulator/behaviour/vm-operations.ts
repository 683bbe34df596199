import { compareLifecycles } from '../datamodel/release.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, NULL_REF, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';

type PowerState = 'Halted' | 'Paused' | 'Running' | 'Suspended';

/** The power states in which an operation is possible, in the order XAPI names them; operations not listed: any. */
const POWER_STATES: Readonly<Record<string, readonly PowerState[]>> = {
  snapshot: ['Halted', 'Paused', 'Running', 'Suspended'],
  checkpoint: ['Paused', 'Suspended', 'Running'],
  snapshot_with_quiesce: ['Running'],
  clone: ['Halted'],
  copy: ['Halted'],
  export: ['Halted', 'Suspended'],
  destroy: ['Halted', 'Suspended'],
  start: ['Halted'],
  start_on: ['Halted'],
  pause: ['Running'],
  unpause: ['Paused'],
  clean_shutdown: ['Running'],
  clean_reboot: ['Running'],
  hard_shutdown: ['Paused', 'Suspended', 'Running'],
  hard_reboot: ['Paused', 'Running'],
  suspend: ['Running'],
  resume: ['Suspended'],
  resume_on: ['Suspended'],
  pool_migrate: ['Running'],
  migrate_send: ['Halted', 'Suspended', 'Running'],
  make_into_template: ['Halted'],
  provision: ['Halted'],
  changing_static_range: ['Halted'],
  changing_dynamic_range: ['Halted', 'Running'],
  changing_memory_limits: ['Halted'],
  changing_shadow_memory: ['Halted'],
  changing_VCPUs: ['Halted'],
  changing_VCPUs_live: ['Running'],
  changing_NVRAM: ['Halted'],
  create_vtpm: ['Halted'],
  metadata_export: ['Halted', 'Paused', 'Running', 'Suspended'],
  revert: ['Halted', 'Paused', 'Running', 'Suspended'],
};

const FOR_TEMPLATES = new Set(['clone', 'copy', 'export', 'metadata_export', 'provision', 'changing_NVRAM']);
const FOR_OWN_TEMPLATES = new Set(['destroy', 'migrate_send']);
const FOR_SNAPSHOTS = new Set(['revert', 'clone', 'copy', 'export', 'destroy', 'hard_shutdown', 'metadata_export']);
const FOR_CONTROL_DOMAINS = new Set([
  'metadata_export',
  'changing_static_range',
  'changing_dynamic_range',
  'changing_memory_limits',
  'changing_VCPUs',
  'start',
  'start_on',
  'destroy',
]);
const NEEDS_GUEST = new Set(['suspend', 'checkpoint', 'clean_shutdown', 'clean_reboot']);
const NEEDS_SUSPENDING = new Set(['suspend', 'checkpoint', 'pool_migrate', 'migrate_send']);
/** Allowed while a rolling upgrade of the pool runs. Note what is not: snapshot, checkpoint, metadata_export. */
const DURING_UPGRADE = new Set([
  'export',
  'import',
  'clone',
  'copy',
  'destroy',
  'start',
  'start_on',
  'clean_shutdown',
  'hard_shutdown',
  'clean_reboot',
  'hard_reboot',
  'suspend',
  'resume',
  'resume_on',
  'pool_migrate',
  'migrate_send',
  'pause',
  'unpause',
  'provision',
  'make_into_template',
  'changing_VCPUs_live',
]);
/** Sets of operations that may run side by side on one VM. */
const COMPATIBLE: readonly ReadonlySet<string>[] = [
  new Set(['clone', 'copy', 'export']),
  new Set(['snapshot', 'checkpoint']),
];
/** What goes ahead of everything but of these. */
const OVERRIDING: Readonly<Record<string, readonly string[]>> = {
  hard_shutdown: ['hard_shutdown'],
  hard_reboot: ['hard_shutdown', 'hard_reboot'],
};

/** What `allowed_operations` lists, in XAPI's order. */
const LISTED = [
  'create_vtpm',
  'destroy',
  'metadata_export',
  'export',
  'make_into_template',
  'changing_NVRAM',
  'changing_VCPUs_live',
  'changing_shadow_memory',
  'changing_static_range',
  'changing_dynamic_range',
  'migrate_send',
  'pool_migrate',
  'revert',
  'resume_on',
  'resume',
  'suspend',
  'hard_reboot',
  'hard_shutdown',
  'clean_reboot',
  'clean_shutdown',
  'unpause',
  'pause',
  'start_on',
  'start',
  'provision',
  'snapshot_with_quiesce',
  'checkpoint',
  'copy',
  'clone',
  'snapshot',
] as const;

/**
 * Throws the failure that keeps `operation` from being started on the VM, in XAPI's order of checks: blocked, power
 * state, other work, template, snapshot, control domain, guest, devices, upgrade.
 */
export function checkVmOperation(pool: SimulatedPool, ref: string, operation: string): void {
  const failure = vmOperationFailure(pool, ref, pool.store.get('VM', ref), operation);
  if (failure !== undefined) throw failure;
}

/** The operations that a client may start now. */
export function allowedVmOperations(pool: SimulatedPool, ref: string, record: XapiRecord): readonly string[] {
  return LISTED.filter((operation) => vmOperationFailure(pool, ref, record, operation) === undefined);
}

function vmOperationFailure(
  pool: SimulatedPool,
  ref: string,
  record: XapiRecord,
  operation: string,
): SimulatedFailure | undefined {
  const state = textOf(record, 'power_state');
  const isSnapshot = flagOf(record, 'is_a_snapshot');
  const reason = mapOf(record, 'blocked_operations')[operation];
  if (reason !== undefined) return new SimulatedFailure('OPERATION_BLOCKED', [ref, reason]);
  const states = powerStatesFor(operation, record);
  if (!isListed(states, state)) {
    const wanted = states.map((one) => one.toLowerCase()).join(', ');
    return new SimulatedFailure('VM_BAD_POWER_STATE', [ref, wanted, state.toLowerCase()]);
  }
  return (
    concurrencyFailure(pool, ref, record, operation) ??
    kindFailure(ref, record, operation, isSnapshot) ??
    deviceFailure(pool, ref, record, operation)
  );
}

function powerStatesFor(operation: string, record: XapiRecord): readonly PowerState[] {
  if (flagOf(record, 'is_control_domain') && operation.startsWith('changing_')) return ['Halted', 'Running'];
  const isSnapshot = flagOf(record, 'is_a_snapshot');
  if (isSnapshot && (operation === 'clone' || operation === 'copy')) return ['Halted', 'Suspended'];
  return POWER_STATES[operation] ?? ['Halted', 'Paused', 'Running', 'Suspended'];
}

function isListed(states: readonly string[], state: string): boolean {
  return states.includes(state);
}

function concurrencyFailure(
  pool: SimulatedPool,
  ref: string,
  record: XapiRecord,
  operation: string,
): SimulatedFailure | undefined {
  const current = mapOf(record, 'current_operations');
  const running = Object.values(current);
  if (running.length === 0) return undefined;
  const stronger = OVERRIDING[operation];
  if (stronger !== undefined && !running.some((one) => stronger.includes(one))) return undefined;
  const isTogether = COMPATIBLE.some((set) => set.has(operation) && running.every((one) => set.has(one)));
  if (isTogether) return undefined;
  const [names, tasks] = [inBraces(running), inBraces(Object.keys(current))];
  const isNamed = compareLifecycles([], pool.datamodel.release.xapiVersion, '25.27.0') >= 0;
  const params = isNamed ? ['VM', ref, names, tasks] : [`VM.${names}`, ref];
  return new SimulatedFailure('OTHER_OPERATION_IN_PROGRESS', params);
}

function inBraces(names: readonly string[]): string {
  return names.length === 1 ? names.join('') : `{${names.join(',')}}`;
}

function kindFailure(
  ref: string,
  record: XapiRecord,
  operation: string,
  isSnapshot: boolean,
): SimulatedFailure | undefined {
  if (isSnapshot) {
    return FOR_SNAPSHOTS.has(operation) ? undefined : new SimulatedFailure('VM_IS_SNAPSHOT', [ref, operation]);
  }
  const isTemplate = flagOf(record, 'is_a_template');
  if (isTemplate) {
    const isDefault =
      flagOf(record, 'is_default_template') || mapOf(record, 'other_config').default_template === 'true';
    const isAllowed =
      FOR_TEMPLATES.has(operation) ||
      operation.startsWith('changing_') ||
      (FOR_OWN_TEMPLATES.has(operation) && !isDefault);
    if (!isAllowed) return new SimulatedFailure('VM_IS_TEMPLATE', [ref, operation]);
  }
  if (operation === 'provision' && !isTemplate) return new SimulatedFailure('PROVISION_ONLY_ALLOWED_ON_TEMPLATE');
  if (operation === 'revert') return new SimulatedFailure('REVERT_ONLY_ALLOWED_ON_SNAPSHOT');
  if (!flagOf(record, 'is_control_domain')) return undefined;
  if (operation === 'changing_VCPUs' || operation === 'destroy') {
    return new SimulatedFailure('OPERATION_NOT_ALLOWED', ['This operation is not allowed on dom0']);
  }
  return FOR_CONTROL_DOMAINS.has(operation)
    ? undefined
    : new SimulatedFailure('OPERATION_NOT_ALLOWED', ['This operation is not allowed on a control domain']);
}

function deviceFailure(
  pool: SimulatedPool,
  ref: string,
  record: XapiRecord,
  operation: string,
): SimulatedFailure | undefined {
  const guest = pool.store.find('VM_guest_metrics', textOf(record, 'guest_metrics'));
  const isRunning = textOf(record, 'power_state') === 'Running';
  if (isRunning && NEEDS_GUEST.has(operation) && guest !== undefined && !flagOf(guest, 'PV_drivers_detected')) {
    return new SimulatedFailure('VM_LACKS_FEATURE', [ref]);
  }
  const reason = mapOf(guest ?? {}, 'other')['data-cant-suspend-reason'];
  if (reason !== undefined && NEEDS_SUSPENDING.has(operation)) {
    return new SimulatedFailure('VM_NON_SUSPENDABLE', [ref, reason]);
  }
  if (operation === 'snapshot_with_quiesce' && !canQuiesce(pool, guest)) {
    return new SimulatedFailure('VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED', [ref]);
  }
  const isMemoryKept = operation === 'suspend' || operation === 'checkpoint';
  const isImaged = isMemoryKept || operation === 'snapshot' || operation === 'snapshot_with_quiesce';
  if (isImaged && hasResettingDisk(pool, record)) {
    return new SimulatedFailure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION');
  }
  if (isMemoryKept && setOf(record, 'attached_PCIs').length > 0)
    return new SimulatedFailure('VM_HAS_PCI_ATTACHED', [ref]);
  if (isMemoryKept && setOf(record, 'VGPUs').length > 0) return new SimulatedFailure('VM_HAS_VGPU', [ref]);
  if ((isMemoryKept || operation === 'snapshot') && setOf(record, 'VUSBs').length > 0) {
    return new SimulatedFailure('VM_HAS_VUSBS', [ref]);
  }
  const appliance = textOf(record, 'appliance');
  if (operation === 'make_into_template' && pool.store.has('VM_appliance', appliance)) {
    return new SimulatedFailure('VM_IS_PART_OF_AN_APPLIANCE', [ref, appliance]);
  }
  if (isUpgrading(pool) && !DURING_UPGRADE.has(operation)) return new SimulatedFailure('NOT_SUPPORTED_DURING_UPGRADE');
  return undefined;
}

/** Up to release 8.0, and only with a VSS provider in the guest. */
function canQuiesce(pool: SimulatedPool, guest: XapiRecord | undefined): boolean {
  const isRemoved = pool.datamodel.message('VM.snapshot_with_quiesce')?.isRemoved !== false;
  return !isRemoved && mapOf(guest ?? {}, 'other')['feature-quiesce'] === '1';
}

/** A rolling upgrade of the pool runs. */
export function isUpgrading(pool: SimulatedPool): boolean {
  return 'rolling_upgrade_in_progress' in mapOf(pool.poolEntry[1], 'other_config');
}

function hasResettingDisk(pool: SimulatedPool, record: XapiRecord): boolean {
  return setOf(record, 'VBDs').some((vbd) => {
    const vdi = textOf(pool.store.find('VBD', vbd) ?? {}, 'VDI');
    return vdi !== NULL_REF && mapOf(pool.store.find('VDI', vdi) ?? {}, 'sm_config').on_boot === 'reset';
  });
}
