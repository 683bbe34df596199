import { databaseFieldName } from '../database/field-names.js';
import { fromDatabaseText, readPairs } from '../database/database-text.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { NULL_REF, setOf, textOf, type WireValue, type XapiRecord } from '../wire/wire-value.js';
import { copyDiskOf, copyGuestMetrics, copyMetrics, copyVif, newGenerationId } from './copy-vm.js';
import { destroyVif } from './destroy-vm.js';
import { cloneVdi, destroyVbd, destroyVdi } from './disks.js';
import { postVmMessage } from './messages.js';
import { switchOff } from './vm-power.js';
import { copyVtpm, destroyVtpm } from './vtpm-methods.js';
import { checkVdiOperation } from './vdi-operations.js';
import { withOperation } from './with-operation.js';

export const revertMethods: MethodTable = {
  'VM.revert': async (context, args) => {
    await revert(context, args.text(0));
    return undefined;
  },
};

/** What stays as it is now, or is put right by the rest of the work. */
const NOT_REVERTED = new Set([
  'uuid',
  'suspend_VDI',
  'power_state',
  'parent',
  'current_operations',
  'allowed_operations',
  'metrics',
  'guest_metrics',
  'resident_on',
  'domid',
  'protection_policy',
  'snapshot_schedule',
  'scheduled_to_be_resident_on',
  'snapshots',
  'tags',
  'affinity',
  'groups',
  'consoles',
  'VBDs',
  'VIFs',
  'VGPUs',
  'VUSBs',
  'VTPMs',
  'attached_PCIs',
  'is_snapshot_from_vmpp',
  'children',
  'crash_dumps',
  'blobs',
  'ha_always_run',
]);
/** Failures that are told as they came; everything else is VM_REVERT_FAILED. */
const TOLD = new Set(['SR_BACKEND_FAILURE_44', 'SR_BACKEND_FAILURE_109', 'VDI_INCOMPATIBLE_TYPE']);

/**
 * Puts a VM back to a snapshot: off first, then its fields from the snapshot's metadata, then its disks, of which those go
 * that the snapshot has too, before there are new ones. A VM that is gone comes back under its uuid. When it fails half
 * way, what is gone stays gone. Throws VM_REVERT_FAILED [snapshot, vm].
 */
async function revert({ pool, task }: CallContext, snapshot: string): Promise<void> {
  const { store } = pool;
  const source = textOf(store.get('VM', snapshot), 'snapshot_of');
  const vm = store.has('VM', source) ? source : recreate(pool, snapshot, source);
  await withOperation(pool, task, 'VM', snapshot, 'revert', () =>
    withOperation(pool, task, 'VM', vm, 'reverting', () => {
      if (textOf(store.get('VM', vm), 'power_state') !== 'Halted') switchOff(pool, vm);
      revertFields(pool, snapshot, vm);
      if (textOf(store.get('VM', vm), 'generation_id') !== '') {
        store.patch('VM', vm, { generation_id: newGenerationId(pool) });
      }
      try {
        revertParts(pool, snapshot, vm);
      } catch (thrown) {
        const failure = toSimulatedFailure(thrown);
        throw TOLD.has(failure.code) ? failure : new SimulatedFailure('VM_REVERT_FAILED', [snapshot, vm]);
      }
      const record = store.get('VM', snapshot);
      const what = `reverted to snapshot: ${textOf(record, 'name_label')} (uuid ${textOf(record, 'uuid')})`;
      postVmMessage(pool, 'VM_SNAPSHOT_REVERTED', vm, what);
    }),
  );
}

/** A VM for a snapshot whose own is gone; all snapshots of that one are this one's from now on. */
function recreate(pool: SimulatedPool, snapshot: string, lost: string): string {
  const { store } = pool;
  const uuid = metadataOf(pool, snapshot)?.get('uuid');
  if (uuid === undefined) throw new SimulatedFailure('VM_REVERT_FAILED', [snapshot, lost]);
  const vm = store.create('VM', { uuid, power_state: 'Halted', domid: -1 });
  revertFields(pool, snapshot, vm);
  for (const [ref, record] of store.all('VM')) {
    if (textOf(record, 'snapshot_of') === lost) store.patch('VM', ref, { snapshot_of: vm });
  }
  return vm;
}

function metadataOf(pool: SimulatedPool, snapshot: string): ReadonlyMap<string, string> | undefined {
  return readPairs(textOf(pool.store.get('VM', snapshot), 'snapshot_metadata'));
}

