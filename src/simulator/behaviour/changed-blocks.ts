import { UNIT_BYTES } from '../content/disk-content.js';
import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, numberOf, setOf, textOf } from '../wire/wire-value.js';
import { without } from '../xva/without.js';
import { assertManaged, assertNotInUse, destroyVbd } from './disks.js';
import { coalesceLater } from './image-chain.js';

/** Changed-block tracking: what was written between two snapshots of one disk. */
export const changedBlockMethods: MethodTable = {
  'VDI.enable_cbt': ({ pool }, args) => {
    if (mapOf(pool.poolEntry[1], 'restrictions').restrict_cbt === 'true') {
      throw new SimulatedFailure('LICENCE_RESTRICTION', ['CBT']);
    }
    assertTrackable(pool, args.text(0));
    pool.store.patch('VDI', args.text(0), { cbt_enabled: true });
    return undefined;
  },
  'VDI.disable_cbt': ({ pool }, args) => {
    assertTrackable(pool, args.text(0));
    pool.store.patch('VDI', args.text(0), { cbt_enabled: false });
    return undefined;
  },
  'VDI.data_destroy': ({ pool }, args) => {
    const vdi = args.text(0);
    assertManaged(pool, vdi);
    const record = pool.store.get('VDI', vdi);
    if (textOf(record, 'type') === 'cbt_metadata') return undefined;
    if (!flagOf(record, 'is_a_snapshot')) {
      throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [`VDI is not a snapshot: ${vdi}`]);
    }
    if (!flagOf(record, 'cbt_enabled')) throw new SimulatedFailure('VDI_NO_CBT_METADATA', [vdi]);
    assertNotInUse(pool, vdi, 'data_destroy');
    for (const vbd of setOf(record, 'VBDs')) destroyVbd(pool, vbd);
    const config = without(mapOf(record, 'sm_config'), 'vhd-parent');
    pool.store.patch('VDI', vdi, { type: 'cbt_metadata', physical_utilisation: 0, sm_config: config });
    coalesceLater(pool, textOf(record, 'SR'));
    return undefined;
  },
  'VDI.list_changed_blocks': ({ pool }, args) => changedBlocks(pool, args.text(0), args.text(1)),
};

/** Base64 of one bit per 64 KiB of `to`, the most significant bit first. */
function changedBlocks(pool: SimulatedPool, from: string, to: string): string {
  const [older, newer] = [pool.store.get('VDI', from), pool.store.get('VDI', to)];
  if (from === to) throw incomparable('Source and target VDI are same');
  if (!flagOf(older, 'cbt_enabled') || !flagOf(newer, 'cbt_enabled')) {
    throw incomparable('Source and target VDI are unrelated');
  }
  const [before, after] = [pool.contents.get(from), pool.contents.get(to)];
  const units = before === undefined ? undefined : after?.changedUnits(before);
  if (units === undefined) throw incomparable('Source and target VDI are unrelated');
  const count = Math.ceil(numberOf(newer, 'virtual_size') / UNIT_BYTES);
  const bitmap = Buffer.alloc(Math.ceil(count / 8));
  for (const unit of units) {
    const index = Math.floor(unit / 8);
    bitmap[index] = (bitmap[index] ?? 0) | (0x80 >> (unit % 8));
  }
  return bitmap.toString('base64');
}

function assertTrackable(pool: SimulatedPool, vdi: string): void {
  const record = pool.store.get('VDI', vdi);
  const type = textOf(record, 'type');
  if (flagOf(record, 'is_a_snapshot'))
    throw new SimulatedFailure('OPERATION_NOT_ALLOWED', [`VDI is a snapshot: ${vdi}`]);
  if (type !== 'user' && type !== 'system') throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, type]);
  if (textOf(record, 'on_boot') === 'reset') {
    throw new SimulatedFailure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION');
  }
}

function incomparable(why: string): SimulatedFailure {
  const text = `Failed to calculate changed blocks for given VDIs. [opterr=${why}]`;
  return new SimulatedFailure('SR_BACKEND_FAILURE_460', ['', text, '']);
}
