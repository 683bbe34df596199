import { hostSeeing } from '../http/redirect.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import {
  EPOCH,
  flagOf,
  mapOf,
  NULL_REF,
  numberOf,
  setOf,
  textOf,
  wireDate,
  type WireMap,
  type XapiRecord,
} from '../wire/wire-value.js';
import { openLogsOf } from './change-logs.js';
import { createSuspendImage } from './checkpoint-vm.js';
import { deviceName } from './devices.js';
import { destroyVdi } from './disks.js';
import { DEVICE_MODEL, GENERIC_BIOS } from './firmware.js';
import { postVmMessage } from './messages.js';
import { createGuestMetrics, guestOf } from './guests.js';
import { withOperation } from './with-operation.js';

export const vmPowerMethods: MethodTable = {
  'VM.start': (context, args) => startVm(context, args.text(0), undefined, args.flag(1)),
  'VM.start_on': (context, args) => startVm(context, args.text(0), args.text(1), args.flag(2)),
  'VM.resume': (context, args) => resumeVm(context, args.text(0), undefined, args.flag(1)),
  'VM.resume_on': (context, args) => resumeVm(context, args.text(0), args.text(1), args.flag(2)),
  'VM.clean_shutdown': (context, args) => shutDown(context, args.text(0), 'clean_shutdown'),
  'VM.hard_shutdown': (context, args) => shutDown(context, args.text(0), 'hard_shutdown'),
  'VM.shutdown': (context, args) => shutDown(context, args.text(0), 'hard_shutdown'),
  'VM.clean_reboot': (context, args) => reboot(context, args.text(0), 'clean_reboot'),
  'VM.hard_reboot': (context, args) => reboot(context, args.text(0), 'hard_reboot'),
  'VM.suspend': ({ pool, task }, args) =>
    withOperation(pool, task, 'VM', args.text(0), 'suspend', () => {
      const vm = args.text(0);
      const suspendVdi = createSuspendImage(pool, vm);
      leaveHost(pool, vm, { power_state: 'Suspended', suspend_VDI: suspendVdi });
      postVmMessage(pool, 'VM_SUSPENDED', vm, 'suspended');
      return undefined;
    }),
  'VM.pause': ({ pool, task }, args) =>
    withOperation(pool, task, 'VM', args.text(0), 'pause', () => {
      pool.store.patch('VM', args.text(0), { power_state: 'Paused' });
      postVmMessage(pool, 'VM_PAUSED', args.text(0), 'paused');
      return undefined;
    }),
  'VM.unpause': ({ pool, task }, args) =>
    withOperation(pool, task, 'VM', args.text(0), 'unpause', () => {
      pool.store.patch('VM', args.text(0), { power_state: 'Running' });
      postVmMessage(pool, 'VM_UNPAUSED', args.text(0), 'unpaused');
      return undefined;
    }),
  'VM.power_state_reset': ({ pool }, args) => {
    leaveHost(pool, args.text(0), { power_state: 'Halted' });
    return undefined;
  },
  'VM.pool_migrate': ({ pool, task }, args) =>
    withOperation(pool, task, 'VM', args.text(0), 'pool_migrate', () => {
      pool.store.patch('VM', args.text(0), { resident_on: chooseHost(pool, args.text(0), args.text(1)) });
      return undefined;
    }),
  'VM.migrate_send': ({ pool }, args) => {
    pool.store.get('VM', args.text(0));
    // A destination that names no host is not understood, before anything else is looked at.
    const problem: readonly [string, string] = ['host', 'master'].every((key) => key in args.map(1))
      ? ['NOT_IMPLEMENTED', 'VM.migrate_send']
      : ['INTERNAL_ERROR', 'Not_found'];
    throw new SimulatedFailure(problem[0], [problem[1]]);
  },
  'VM.get_possible_hosts': ({ pool }, args) => {
    const srs = srsOf(pool, pool.store.get('VM', args.text(0)));
    return pool.store
      .all('host')
      .map(([ref]) => ref)
      .filter((ref) => hostSeeing(pool, srs, ref) === ref);
  },
};

export async function startVm(
  { pool, task }: CallContext,
  vm: string,
  host: string | undefined,
  isPaused: boolean,
): Promise<undefined> {
  await withOperation(pool, task, 'VM', vm, host === undefined ? 'start' : 'start_on', () => {
    const chosen = chooseHost(pool, vm, host);
    assertDisksFree(pool, vm);
    enterHost(pool, vm, chosen, isPaused);
    postVmMessage(pool, 'VM_STARTED', vm, `started on host: ${hostText(pool, chosen)}`);
  });
  return undefined;
}

