import { GIB, MIB } from '../../common/byte-size.js';
import { contentOf } from '../behaviour/disks.js';
import { type DiskContent } from '../content/disk-content.js';
import { type Exchange } from '../http/handler.js';
import { redirectFor } from '../http/redirect.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { imageOf, isVhdBacked } from '../vhd/image-facts.js';
import { BLOCK_BYTES, writeVhd } from '../vhd/vhd-writer.js';
import { numberOf, textOf } from '../wire/wire-value.js';
import { FrameRing } from '../xva/frame-ring.js';
import { writeDiskTar } from '../xva/xva-writer.js';
import { archiveFormatOf } from './archive-format.js';
import { dataPathSettings } from './data-path-settings.js';
import { attachToHost, detachAfter } from './disk-hold.js';
import { rawExportHead, refusalHead } from './heads.js';
import { diskNamed, formatOf, ioError, isSince, unknownFormat } from './raw-vdi-request.js';
import { percentOf, progressOf } from './task-progress.js';

/** The largest disk that XAPI sends as a VHD. */
const MAX_VHD_BYTES = 2040 * GIB;
/** The folder in a tar of one disk. */
export const TAR_FOLDER = 'vdi';
const CONTENT_TYPES = { raw: 'application/octet-stream', vhd: 'application/vhd', tar: 'application/x-tar' } as const;

/**
 * GET /export_raw_vdi: the bytes of one disk, or what changed of it since `base` (facts 4.6). The head is out before
 * anything can go wrong with the disk; from then on a failure is in the task, and as text inside the body.
 */
export async function handleExportRawVdi(exchange: Exchange): Promise<void> {
  const { pool } = exchange;
  const vdi = diskNamed(exchange, 'vdi');
  if (vdi === undefined) throw new SimulatedFailure('INTERNAL_ERROR', ['Failure("Missing vdi query parameter")']);
  if (await redirectFor(exchange, [textOf(pool.store.get('VDI', vdi), 'SR')])) return;
  const task = exchange.adoptTask('Exporting raw VDI');
  const format = formatOf(exchange);
  if (format === undefined) {
    pool.tasks.fail(task, new SimulatedFailure('INTERNAL_ERROR', [unknownFormat(exchange)]));
    await exchange.writeHead(refusalHead('404 Not Found', '1.0'));
    return;
  }
  const record = pool.store.get('VDI', vdi);
  await exchange.writeHead(rawExportHead(task, `${textOf(record, 'uuid')}.${format}`, CONTENT_TYPES[format]));
  const sizeBytes = numberOf(record, 'virtual_size');
  if (format === 'vhd' && sizeBytes > MAX_VHD_BYTES && isSince(pool, '1.142.0')) {
    throw new SimulatedFailure('VDI_TOO_LARGE', [vdi, String(MAX_VHD_BYTES)]);
  }
  await attached(exchange, vdi, async () => {
    if (format === 'tar') await sendTar(exchange, contentOf(pool, vdi), task);
    else await sendImage(exchange, vdi, task, format);
  });
  pool.tasks.succeed(task, '');
}

/** Does `work` while the control domain has the disk, which it keeps a little longer. */
async function attached<T>({ pool, host }: Exchange, vdi: string, work: () => Promise<T>): Promise<T> {
  const detach = attachToHost(pool, host, vdi, 'RO');
  try {
    return await work();
  } finally {
    detachAfter(pool, dataPathSettings(pool).detachDelayMs, detach);
  }
}

async function sendImage(exchange: Exchange, vdi: string, task: string, format: 'raw' | 'vhd'): Promise<void> {
  const base = diskNamed(exchange, 'base');
  const send = async (): Promise<void> => {
    const blocks = blocksToSend(exchange.pool, vdi, base);
    try {
      if (format === 'vhd') await sendVhd(exchange, vdi, task, blocks, base);
      else
        await sendRaw(exchange, contentOf(exchange.pool, vdi), task, base === undefined ? undefined : new Set(blocks));
    } catch (thrown) {
      // The program that writes dies of the broken connection, and that is all that XAPI knows.
      throw exchange.signal.aborted ? ioError() : thrown;
    }
  };
  if (base === undefined) await send();
  else await attached(exchange, base, send);
}

