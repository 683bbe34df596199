import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { isInUse } from './disks.js';
import { allowedVmOperations } from './vm-operations.js';

const VDI_IDLE = ['update', 'forget', 'destroy', 'snapshot', 'resize_online', 'resize', 'copy', 'clone'];
const VDI_ATTACHED = ['snapshot', 'resize_online', 'copy', 'clone'];
const VDI_METADATA = ['update', 'forget', 'destroy'];

/**
 * Keeps `allowed_operations` of VMs, VDIs, VBDs and VIFs right: looks at what changed, once after every turn of work.
 * Returns what stops it.
 */
export function keepAllowedOperations(pool: SimulatedPool): () => void {
  let seen = 0;
  let isScheduled = false;
  const refresh = (): void => {
    isScheduled = false;
    const since = seen;
    seen = pool.store.generation;
    refreshChanged(pool, since);
  };
  const stop = pool.store.onChange(() => {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(refresh);
  });
  refresh();
  return stop;
}

function refreshChanged(pool: SimulatedPool, since: number): void {
  const { store } = pool;
  const changed = (cls: string): readonly string[] => store.changedSince(cls, since).map(({ ref }) => ref);
  const vbds = new Set(changed('VBD'));
  const vdis = new Set(changed('VDI'));
  const vms = new Set(changed('VM'));
  const vifs = new Set(changed('VIF'));
  for (const vbd of vbds) vdis.add(textOf(store.get('VBD', vbd), 'VDI'));
  for (const vm of vms) {
    for (const vbd of setOf(store.get('VM', vm), 'VBDs')) vbds.add(vbd);
    for (const vif of setOf(store.get('VM', vm), 'VIFs')) vifs.add(vif);
  }
  set(pool, 'VM', vms, (ref, record) => allowedVmOperations(pool, ref, record));
  set(pool, 'VDI', vdis, (ref, record) => allowedVdiOperations(pool, ref, record));
  set(pool, 'VBD', vbds, (_ref, record) => allowedVbdOperations(pool, record));
  set(pool, 'VIF', vifs, (_ref, record) => allowedVifOperations(pool, record));
}

function set(
  pool: SimulatedPool,
  cls: string,
  refs: Iterable<string>,
  allowed: (ref: string, record: XapiRecord) => readonly string[],
): void {
  for (const ref of refs) {
    const record = pool.store.find(cls, ref);
    if (record !== undefined) pool.store.patch(cls, ref, { allowed_operations: allowed(ref, record) });
  }
}

function allowedVdiOperations(pool: SimulatedPool, ref: string, record: XapiRecord): readonly string[] {
  if (isBusy(record) || !flagOf(record, 'managed')) return [];
  if (textOf(record, 'type') === 'cbt_metadata') return VDI_METADATA;
  return isInUse(pool, ref) ? VDI_ATTACHED : VDI_IDLE;
}

function allowedVbdOperations(pool: SimulatedPool, record: XapiRecord): readonly string[] {
  const vm = pool.store.find('VM', textOf(record, 'VM'));
  if (isBusy(record) || vm === undefined || flagOf(vm, 'is_a_snapshot')) return [];
  const isRunning = textOf(vm, 'power_state') === 'Running';
  if (textOf(record, 'type') === 'CD') {
    const exchange = flagOf(record, 'empty') ? 'insert' : 'eject';
    return isRunning ? ['attach', 'unpause', exchange, 'pause'] : ['attach', exchange];
  }
  if (!flagOf(record, 'currently_attached')) return isRunning ? ['attach', 'plug'] : ['attach'];
  return ['attach', 'unpause', 'unplug', 'unplug_force', 'pause'];
}

function allowedVifOperations(pool: SimulatedPool, record: XapiRecord): readonly string[] {
  const vm = pool.store.find('VM', textOf(record, 'VM'));
  if (isBusy(record) || vm === undefined) return [];
  if (flagOf(record, 'currently_attached')) return ['attach', 'unplug'];
  return textOf(vm, 'power_state') === 'Running' ? ['attach', 'plug'] : ['attach'];
}

function isBusy(record: XapiRecord): boolean {
  return Object.keys(mapOf(record, 'current_operations')).length > 0;
}
