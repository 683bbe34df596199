import { KIB, MIB } from '../common/byte-size.js';
import { FormatError } from '../format/format-error.js';

/** Grain of the pool's record of changes. */
export const CHANGED_BLOCK_BYTES = 64 * KIB;
/** Most bytes that are read at once. */
export const MAX_READ_BYTES = MIB;

export interface DiskExtent {
  readonly offsetBytes: number;
  /** More than 0. */
  readonly lengthBytes: number;
}

/**
 * Parts of a disk, ascending, not touching one another. Can be walked again and again, and takes no memory for each part:
 * a disk of 2 TiB may have sixteen million.
 */
export interface DiskExtents extends Iterable<DiskExtent> {
  readonly totalBytes: number;
}

/**
 * What changed between two snapshots, as `VDI.list_changed_blocks` says it: base64 of one bit for each 64 KiB, the most
 * significant bit first, bits past the end of no meaning (facts 7.2). The bitmap is as long as the newer disk needs; the
 * grown part of a disk reads as zero unless its bits are set.
 * @param sizeBytes of the newer disk
 * @throws {FormatError} when this is no base64, or the bitmap of a disk of another size
 */
export function changedExtents(bitmap: string, sizeBytes: number): DiskExtents {
  const text = bitmap.trim();
  const bytes = Buffer.from(text, 'base64');
  // Node takes a lot for base64; the pool writes the one usual form.
  if (bytes.toString('base64') !== text) throw new FormatError('The record of changed blocks is not in base64');
  const blocks = Math.ceil(sizeBytes / CHANGED_BLOCK_BYTES);
  const wantedBytes = Math.ceil(blocks / 8);
  if (bytes.length !== wantedBytes) {
    throw new FormatError('The record of changed blocks has not the length that the size of the disk asks for', {
      expected: `${wantedBytes} bytes`,
      found: `${bytes.length} bytes`,
    });
  }
  const iterate = (): Iterator<DiskExtent> => walk(bytes, blocks, sizeBytes);
  return { [Symbol.iterator]: iterate, totalBytes: sumOf(walk(bytes, blocks, sizeBytes)) };
}

/** All of a disk. */
export function wholeDisk(sizeBytes: number): DiskExtents {
  return extentsOf(sizeBytes === 0 ? [] : [{ offsetBytes: 0, lengthBytes: sizeBytes }]);
}

/** These parts; touching ones are joined. They must ascend and not overlap. */
export function extentsOf(parts: readonly DiskExtent[]): DiskExtents {
  const joined: DiskExtent[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last !== undefined && last.offsetBytes + last.lengthBytes === part.offsetBytes) {
      joined[joined.length - 1] = { ...last, lengthBytes: last.lengthBytes + part.lengthBytes };
    } else {
      joined.push(part);
    }
  }
  return { [Symbol.iterator]: () => joined[Symbol.iterator](), totalBytes: sumOf(joined) };
}

/**
 * Cuts extents where the disk has multiples of `maxBytes`, a power of two: so every piece lies within one block of any
 * size from there on up, and a piece is never larger.
 */
export function* splitReads(extents: Iterable<DiskExtent>, maxBytes = MAX_READ_BYTES): Generator<DiskExtent, void> {
  for (const { offsetBytes, lengthBytes } of extents) {
    const endBytes = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < endBytes;) {
      const nextBytes = Math.min(endBytes, at + maxBytes - (at % maxBytes));
      yield { offsetBytes: at, lengthBytes: nextBytes - at };
      at = nextBytes;
    }
  }
}

function* walk(bitmap: Buffer, blocks: number, sizeBytes: number): Generator<DiskExtent, void> {
  let from: number | undefined;
  for (let block = 0; block < blocks; block += 1) {
    const byte = bitmap[block >> 3] ?? 0;
    // Most of a disk is unchanged, and most changes are neighbours: eight at a time.
    if (block % 8 === 0 && block + 8 <= blocks && byte === (from === undefined ? 0 : 0xff)) {
      block += 7;
      continue;
    }
    const isChanged = (byte & (0x80 >> (block & 7))) !== 0;
    if (isChanged) from ??= block;
    else if (from !== undefined) {
      yield extentOf(from, block, sizeBytes);
      from = undefined;
    }
  }
  if (from !== undefined) yield extentOf(from, blocks, sizeBytes);
}

function extentOf(from: number, to: number, sizeBytes: number): DiskExtent {
  const offsetBytes = from * CHANGED_BLOCK_BYTES;
  return { offsetBytes, lengthBytes: Math.min(to * CHANGED_BLOCK_BYTES, sizeBytes) - offsetBytes };
}

function sumOf(extents: Iterable<DiskExtent>): number {
  let totalBytes = 0;
  for (const { lengthBytes } of extents) totalBytes += lengthBytes;
  return totalBytes;
}
