import { UNIT_BYTES } from '../content/disk-content.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, NULL_REF, numberOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { without } from '../xva/without.js';
import { endLog, startLog, writtenBetween } from './change-logs.js';
import { assertFeature, assertIdle, assertManaged } from './disks.js';
import { coalesceLater } from './image-chain.js';
import { EXTENT_BYTES, isSparseSr, updateSrSpace } from './sr-space.js';
import { assertNotUpgrading } from './vdi-operations.js';
import { withOperation } from './with-operation.js';

const TRACKING = 'VDI_CONFIG_CBT';
/** What errors call a type by. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  ephemeral: 'Ephemeral',
  suspend: 'Suspend',
  crashdump: 'Crashdump',
  ha_statefile: 'HA statefile',
  metadata: 'Metadata',
  redo_log: 'Redo log',
  pvs_cache: 'PVS cache',
  cbt_metadata: 'CBT metadata',
};

/** Changed-block tracking: what was written between two snapshots of one disk (facts 7.1, 7.2). */
export const changedBlockMethods: MethodTable = {
  'VDI.enable_cbt': ({ pool }, args) => {
    const vdi = args.text(0);
    assertTrackable(pool, vdi);
    if (mapOf(pool.poolEntry[1], 'restrictions').restrict_cbt === 'true') {
      throw new SimulatedFailure('LICENCE_RESTRICTION', ['CBT']);
    }
    if (flagOf(pool.store.get('VDI', vdi), 'cbt_enabled')) return undefined;
    startLog(pool, vdi);
    pool.store.patch('VDI', vdi, { cbt_enabled: true });
    return undefined;
  },
  'VDI.disable_cbt': ({ pool }, args) => {
    assertTrackable(pool, args.text(0));
    endLog(pool, args.text(0), 'turned-off');
    pool.store.patch('VDI', args.text(0), { cbt_enabled: false });
    return undefined;
  },
  'VDI.data_destroy': (context, args) => destroyData(context, args.text(0)),
  'VDI.list_changed_blocks': ({ pool }, args) => changedBlocks(pool, args.text(0), args.text(1)),
};

/**
 * Leaves nothing of a snapshot but the log of its changes. Waits a while for the VBDs of the disk to go. Throws VDI_IN_USE
 * [vdi, `data_destroy`] when they don't.
 */
async function destroyData({ pool, task, signal }: CallContext, vdi: string): Promise<undefined> {
  assertNotUpgrading(pool, 'data_destroy');
  assertIdle(pool, vdi);
  const record = pool.store.get('VDI', vdi);
  const type = textOf(record, 'type');
  const sr = textOf(record, 'SR');
  assertFeature(pool, sr, TRACKING);
  if (!flagOf(record, 'is_a_snapshot')) {
    throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [`VDI is not a snapshot: ${vdi}`]);
  }
  if (!flagOf(record, 'cbt_enabled')) throw new SimulatedFailure('VDI_NO_CBT_METADATA', [vdi]);
  if (type === 'cbt_metadata') return undefined;
  await withOperation(pool, task, 'VDI', vdi, 'data_destroy', async () => {
    pool.store.patch('VDI', vdi, { type: 'cbt_metadata' });
    try {
      assertManaged(pool, vdi);
      await untilDetached(pool, vdi, signal);
    } catch (thrown) {
      if (pool.store.has('VDI', vdi)) pool.store.patch('VDI', vdi, { type });
      throw thrown;
    }
    dropData(pool, vdi, sr);
  });
  return undefined;
}

function dropData(pool: SimulatedPool, vdi: string, sr: string): void {
  const record = pool.store.get('VDI', vdi);
  pool.contents.delete(vdi);
  pool.store.patch('VDI', vdi, {
    physical_utilisation: isSparseSr(pool.store.get('SR', sr)) ? 0 : EXTENT_BYTES,
    sm_config: without(mapOf(record, 'sm_config'), 'vhd-parent'),
    other_config: { ...mapOf(record, 'other_config'), content_id: '/No content: this is a cbt_metadata VDI/' },
  });
  for (const [vm, machine] of pool.store.all('VM')) {
    if (textOf(machine, 'suspend_VDI') === vdi) pool.store.patch('VM', vm, { suspend_VDI: NULL_REF });
  }
  updateSrSpace(pool, sr);
  coalesceLater(pool, sr);
}