async function resumeVm(
  { pool, task }: CallContext,
  vm: string,
  host: string | undefined,
  isPaused: boolean,
): Promise<undefined> {
  await withOperation(pool, task, 'VM', vm, host === undefined ? 'resume' : 'resume_on', () => {
    const chosen = chooseHost(pool, vm, host);
    assertDisksFree(pool, vm);
    dropSuspendImage(pool, vm);
    enterHost(pool, vm, chosen, isPaused);
    postVmMessage(pool, 'VM_RESUMED', vm, `resumed on host: ${hostText(pool, chosen)}`);
  });
  return undefined;
}

export async function shutDown(context: CallContext, vm: string, operation: string): Promise<undefined> {
  const { pool, task } = context;
  await withOperation(pool, task, 'VM', vm, operation, async () => {
    if (operation === 'clean_shutdown') await askGuest(context, vm);
    switchOff(pool, vm);
  });
  return undefined;
}

/** Off, whatever the VM was doing; the memory of a suspended one is gone. */
export function switchOff(pool: SimulatedPool, vm: string): void {
  if (textOf(pool.store.get('VM', vm), 'power_state') === 'Suspended') dropSuspendImage(pool, vm);
  leaveHost(pool, vm, { power_state: 'Halted' });
  postVmMessage(pool, 'VM_SHUTDOWN', vm, 'shutdown');
}

async function reboot(context: CallContext, vm: string, operation: string): Promise<undefined> {
  const { pool, task } = context;
  await withOperation(pool, task, 'VM', vm, operation, async () => {
    if (operation === 'clean_reboot') await askGuest(context, vm);
    const host = textOf(pool.store.get('VM', vm), 'resident_on');
    leaveHost(pool, vm, { power_state: 'Halted' });
    enterHost(pool, vm, host, false);
    postVmMessage(pool, 'VM_REBOOTED', vm, 'rebooted');
  });
  return undefined;
}

/** Throws VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT [vm] or VM_SHUTDOWN_TIMEOUT [vm, seconds] for a guest that does not obey. */
async function askGuest({ pool, signal }: CallContext, vm: string): Promise<void> {
  const { shutdown = 'works' } = guestOf(pool, vm);
  if (shutdown === 'ignored') {
    await pool.clock.sleep(pool.timings.shutdownAcknowledgeMs, signal);
    throw new SimulatedFailure('VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT', [vm]);
  }
  if (shutdown === 'endless') {
    await pool.clock.sleep(pool.timings.shutdownMs, signal);
    throw new SimulatedFailure('VM_SHUTDOWN_TIMEOUT', [vm, `${pool.timings.shutdownMs / 1000}.`]);
  }
}

function chooseHost(pool: SimulatedPool, vm: string, wanted: string | undefined): string {
  const record = pool.store.get('VM', vm);
  const srs = srsOf(pool, record);
  if (wanted !== undefined) {
    const missing = srs.find((sr) => hostSeeing(pool, [sr], wanted) !== wanted);
    if (missing !== undefined) throw new SimulatedFailure('VM_REQUIRES_SR', [vm, missing]);
    return wanted;
  }
  const affinity = textOf(record, 'affinity');
  const preferred = pool.store.has('host', affinity) ? affinity : pool.coordinator;
  const host = hostSeeing(pool, srs, preferred);
  if (host === undefined) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
  return host;
}

function srsOf(pool: SimulatedPool, record: XapiRecord): readonly string[] {
  return vdisOf(pool, record).map((vdi) => textOf(pool.store.get('VDI', vdi), 'SR'));
}

function vdisOf(pool: SimulatedPool, record: XapiRecord): readonly string[] {
  return setOf(record, 'VBDs')
    .map((vbd) => textOf(pool.store.get('VBD', vbd), 'VDI'))
    .filter((vdi) => pool.store.has('VDI', vdi));
}