function revertFields(pool: SimulatedPool, snapshot: string, vm: string): void {
  const metadata = metadataOf(pool, snapshot);
  const reverted = [...(pool.datamodel.classes.get('VM')?.fields ?? [])].flatMap(
    ([name, { type }]): readonly (readonly [string, WireValue])[] => {
      const text = NOT_REVERTED.has(name) ? undefined : metadata?.get(databaseFieldName('VM', name));
      return text === undefined ? [] : [[name, fromDatabaseText(type, text)]];
    },
  );
  pool.store.patch('VM', vm, { ...Object.fromEntries(reverted), ha_always_run: false });
}

function revertParts(pool: SimulatedPool, snapshot: string, vm: string): void {
  const { store } = pool;
  const record = store.get('VM', snapshot);
  const plan = {
    copyDisk: (vdi: string) => cloneDisk(pool, vdi),
    keepsMacs: true,
    keepsGuestMetrics: true,
    fields: {},
  };
  dropDisks(pool, snapshot, vm);
  for (const vbd of setOf(record, 'VBDs').map((ref) => copyDiskOf(pool, ref, plan))) {
    if (vbd !== undefined) store.create('VBD', { ...vbd, VM: vm, metrics: store.create('VBD_metrics') });
  }
  const image = textOf(record, 'suspend_VDI');
  store.patch('VM', vm, { suspend_VDI: store.has('VDI', image) ? cloneVdi(pool, image) : NULL_REF });
  for (const vif of setOf(store.get('VM', vm), 'VIFs')) destroyVif(pool, vif);
  for (const vif of setOf(record, 'VIFs')) copyVif(pool, vif, vm, plan, '');
  revertMetrics(pool, record, vm);
  for (const vtpm of setOf(store.get('VM', vm), 'VTPMs')) destroyVtpm(pool, vtpm);
  for (const vtpm of setOf(record, 'VTPMs')) copyVtpm(pool, vtpm, vm);
  store.patch('VM', vm, { parent: snapshot, power_state: textOf(record, 'power_state') });
}

/** All VBDs of the VM go, and of its disks those that the snapshot has: the others are left, attached to nothing. */
function dropDisks(pool: SimulatedPool, snapshot: string, vm: string): void {
  const { store } = pool;
  const disksOf = (machine: string): readonly string[] =>
    setOf(store.get('VM', machine), 'VBDs').flatMap((ref) => {
      const vbd = store.get('VBD', ref);
      const vdi = textOf(vbd, 'VDI');
      return textOf(vbd, 'type') === 'Disk' && store.has('VDI', vdi) ? [vdi] : [];
    });
  const kept = new Set(disksOf(snapshot).map((vdi) => textOf(store.get('VDI', vdi), 'snapshot_of')));
  const dropped = disksOf(vm).filter((vdi) => kept.has(vdi));
  for (const vbd of setOf(store.get('VM', vm), 'VBDs')) {
    store.patch('VBD', vbd, { currently_attached: false });
    destroyVbd(pool, vbd);
  }
  for (const vdi of dropped) {
    checkVdiOperation(pool, vdi, 'destroy');
    destroyVdi(pool, vdi);
  }
}

/** The disk that takes the place of a snapshot's own one. All its snapshots are snapshots of the new one from now on. */
function cloneDisk(pool: SimulatedPool, vdi: string): string {
  checkVdiOperation(pool, vdi, 'clone');
  const original = textOf(pool.store.get('VDI', vdi), 'snapshot_of');
  const clone = cloneVdi(pool, vdi);
  if (original === NULL_REF) return clone;
  for (const [ref, record] of pool.store.all('VDI')) {
    if (textOf(record, 'snapshot_of') === original) pool.store.patch('VDI', ref, { snapshot_of: clone });
  }
  return clone;
}

function revertMetrics(pool: SimulatedPool, snapshot: XapiRecord, vm: string): void {
  const { store } = pool;
  const record = store.get('VM', vm);
  const [metrics, guest] = [textOf(record, 'metrics'), textOf(record, 'guest_metrics')];
  if (store.has('VM_metrics', metrics)) store.destroy('VM_metrics', metrics);
  if (store.has('VM_guest_metrics', guest)) store.destroy('VM_guest_metrics', guest);
  store.patch('VM', vm, { metrics: copyMetrics(pool, snapshot), guest_metrics: copyGuestMetrics(pool, snapshot) });
}