/**
 * The blocks of 2 MiB that a stream carries. Alone, all that the images of the disk store. With a base, all that the
 * images store which only one of the two disks builds on: for disks with nothing in common everything that either has.
 */
function blocksToSend(pool: SimulatedPool, vdi: string, base: string | undefined): readonly number[] {
  const content = contentOf(pool, vdi);
  const isVhd = isVhdBacked(pool, pool.store.get('VDI', vdi));
  if (base === undefined) {
    const blocks = content.allocatedBlocks(BLOCK_BYTES);
    return isVhd ? blocks : blocks.filter((block) => !content.isZero(block * BLOCK_BYTES, BLOCK_BYTES));
  }
  if (!isVhd) throw notComparable('Cannot compute differences on non-VHD images');
  if (!isVhdBacked(pool, pool.store.get('VDI', base))) {
    throw notComparable('Vhd_tool_wrapper.send: base VDI is not a vhd; cannot compute differences');
  }
  const baseContent = contentOf(pool, base);
  const changed = content.changedBlocks(baseContent, BLOCK_BYTES);
  if (changed !== undefined) return changed;
  const last = Math.ceil(content.sizeBytes / BLOCK_BYTES);
  const either = new Set([...content.allocatedBlocks(BLOCK_BYTES), ...baseContent.allocatedBlocks(BLOCK_BYTES)]);
  return [...either].filter((block) => block < last).sort((a, b) => a - b);
}

function notComparable(text: string): SimulatedFailure {
  return new SimulatedFailure('INTERNAL_ERROR', [`Failure("${text}")`]);
}

async function sendVhd(
  exchange: Exchange,
  vdi: string,
  task: string,
  blocks: readonly number[],
  base: string | undefined,
): Promise<void> {
  const { pool } = exchange;
  const content = contentOf(pool, vdi);
  const parent = base === undefined ? {} : { parent: imageOf(pool, pool.store.get('VDI', base)) };
  const isVhd = isVhdBacked(pool, pool.store.get('VDI', vdi));
  const sizeBytes = isVhd ? content.sizeBytes : Math.ceil(content.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  const image = { uuid: pool.random.uuid(), sizeBytes, content, blocks, ...parent };
  await writeVhd(image, (bytes) => exchange.write(bytes), percentOf(pool, task));
}

/** All bytes in order; with `blocks` zeroes in place of all the others. */
async function sendRaw(
  exchange: Exchange,
  content: DiskContent,
  task: string,
  blocks: ReadonlySet<number> | undefined,
): Promise<void> {
  const onProgress = percentOf(exchange.pool, task);
  const ring = new FrameRing(MIB, (bytes) => exchange.write(bytes));
  for (let offset = 0; offset < content.sizeBytes; offset += MIB) {
    const frame = await ring.next();
    const length = Math.min(MIB, content.sizeBytes - offset);
    const piece = frame.bytes.subarray(0, length);
    if (blocks?.has(Math.floor(offset / BLOCK_BYTES)) ?? true) content.readInto(piece, offset);
    else piece.fill(0);
    ring.send(frame, length);
    onProgress(offset + length, content.sizeBytes);
  }
  await ring.flush();
}

async function sendTar(exchange: Exchange, content: DiskContent, task: string): Promise<void> {
  const { pool } = exchange;
  const { keepAliveAfterMs, keepAliveChunks } = dataPathSettings(pool);
  const disk = { id: TAR_FOLDER, content };
  const pace = { clock: pool.clock, keepAliveAfterMs, keepAliveChunks, onProgress: progressOf(pool, task) };
  await writeDiskTar(disk, archiveFormatOf(pool).checksum, pace, (bytes) => exchange.write(bytes));
}