/** A disk that somebody else has attached for writing cannot be attached again. */
function assertDisksFree(pool: SimulatedPool, vm: string): void {
  for (const vdi of vdisOf(pool, pool.store.get('VM', vm))) {
    const record = pool.store.get('VDI', vdi);
    if (flagOf(record, 'sharable')) continue;
    const isTaken = setOf(record, 'VBDs').some((vbd) => {
      const other = pool.store.get('VBD', vbd);
      return flagOf(other, 'currently_attached') && textOf(other, 'mode') === 'RW' && textOf(other, 'VM') !== vm;
    });
    if (isTaken) throw new SimulatedFailure('VDI_IN_USE', [vdi, 'attach']);
  }
}

function enterHost(pool: SimulatedPool, vm: string, host: string, isPaused: boolean): void {
  const { store } = pool;
  openLogsOf(pool, vm);
  const record = store.get('VM', vm);
  const now = wireDate(pool.nowMs());
  for (const vbd of setOf(record, 'VBDs')) {
    const device = deviceName(Number(textOf(store.get('VBD', vbd), 'userdevice')));
    store.patch('VBD', vbd, { currently_attached: true, device });
  }
  for (const vif of setOf(record, 'VIFs')) store.patch('VIF', vif, { currently_attached: true });
  const metrics = textOf(record, 'metrics');
  if (store.has('VM_metrics', metrics)) {
    store.patch('VM_metrics', metrics, {
      memory_actual: numberOf(record, 'memory_dynamic_max'),
      VCPUs_number: numberOf(record, 'VCPUs_at_startup'),
      start_time: now,
      last_updated: now,
      current_domain_type: textOf(record, 'domain_type'),
    });
  }
  // What the guest said last stays on record until it starts anew.
  const guest = textOf(record, 'guest_metrics');
  if (store.has('VM_guest_metrics', guest)) store.destroy('VM_guest_metrics', guest);
  store.patch('VM', vm, {
    power_state: isPaused ? 'Paused' : 'Running',
    resident_on: host,
    domid: nextDomainId(pool),
    memory_target: numberOf(record, 'memory_dynamic_max'),
    guest_metrics: createGuestMetrics(pool, vm),
    requires_reboot: false,
    last_boot_CPU_flags: { vendor: mapOf(store.get('host', host), 'cpu_info').vendor ?? '', features: '' },
    ...firmwareOf(record),
  });
}

/** What the first boot settles: the identity that the firmware shows to the guest, and the model of its devices. */
function firmwareOf(record: XapiRecord): Readonly<Record<string, WireMap>> {
  const isEmulated = textOf(record, 'domain_type') === 'hvm';
  const platform = mapOf(record, 'platform');
  return {
    ...(Object.keys(mapOf(record, 'bios_strings')).length === 0 ? { bios_strings: GENERIC_BIOS } : {}),
    ...(isEmulated ? { platform: { ...platform, 'device-model': platform['device-model'] ?? DEVICE_MODEL } } : {}),
  };
}

/** Detaches everything; a guest's metrics go with it. */
function leaveHost(pool: SimulatedPool, vm: string, state: Readonly<Record<string, string>>): void {
  const { store } = pool;
  const record = store.get('VM', vm);
  for (const vbd of setOf(record, 'VBDs')) store.patch('VBD', vbd, { currently_attached: false });
  for (const vif of setOf(record, 'VIFs')) store.patch('VIF', vif, { currently_attached: false });
  const metrics = textOf(record, 'metrics');
  if (store.has('VM_metrics', metrics)) {
    store.patch('VM_metrics', metrics, { memory_actual: 0, VCPUs_number: 0, start_time: EPOCH });
  }
  const isHalted = state.power_state === 'Halted';
  const left = { resident_on: NULL_REF, domid: -1, ...(isHalted ? { memory_target: 0 } : {}) };
  store.patch('VM', vm, { ...left, ...state });
}

function dropSuspendImage(pool: SimulatedPool, vm: string): void {
  const image = textOf(pool.store.get('VM', vm), 'suspend_VDI');
  pool.store.patch('VM', vm, { suspend_VDI: NULL_REF });
  if (pool.store.has('VDI', image)) destroyVdi(pool, image);
}

function nextDomainId(pool: SimulatedPool): number {
  return 1 + Math.max(0, ...pool.store.all('VM').map(([, record]) => numberOf(record, 'domid')));
}

function hostText(pool: SimulatedPool, host: string): string {
  const record = pool.store.get('host', host);
  return `${textOf(record, 'name_label')} (uuid: ${textOf(record, 'uuid')})`;
}
