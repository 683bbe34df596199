import { type ByteRun } from '../common/byte-extent.js';
import { KIB } from '../common/byte-size.js';
import { FormatError } from './format-error.js';
import { firstBlockOffset, type VhdPlan } from './vhd-plan.js';
import { blockBitmapBytes, SECTOR_BYTES, tableBytes } from './vhd-structures.js';

const ZEROES = Buffer.alloc(64 * KIB);
const TABLE_PIECE_BYTES = 64 * KIB;

/**
 * The bytes of a planned VHD, as many as the plan says. Nothing is kept and no data is copied; what a block has besides
 * the extents is filled with zeroes that its bitmap does not count.
 * @param runs the data of the plan's extents, all of it, ascending; a run may end anywhere and may span extents that
 *   touch each other.
 * @throws {FormatError} when the runs are not exactly the extents; what `runs` throws is passed on.
 */
export async function* writeVhd(
  plan: VhdPlan,
  runs: AsyncIterable<ByteRun> | Iterable<ByteRun>,
): AsyncGenerator<Buffer> {
  yield plan.head;
  yield* tablePieces(plan);
  const layout = new BlockLayout(plan);
  for await (const run of runs) yield* layout.place(run);
  yield* layout.finish();
  yield plan.footer;
}

function* tablePieces(plan: VhdPlan): Generator<Buffer> {
  const { blocks, blockSizeBytes, tableEntries } = plan;
  const blockSectors = (blockBitmapBytes(blockSizeBytes) + blockSizeBytes) / SECTOR_BYTES;
  const firstSector = firstBlockOffset(plan) / SECTOR_BYTES;
  const total = tableBytes(tableEntries);
  let used = 0;
  for (let start = 0; start < total; start += TABLE_PIECE_BYTES) {
    const piece = Buffer.alloc(Math.min(TABLE_PIECE_BYTES, total - start), 0xff);
    for (let block = blocks[used]; block !== undefined && block * 4 < start + piece.length; block = blocks[used]) {
      piece.writeUInt32BE(firstSector + used * blockSectors, block * 4 - start);
      used += 1;
    }
    yield piece;
  }
}

/** Puts runs into blocks: before each block its bitmap, around them zeroes. */
class BlockLayout {
  readonly #plan: VhdPlan;
  /** Place in the disk up to which the file is written, inside the current block or at its end. */
  #at = 0;
  #blockEnd = 0;
  #blockIndex = 0;
  #extentIndex = 0;
  /** How much of the current extent has come. */
  #extentDone = 0;
  /** First extent that may reach into the next block. */
  #bitmapExtent = 0;

  constructor(plan: VhdPlan) {
    this.#plan = plan;
  }

  *place({ offsetBytes, data }: ByteRun): Generator<Buffer> {
    this.#expect(offsetBytes, data.length);
    for (let taken = 0; taken < data.length;) {
      const at = offsetBytes + taken;
      if (at >= this.#blockEnd) {
        yield* this.#closeBlock();
        yield this.#openBlock();
      }
      yield* zeroes(at - this.#at);
      const length = Math.min(data.length - taken, this.#blockEnd - at);
      yield length === data.length ? data : data.subarray(taken, taken + length);
      taken += length;
      this.#at = at + length;
    }
  }

  *finish(): Generator<Buffer> {
    const extent = this.#plan.extents[this.#extentIndex];
    if (extent !== undefined) throw notAsPlanned(extent.offsetBytes + this.#extentDone, 'nothing more');
    yield* this.#closeBlock();
  }

  /** Insists that the data is the next of the extents; they are joined, so that a run lies in one of them. */
  #expect(offsetBytes: number, length: number): void {
    const extent = this.#plan.extents[this.#extentIndex];
    if (extent?.offsetBytes !== offsetBytes - this.#extentDone || this.#extentDone + length > extent.lengthBytes) {
      const expected = extent === undefined ? undefined : extent.offsetBytes + this.#extentDone;
      throw notAsPlanned(expected, `${length} bytes at ${offsetBytes}`);
    }
    this.#extentDone += length;
    if (this.#extentDone < extent.lengthBytes) return;
    this.#extentIndex += 1;
    this.#extentDone = 0;
  }

  #openBlock(): Buffer {
    const { blocks, blockSizeBytes } = this.#plan;
    this.#at = (blocks[this.#blockIndex] ?? 0) * blockSizeBytes;
    this.#blockEnd = this.#at + blockSizeBytes;
    this.#blockIndex += 1;
    return this.#bitmap(this.#at, this.#blockEnd);
  }

  *#closeBlock(): Generator<Buffer> {
    yield* zeroes(this.#blockEnd - this.#at);
    this.#at = this.#blockEnd;
  }

  #bitmap(start: number, end: number): Buffer {
    const { blockSizeBytes, extents } = this.#plan;
    const bitmap = Buffer.alloc(blockBitmapBytes(blockSizeBytes));
    for (let extent = extents[this.#bitmapExtent]; extent !== undefined; extent = extents[this.#bitmapExtent]) {
      const extentEnd = extent.offsetBytes + extent.lengthBytes;
      if (extent.offsetBytes >= end) break;
      const from = (Math.max(start, extent.offsetBytes) - start) / SECTOR_BYTES;
      const to = (Math.min(end, extentEnd) - start) / SECTOR_BYTES;
      if (from < to) setBits(bitmap, from, to);
      if (extentEnd > end) break;
      this.#bitmapExtent += 1;
    }
    return bitmap;
  }
}

function setBits(bitmap: Buffer, from: number, to: number): void {
  let bit = from;
  for (; bit < to && bit % 8 !== 0; bit += 1) setBit(bitmap, bit);
  const wholeEnd = to - (to % 8);
  if (wholeEnd > bit) {
    bitmap.fill(0xff, bit / 8, wholeEnd / 8);
    bit = wholeEnd;
  }
  for (; bit < to; bit += 1) setBit(bitmap, bit);
}

function setBit(bitmap: Buffer, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (0x80 >> (bit % 8));
}

function* zeroes(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= ZEROES.length)
    yield left < ZEROES.length ? ZEROES.subarray(0, left) : ZEROES;
}

function notAsPlanned(expectedAt: number | undefined, found: string): FormatError {
  const expected = expectedAt === undefined ? 'nothing more' : `data at ${expectedAt}`;
  return new FormatError('The data is not what the VHD was planned for', { expected, found });
}
