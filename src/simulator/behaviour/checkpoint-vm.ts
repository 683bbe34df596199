import { MIB } from '../../common/byte-size.js';
import { createDiskContent } from '../content/content-spec.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { mapOf, numberOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { createVdi, destroyVdi, snapshotVdi } from './disks.js';
import { guestOf } from './guests.js';
import { postVmMessage } from './messages.js';
import { makeSnapshot } from './snapshot-vm.js';
import { withOperation } from './with-operation.js';

/** Snapshots that take the memory along, or have the guest put its disks in order first. */
export const checkpointMethods: MethodTable = {
  'VM.checkpoint': (context, args) => checkpoint(context, args.text(0), args.text(1)),
  'VM.snapshot_with_quiesce': (context, args) => quiesced(context, args.text(0), args.text(1)),
};

/** Disks and memory. The memory lies in a VDI of its own; the VM goes on as it was. */
async function checkpoint({ pool, task }: CallContext, vm: string, name: string): Promise<string> {
  assertLicensed(pool, 'restrict_checkpoint', 'Checkpoint');
  return withOperation(pool, task, 'VM', vm, 'checkpoint', () => {
    const record = pool.store.get('VM', vm);
    const image = memoryImage(pool, vm, record);
    try {
      const state = image === undefined ? { power_state: 'Halted' } : { power_state: 'Suspended', suspend_VDI: image };
      const ref = makeSnapshot(pool, vm, name, new Set(), state);
      postVmMessage(pool, 'VM_CHECKPOINTED', vm, `checkpointed, snapshot name: ${name}`);
      return ref;
    } catch (thrown) {
      if (image !== undefined) destroyVdi(pool, image);
      throw toSimulatedFailure(thrown);
    }
  });
}

/** The memory for a checkpoint; undefined for a paused VM, whose memory XAPI does not keep. */
function memoryImage(pool: SimulatedPool, vm: string, record: XapiRecord): string | undefined {
  switch (textOf(record, 'power_state')) {
    case 'Running':
      return createSuspendImage(pool, vm);
    case 'Suspended':
      return snapshotVdi(pool, textOf(record, 'suspend_VDI'));
    default:
      return undefined;
  }
}

/** A VDI that holds a VM's memory, in the VM's own SR for that or the pool's. Throws VM_NO_SUSPEND_SR [vm]. */
export function createSuspendImage(pool: SimulatedPool, vm: string): string {
  const record = pool.store.get('VM', vm);
  const [, poolRecord] = pool.poolEntry;
  const sr = [
    textOf(record, 'suspend_SR'),
    textOf(poolRecord, 'suspend_image_SR'),
    textOf(poolRecord, 'default_SR'),
  ].find((ref) => pool.store.has('SR', ref));
  if (sr === undefined) throw new SimulatedFailure('VM_NO_SUSPEND_SR', [vm]);
  const sizeBytes = numberOf(record, 'memory_static_max');
  const fields = { name_label: 'Suspend image', type: 'suspend', name_description: 'Suspend image' };
  const written = { offsetBytes: 0, lengthBytes: Math.min(MIB, sizeBytes) };
  const seed = `memory of ${textOf(record, 'uuid')}`;
  const content = createDiskContent(sizeBytes, { kind: 'random', seed, allocatedRanges: [written] });
  return createVdi(pool, { SR: sr, virtual_size: sizeBytes, fields }, content);
}

/** The guest's VSS provider makes the snapshot, up to release 8.0. */
async function quiesced({ pool, task, signal }: CallContext, vm: string, name: string): Promise<string> {
  assertLicensed(pool, 'restrict_vss', 'VSS');
  return withOperation(pool, task, 'VM', vm, 'snapshot_with_quiesce', async () => {
    const { vss = false } = guestOf(pool, vm);
    if (vss === 'does-not-respond') {
      await pool.clock.sleep(pool.timings.quiesceAcknowledgeMs, signal);
      throw new SimulatedFailure('VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND', [vm]);
    }
    if (vss === 'times-out') {
      await pool.clock.sleep(pool.timings.quiesceMs, signal);
      throw new SimulatedFailure('VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT', [vm]);
    }
    if (typeof vss === 'string') {
      const isKnown = vss.startsWith('XEN_VSS_REQ_ERROR_');
      throw isKnown
        ? new SimulatedFailure(vss, [vm, '0'])
        : new SimulatedFailure('VM_SNAPSHOT_WITH_QUIESCE_FAILED', [vm, vss]);
    }
    const ref = makeSnapshot(pool, vm, name, new Set(), { power_state: 'Halted' });
    const info = mapOf(pool.store.get('VM', ref), 'snapshot_info');
    pool.store.patch('VM', ref, {
      snapshot_info: { ...info, 'disk-snapshot-type': 'quiesced' },
      transportable_snapshot_id: pool.random.bytes(48).toString('base64'),
    });
    postVmMessage(pool, 'VM_SNAPSHOTTED', vm, `snapshotted, snapshot name: ${name}`);
    return ref;
  });
}

function assertLicensed(pool: SimulatedPool, restriction: string, feature: string): void {
  if (mapOf(pool.poolEntry[1], 'restrictions')[restriction] !== 'true') return;
  throw new SimulatedFailure('LICENCE_RESTRICTION', [feature]);
}
