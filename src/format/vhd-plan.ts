import { type ByteExtent } from '../common/byte-extent.js';
import { FormatError } from './format-error.js';
import {
  assertVhdDiskSize,
  blockBitmapBytes,
  DEFAULT_BLOCK_BYTES,
  DYNAMIC_HEADER_BYTES,
  FOOTER_BYTES,
  MIN_BLOCK_BYTES,
  parentLocator,
  SECTOR_BYTES,
  serialiseVhdFooter,
  serialiseVhdHeader,
  tableBytes,
  UNUSED_BLOCK,
  type VhdParent,
} from './vhd-structures.js';

export interface VhdWish {
  readonly diskSizeBytes: number;
  /** What the file will hold: ascending, not overlapping, in whole sectors, within the disk. */
  readonly changed: readonly ByteExtent[];
  readonly uuid: string;
  /** With it the file is differencing: what is not in `changed` is the parent's. Without it that is zero. */
  readonly parent?: VhdParent;
  readonly createdAtMs: number;
  /** Default: 2 MiB without a parent, else what makes the file smallest. */
  readonly blockSizeBytes?: number;
}

/** A VHD before its data: everything about it is known. */
export interface VhdPlan {
  /** Exact length of the file. */
  readonly bytes: number;
  readonly uuid: string;
  readonly diskSizeBytes: number;
  readonly blockSizeBytes: number;
  /** Footer copy, header and parent locator; the block allocation table follows. */
  readonly head: Buffer;
  readonly tableEntries: number;
  /** Numbers of the blocks in the file, ascending. */
  readonly blocks: Uint32Array;
  /** The extents, neighbours joined. */
  readonly extents: readonly ByteExtent[];
  readonly footer: Buffer;
}

/** The last sector that the block allocation table can point at. */
const MAX_SECTOR = UNUSED_BLOCK - 1;

/**
 * Lays out a dynamic VHD, or a differencing one that is as small as one can be.
 *
 * With blocks of B bytes, of which n(B) hold something, a file has `F + 4·⌈size/B⌉ + n(B)·(B + 512)` bytes (table and
 * locator padded to sectors; F is 2048 without parent, 2560 with one). For increments B is the power of two from 64 KiB
 * to 2 MiB for which that is least. N changes of 64 KiB anywhere on a disk thus take at most
 * `N·66,048 + size/16,384 + 2560` bytes: on 4 GiB at most 1.05·N·64 KiB + 256 KiB. The table grows with the disk
 * (6.25 MiB for 100 GiB at B = 64 KiB), so on large disks with few changes larger blocks win; a disk of 100 GiB with 16
 * scattered changes takes 5.3 MiB.
 *
 * @throws {DiskTooLargeForVhd} beyond 2040 GiB.
 * @throws {FormatError} when the extents are not what they must be.
 */
export function planVhd(wish: VhdWish): VhdPlan {
  const { diskSizeBytes, parent, uuid, createdAtMs } = wish;
  assertVhdDiskSize(diskSizeBytes);
  const extents = joined(wish.changed, diskSizeBytes);
  const choices = wish.blockSizeBytes === undefined ? blockSizes(parent) : [wish.blockSizeBytes];
  const sizes = choices.map((blockSizeBytes) => ({ blockSizeBytes, ...fileSize(wish, extents, blockSizeBytes) }));
  const fitting = sizes.filter(({ lastSector }) => lastSector <= MAX_SECTOR);
  const [first, ...rest] = fitting;
  if (first === undefined) throw new FormatError('A VHD with so much data has no room for it');
  const { blockSizeBytes, bytes } = rest.reduce((best, next) => (next.bytes < best.bytes ? next : best), first);
  const footer = serialiseVhdFooter({
    type: parent === undefined ? 'dynamic' : 'differencing',
    uuid,
    diskSizeBytes,
    createdAtMs,
    headerOffsetBytes: FOOTER_BYTES,
  });
  const tableEntries = Math.ceil(diskSizeBytes / blockSizeBytes);
  const header = serialiseVhdHeader(
    { tableOffsetBytes: headBytes(parent), tableEntries, blockSizeBytes, parent },
    FOOTER_BYTES + DYNAMIC_HEADER_BYTES,
  );
  return {
    bytes,
    uuid,
    diskSizeBytes,
    blockSizeBytes,
    head: Buffer.concat([footer, header, ...(parent === undefined ? [] : [parentLocator(parent)])]),
    tableEntries,
    blocks: usedBlocks(extents, blockSizeBytes),
    extents,
    footer,
  };
}