/** Resolves when no VBD of the disk is left, attached or not. */
async function untilDetached(pool: SimulatedPool, vdi: string, signal: AbortSignal): Promise<void> {
  const isFree = (): boolean => setOf(pool.store.find('VDI', vdi) ?? {}, 'VBDs').length === 0;
  if (isFree()) return;
  const patience = new AbortController();
  const stop = pool.store.onChange(() => {
    if (isFree()) patience.abort();
  });
  try {
    await pool.clock.sleep(pool.timings.dataDestroyWaitMs, AbortSignal.any([signal, patience.signal]));
  } catch (thrown) {
    if (!patience.signal.aborted) throw thrown;
  } finally {
    stop();
  }
  if (!isFree()) throw new SimulatedFailure('VDI_IN_USE', [vdi, 'data_destroy']);
}

/** Base64 of one bit per 64 KiB of `to`, the most significant bit first. What counts is what was written, equal or not. */
function changedBlocks(pool: SimulatedPool, from: string, to: string): string {
  const older = pool.store.get('VDI', from);
  const newer = pool.store.get('VDI', to);
  assertNotUpgrading(pool, 'list_changed_blocks');
  assertIdle(pool, to);
  if (isUsedByMachine(pool, newer)) throw new SimulatedFailure('VDI_IN_USE', [to, 'list_changed_blocks']);
  assertFeature(pool, textOf(newer, 'SR'), TRACKING);
  if (from === to) throw incomparable('Source and target VDI are same');
  const isTracked = flagOf(older, 'cbt_enabled') && flagOf(newer, 'cbt_enabled');
  const written = isTracked ? writtenBetween(pool, from, to) : 'unrelated';
  if (written === 'unrelated') throw incomparable('Source and target VDI are unrelated');
  if (written === 'inconsistent') {
    const text = 'Changed block tracking log is in an inconsistent state. [opterr=Inconsistent bitmaps]';
    throw new SimulatedFailure('SR_BACKEND_FAILURE_459', ['', text, '']);
  }
  return written.toBuffer(Math.ceil(numberOf(newer, 'virtual_size') / UNIT_BYTES)).toString('base64');
}

/** Attached, but not only to snapshots: those of a checkpoint may have their disks attached for good. */
function isUsedByMachine(pool: SimulatedPool, vdi: XapiRecord): boolean {
  return setOf(vdi, 'VBDs').some((ref) => {
    const vbd = pool.store.find('VBD', ref) ?? {};
    const vm = pool.store.find('VM', textOf(vbd, 'VM')) ?? {};
    return flagOf(vbd, 'currently_attached') && !flagOf(vm, 'is_a_snapshot');
  });
}

/** What XAPI checks before it turns tracking on or off, in its order. */
function assertTrackable(pool: SimulatedPool, vdi: string): void {
  assertNotUpgrading(pool, 'enable_cbt');
  assertIdle(pool, vdi);
  const record = pool.store.get('VDI', vdi);
  const type = textOf(record, 'type');
  assertFeature(pool, textOf(record, 'SR'), TRACKING);
  const wrongType = new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, TYPE_NAMES[type] ?? type]);
  if (type === 'cbt_metadata') throw wrongType;
  if (flagOf(record, 'is_a_snapshot')) {
    throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [`VDI is a snapshot: ${vdi}`]);
  }
  if (type !== 'user' && type !== 'system') throw wrongType;
  if (textOf(record, 'on_boot') === 'reset') {
    throw new SimulatedFailure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION');
  }
}

function incomparable(why: string): SimulatedFailure {
  const text = `Failed to calculate changed blocks for given VDIs. [opterr=${why}]`;
  return new SimulatedFailure('SR_BACKEND_FAILURE_460', ['', text, '']);
}
