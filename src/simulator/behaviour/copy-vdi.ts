import { GIB, MIB } from '../../common/byte-size.js';
import { type DiskContent } from '../content/disk-content.js';
import { attachToHost } from '../handlers/disk-hold.js';
import { hostSeeing } from '../http/redirect.js';
import { type CallContext } from '../rpc/method.js';
import { type Fields } from '../record-store.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, numberOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { assertFeature, contentOf, createVdi, destroyVdi, updateVdiSpace } from './disks.js';
import { isSparseSr, roomIn, watchRoom } from './sr-space.js';
import { checkVdiOperation } from './vdi-operations.js';
import { withOperation } from './with-operation.js';

const BLOCK_BYTES = 2 * MIB;
const BLOCKS_PER_TURN = 64;
const STEPS = 20;
const COPIED = [
  'name_label',
  'name_description',
  'type',
  'sharable',
  'tags',
  'on_boot',
  'allow_caching',
  'xenstore_data',
];

export interface VdiCopy {
  readonly vdi: string;
  /** Where a new disk goes; not looked at when `into` is a disk. */
  readonly sr: string;
  /** Only what differs from this disk is copied, when it is one. */
  readonly base: string;
  /** The disk to write to, when it is one. */
  readonly into: string;
}

/**
 * VDI.copy: a full copy, or what changed since a base, into a new disk or one that is there. Both disks are attached to a
 * control domain meanwhile; it takes `copyMsPerGiB`, tells its progress and stops when the task is cancelled. Zeroes are not
 * written, so a disk to copy into keeps what it had there. A disk made for it goes again when it fails. Throws VDI_IN_USE,
 * VDI_READONLY, VDI_TOO_SMALL, what the SR refuses, and VDI_IO_ERROR when thin storage fills up.
 */
export async function copyVdi(context: CallContext, copy: VdiCopy): Promise<string> {
  const { pool, task } = context;
  checkVdiOperation(pool, copy.vdi, 'copy');
  return withOperation(pool, task, 'VDI', copy.vdi, 'copy', async () => {
    const isNew = !pool.store.has('VDI', copy.into);
    const target = isNew ? makeTarget(pool, copy.vdi, copy.sr) : copy.into;
    try {
      assertFits(pool, copy.vdi, target);
      await copyAttached(context, copy, target, isNew);
      return target;
    } catch (thrown) {
      if (isNew) destroyVdi(pool, target);
      throw thrown;
    }
  });
}

function makeTarget(pool: SimulatedPool, vdi: string, sr: string): string {
  const source = pool.store.get('VDI', vdi);
  assertFeature(pool, sr, 'VDI_CREATE');
  const copied = COPIED.flatMap((name) => (source[name] === undefined ? [] : [[name, source[name]] as const]));
  const fields: Fields = {
    ...Object.fromEntries(copied),
    read_only: false,
    other_config: { ...mapOf(source, 'other_config'), content_id: pool.random.uuid() },
  };
  return createVdi(pool, { SR: sr, virtual_size: numberOf(source, 'virtual_size'), fields });
}

function assertFits(pool: SimulatedPool, vdi: string, target: string): void {
  const record = pool.store.get('VDI', target);
  const sizeBytes = numberOf(pool.store.get('VDI', vdi), 'virtual_size');
  if (flagOf(record, 'read_only')) throw new SimulatedFailure('VDI_READONLY', [target]);
  if (numberOf(record, 'virtual_size') < sizeBytes) {
    throw new SimulatedFailure('VDI_TOO_SMALL', [target, String(sizeBytes)]);
  }
}

async function copyAttached(context: CallContext, copy: VdiCopy, target: string, isNew: boolean): Promise<void> {
  const { pool } = context;
  const source = pool.store.get('VDI', copy.vdi);
  const srs = [textOf(source, 'SR'), textOf(pool.store.get('VDI', target), 'SR')];
  const hasBase = pool.store.has('VDI', copy.base);
  const releases: (() => void)[] = [];
  try {
    releases.push(attachToHost(pool, hostFor(context, srs.slice(0, 1)), copy.vdi, 'RO'));
    if (hasBase && copy.base !== copy.vdi) {
      releases.push(attachToHost(pool, hostFor(context, srs.slice(0, 1)), copy.base, 'RO'));
    }
    releases.push(attachToHost(pool, hostFor(context, srs.slice(1)), target, 'RW'));
    const from = contentOf(pool, copy.vdi);
    const changed = hasBase ? from.changedBlocks(contentOf(pool, copy.base), BLOCK_BYTES) : undefined;
    if (isNew && changed === undefined) await copyWhole(context, from, target);
    else await copyBlocks(context, from, target, changed ?? from.allocatedBlocks(BLOCK_BYTES));
  } finally {
    for (const release of releases.reverse()) release();
    updateVdiSpace(pool, target);
  }
}

/** Another host sends the data when none sees both. Throws NO_HOSTS_AVAILABLE [] when none sees one. */
function hostFor({ pool, host }: CallContext, srs: readonly string[]): string {
  const found = hostSeeing(pool, srs, host);
  if (found === undefined) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
  return found;
}

/** Bytes that nobody has written to yet are shared with the source. */
async function copyWhole(context: CallContext, from: DiskContent, target: string): Promise<void> {
  const { pool } = context;
  // As it is now: while the copy runs nobody writes to the source.
  const content = from.snapshot();
  const record = pool.store.get('VDI', target);
  await takeTime(context, content.allocatedBytes);
  if (isShortOfRoom(pool, record, content)) throw new SimulatedFailure('VDI_IO_ERROR', ['Device I/O error']);
  pool.contents.set(target, content);
}

function isShortOfRoom(pool: SimulatedPool, record: XapiRecord, content: DiskContent): boolean {
  const sr = textOf(record, 'SR');
  return isSparseSr(pool.store.get('SR', sr)) && content.allocatedBytes > roomIn(pool, sr);
}

async function copyBlocks(
  context: CallContext,
  from: DiskContent,
  target: string,
  blocks: readonly number[],
): Promise<void> {
  const { pool } = context;
  await takeTime(context, blocks.length * BLOCK_BYTES);
  const to = contentOf(pool, target);
  const assertRoom = watchRoom(pool, target, to);
  for (const [index, block] of blocks.entries()) {
    const offset = block * BLOCK_BYTES;
    to.write(offset, from.read(offset, Math.min(BLOCK_BYTES, from.sizeBytes - offset)));
    assertRoom();
    if (index % BLOCKS_PER_TURN === BLOCKS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve));
    pool.tasks.throwIfCancelled(context.task);
  }
}

/** Waits as long as so many bytes take, in steps that the task shows. */
async function takeTime({ pool, task, signal, isAsync }: CallContext, bytes: number): Promise<void> {
  const totalMs = (bytes / GIB) * pool.timings.copyMsPerGiB;
  if (totalMs <= 0) return;
  const startedMs = pool.nowMs();
  for (let doneMs = 0; doneMs < totalMs; doneMs = pool.nowMs() - startedMs) {
    // Without a task nobody can stop it: it does not end with the client's connection.
    await pool.clock.sleep(Math.min(totalMs / STEPS, totalMs - doneMs), isAsync ? signal : pool.closing.signal);
    pool.tasks.setProgress(task, Math.min(1, (pool.nowMs() - startedMs) / totalMs));
  }
}