/** Where the first block lies. */
export function firstBlockOffset(plan: VhdPlan): number {
  return plan.head.length + tableBytes(plan.tableEntries);
}

function headBytes(parent: VhdParent | undefined): number {
  return FOOTER_BYTES + DYNAMIC_HEADER_BYTES + (parent === undefined ? 0 : SECTOR_BYTES);
}

/** Largest first: of two that are as good, the one with the smaller table wins. */
function blockSizes(parent: VhdParent | undefined): number[] {
  if (parent === undefined) return [DEFAULT_BLOCK_BYTES];
  const sizes: number[] = [];
  for (let size = DEFAULT_BLOCK_BYTES; size >= MIN_BLOCK_BYTES; size /= 2) sizes.push(size);
  return sizes;
}

function fileSize(
  { diskSizeBytes, parent }: VhdWish,
  extents: readonly ByteExtent[],
  blockSizeBytes: number,
): { bytes: number; lastSector: number } {
  const start = headBytes(parent) + tableBytes(Math.ceil(diskSizeBytes / blockSizeBytes));
  const blockBytes = blockBitmapBytes(blockSizeBytes) + blockSizeBytes;
  const end = start + countBlocks(extents, blockSizeBytes) * blockBytes;
  return { bytes: end + FOOTER_BYTES, lastSector: (end - blockBytes) / SECTOR_BYTES };
}

function countBlocks(extents: readonly ByteExtent[], blockSizeBytes: number): number {
  let count = 0;
  let last = -1;
  for (const { offsetBytes, lengthBytes } of extents) {
    const first = Math.max(last + 1, Math.floor(offsetBytes / blockSizeBytes));
    last = Math.floor((offsetBytes + lengthBytes - 1) / blockSizeBytes);
    count += Math.max(0, last + 1 - first);
  }
  return count;
}

function usedBlocks(extents: readonly ByteExtent[], blockSizeBytes: number): Uint32Array {
  const blocks = new Uint32Array(countBlocks(extents, blockSizeBytes));
  let count = 0;
  let last = -1;
  for (const { offsetBytes, lengthBytes } of extents) {
    const first = Math.max(last + 1, Math.floor(offsetBytes / blockSizeBytes));
    last = Math.floor((offsetBytes + lengthBytes - 1) / blockSizeBytes);
    for (let block = first; block <= last; block += 1, count += 1) blocks[count] = block;
  }
  return blocks;
}

/** @throws {FormatError} */
function joined(extents: readonly ByteExtent[], diskSizeBytes: number): ByteExtent[] {
  const result: { offsetBytes: number; lengthBytes: number }[] = [];
  let end = 0;
  for (const { offsetBytes, lengthBytes } of extents) {
    const isInSectors = offsetBytes % SECTOR_BYTES === 0 && lengthBytes % SECTOR_BYTES === 0;
    if (!isInSectors || lengthBytes <= 0 || offsetBytes < end || offsetBytes + lengthBytes > diskSizeBytes) {
      throw new FormatError('Extents that are not ascending, in whole sectors and within the disk', {
        expected: `${end} to ${diskSizeBytes}`,
        found: `${lengthBytes} bytes at ${offsetBytes}`,
      });
    }
    const previous = result.at(-1);
    if (previous !== undefined && offsetBytes === end) previous.lengthBytes += lengthBytes;
    else result.push({ offsetBytes, lengthBytes });
    end = offsetBytes + lengthBytes;
  }
  return result;
}
