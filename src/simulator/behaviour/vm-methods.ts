import { type CallContext, type Method, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { mapOf, NULL_REF, numberOf, textOf, wireDate, type WireValue } from '../wire/wire-value.js';
import { fieldsForCreate } from './constructor.js';
import { copyVm, newGenerationId } from './copy-vm.js';
import { freeDiskDevices, freeInterfaceDevices } from './devices.js';
import { cloneVdi } from './disks.js';
import { checkVmOperation, allowedVmOperations } from './vm-operations.js';
import { withOperation } from './with-operation.js';

export const vmMethods: MethodTable = {
  'VM.create': ({ pool }, args) => createVm(pool, fieldsForCreate(pool, 'VM', args.map(0))),
  'VM.clone': (context, args) => copy(context, 'clone', args.text(0), args.text(1), undefined),
  'VM.copy': (context, args) => {
    const sr = args.text(2);
    if (sr !== NULL_REF) context.pool.store.get('SR', sr);
    return copy(context, 'copy', args.text(0), args.text(1), sr === NULL_REF ? undefined : sr);
  },
  'VM.provision': ({ pool, task }, args) =>
    withOperation(pool, task, 'VM', args.text(0), 'provision', () => {
      const vm = args.text(0);
      const left = Object.entries(mapOf(pool.store.get('VM', vm), 'other_config')).filter(([key]) => key !== 'disks');
      pool.store.patch('VM', vm, { is_a_template: false, other_config: Object.fromEntries(left) });
      return undefined;
    }),
  'VM.set_is_a_template': ({ pool }, args) => {
    const vm = args.text(0);
    const metrics = textOf(pool.store.get('VM', vm), 'metrics');
    const isKnown = pool.store.has('VM_metrics', metrics);
    if (args.flag(1)) {
      checkVmOperation(pool, vm, 'make_into_template');
      if (isKnown) pool.store.destroy('VM_metrics', metrics);
      pool.store.patch('VM', vm, { is_a_template: true, ha_always_run: false, metrics: NULL_REF });
    } else {
      if (isKnown) pool.store.patch('VM_metrics', metrics, { install_time: wireDate(pool.nowMs()) });
      pool.store.patch('VM', vm, { is_a_template: false });
    }
    return undefined;
  },
  'VM.assert_operation_valid': ({ pool }, args) => {
    checkVmOperation(pool, args.text(0), args.text(1));
    return undefined;
  },
  'VM.update_allowed_operations': ({ pool }, args) => {
    const vm = args.text(0);
    pool.store.patch('VM', vm, { allowed_operations: allowedVmOperations(pool, vm, pool.store.get('VM', vm)) });
    return undefined;
  },
  'VM.get_allowed_VBD_devices': ({ pool }, args) => freeDiskDevices(pool, args.text(0)),
  'VM.get_allowed_VIF_devices': ({ pool }, args) => freeInterfaceDevices(pool, args.text(0)),
  'VM.set_memory_limits': memorySetter(1, (args) => ({
    memory_static_min: args(1),
    memory_static_max: args(2),
    memory_dynamic_min: args(3),
    memory_dynamic_max: args(4),
  })),
  'VM.set_memory': memorySetter(1, (args) => ({
    memory_static_max: args(1),
    memory_dynamic_min: args(1),
    memory_dynamic_max: args(1),
  })),
  'VM.set_memory_static_range': memorySetter(1, (args) => ({ memory_static_min: args(1), memory_static_max: args(2) })),
  'VM.set_memory_static_min': memorySetter(1, (args) => ({ memory_static_min: args(1) })),
  'VM.set_memory_static_max': memorySetter(1, (args) => ({ memory_static_max: args(1) })),
  'VM.set_memory_dynamic_range': memorySetter(0, (args) => ({
    memory_dynamic_min: args(1),
    memory_dynamic_max: args(2),
  })),
  'VM.set_memory_dynamic_min': memorySetter(0, (args) => ({ memory_dynamic_min: args(1) })),
  'VM.set_memory_dynamic_max': memorySetter(0, (args) => ({ memory_dynamic_max: args(1) })),
  'VM.set_VCPUs_max': ({ pool }, args) => {
    setVcpus(pool, args.text(0), { VCPUs_max: args.number(1) });
  },
  'VM.set_VCPUs_at_startup': ({ pool }, args) => {
    setVcpus(pool, args.text(0), { VCPUs_at_startup: args.number(1) });
  },
  'VM.set_VCPUs_number_live': ({ pool }, args) => {
    checkVmOperation(pool, args.text(0), 'changing_VCPUs_live');
    const metrics = textOf(pool.store.get('VM', args.text(0)), 'metrics');
    pool.store.patch('VM_metrics', metrics, { VCPUs_number: args.number(1) });
    return undefined;
  },
  'VM.set_HVM_shadow_multiplier': whileHalted('changing_shadow_memory', 'HVM_shadow_multiplier'),
  'VM.set_NVRAM': whileHalted('changing_NVRAM', 'NVRAM'),
  'VM.set_domain_type': ({ pool }, args) => {
    assertHalted(pool, args.text(0));
    pool.store.patch('VM', args.text(0), { domain_type: args.text(1) });
    return undefined;
  },
  'VM.set_HVM_boot_policy': ({ pool }, args) => {
    pool.store.patch('VM', args.text(0), {
      HVM_boot_policy: args.text(1),
      domain_type: args.text(1) === '' ? 'pv' : 'hvm',
    });
    return undefined;
  },
  'VM.set_has_vendor_device': ({ pool }, args) => {
    assertHalted(pool, args.text(0));
    pool.store.patch('VM', args.text(0), { has_vendor_device: args.flag(1) });
    return undefined;
  },
  'VM.set_bios_strings': ({ pool }, args) => {
    const vm = args.text(0);
    if (Object.keys(mapOf(pool.store.get('VM', vm), 'bios_strings')).length > 0) {
      throw new SimulatedFailure('VM_BIOS_STRINGS_ALREADY_SET');
    }
    pool.store.patch('VM', vm, { bios_strings: args.map(1) });
    return undefined;
  },
  'VM.copy_bios_strings': ({ pool }, args) => {
    const vm = args.text(0);
    if (Object.keys(mapOf(pool.store.get('VM', vm), 'bios_strings')).length > 0) {
      throw new SimulatedFailure('VM_BIOS_STRINGS_ALREADY_SET');
    }
    const strings = mapOf(pool.store.get('host', args.text(1)), 'bios_strings');
    pool.store.patch('VM', vm, { bios_strings: strings, affinity: args.text(1) });
    return undefined;
  },
  'VM.set_ha_restart_priority': ({ pool }, args) => {
    const priority = args.text(1);
    if (!['', 'restart', 'best-effort'].includes(priority)) {
      throw new SimulatedFailure('INVALID_VALUE', ['ha_restart_priority', priority]);
    }
    pool.store.patch('VM', args.text(0), { ha_restart_priority: priority });
    return undefined;
  },
  'VM.compute_memory_overhead': ({ pool }, args) => numberOf(pool.store.get('VM', args.text(0)), 'memory_overhead'),
  'VM.call_plugin': () => {
    throw new SimulatedFailure('XENAPI_MISSING_PLUGIN', ['guest-agent-operation']);
  },
  'VM.import_convert': () => {
    throw new SimulatedFailure('XENAPI_MISSING_PLUGIN', ['conversion']);
  },
  'VM.query_services': (_context, args) => {
    throw new SimulatedFailure('NOT_SYSTEM_DOMAIN', [args.text(0)]);
  },
};

function createVm(pool: SimulatedPool, fields: Readonly<Record<string, WireValue>>): string {
  assertMemoryOrder({ ...pool.datamodel.defaultsOf('VM'), ...fields });
  const config = mapOf(fields, 'other_config');
  const isSuspended = fields.power_state === 'Suspended';
  return pool.store.create('VM', {
    ...fields,
    other_config: 'mac_seed' in config ? config : { ...config, mac_seed: pool.random.uuid() },
    power_state: isSuspended ? 'Suspended' : 'Halted',
    memory_target: 0,
    memory_overhead: 12_582_912,
    domid: -1,
    generation_id: fields.generation_id === '' ? '' : newGenerationId(pool),
    domain_type: domainType(fields),
    metrics: pool.store.create('VM_metrics'),
  });
}

/** A VM without a type of its own is HVM exactly when it has an HVM boot policy. */
function domainType(fields: Readonly<Record<string, WireValue>>): string {
  const given = textOf(fields, 'domain_type');
  if (given !== '' && given !== 'unspecified') return given;
  return textOf(fields, 'HVM_boot_policy') === '' ? 'pv' : 'hvm';
}

async function copy(
  { pool, task }: CallContext,
  operation: 'clone' | 'copy',
  vm: string,
  name: string,
  sr: string | undefined,
): Promise<string> {
  return withOperation(pool, task, 'VM', vm, operation, () =>
    copyVm(pool, vm, name, {
      copyDisk: (vdi) => cloneVdi(pool, vdi, sr),
      keepsMacs: false,
      keepsGuestMetrics: false,
      fields: {},
    }),
  );
}

type NumberAt = (index: number) => number;

/** `limits` 1: the VM must be halted; 0: the dynamic range may change while it runs. */
function memorySetter(limits: 0 | 1, change: (args: NumberAt) => Readonly<Record<string, number>>): Method {
  return ({ pool }, args) => {
    const vm = args.text(0);
    checkVmOperation(pool, vm, limits === 1 ? 'changing_memory_limits' : 'changing_dynamic_range');
    const fields = change((index) => args.number(index));
    assertMemoryOrder({ ...pool.store.get('VM', vm), ...fields });
    pool.store.patch('VM', vm, fields);
    return undefined;
  };
}

/** static_min <= dynamic_min <= dynamic_max <= static_max. */
function assertMemoryOrder(record: Readonly<Record<string, WireValue>>): void {
  const bounds = ['memory_static_min', 'memory_dynamic_min', 'memory_dynamic_max', 'memory_static_max'].map((field) =>
    numberOf(record, field),
  );
  const isOrdered = bounds.every((bound, index) => index === 0 || (bounds[index - 1] ?? 0) <= bound);
  if (!isOrdered) {
    throw new SimulatedFailure('MEMORY_CONSTRAINT_VIOLATION', [
      'Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max',
    ]);
  }
}

function setVcpus(pool: SimulatedPool, vm: string, change: Readonly<Record<string, number>>): undefined {
  checkVmOperation(pool, vm, 'changing_VCPUs');
  const after = { ...pool.store.get('VM', vm), ...change };
  const [atStartup, max] = [numberOf(after, 'VCPUs_at_startup'), numberOf(after, 'VCPUs_max')];
  if (atStartup < 1 || max < 1 || atStartup > max) {
    const field = Object.keys(change)[0] ?? 'VCPUs_max';
    throw new SimulatedFailure('INVALID_VALUE', [field, String(change[field])]);
  }
  pool.store.patch('VM', vm, change);
  return undefined;
}

function whileHalted(operation: string, field: string): Method {
  return ({ pool }, args) => {
    checkVmOperation(pool, args.text(0), operation);
    pool.store.patch('VM', args.text(0), { [field]: args.value(1) });
    return undefined;
  };
}

function assertHalted(pool: SimulatedPool, vm: string): void {
  const state = textOf(pool.store.get('VM', vm), 'power_state');
  if (state !== 'Halted') throw new SimulatedFailure('VM_BAD_POWER_STATE', [vm, 'halted', state.toLowerCase()]);
}
