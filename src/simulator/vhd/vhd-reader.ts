import { MIB } from '../../common/byte-size.js';
import { type ByteReader } from '../xva/byte-reader.js';
import {
  BadVhd,
  bitmapBytes,
  decodeFooter,
  decodeHeader,
  HEADER_BYTES,
  SECTOR_BYTES,
  tableBytes,
  UNUSED_ENTRY,
  type VhdHeader,
} from './vhd-fields.js';

/** Of a table of blocks; enough for 16 TiB in blocks of 2 MiB. */
const MAX_TABLE_BYTES = 32 * MIB;
const MAX_BLOCK_BYTES = 64 * MIB;

/** Takes bytes for a place on the disk; they are the reader's again when it returns. */
export type SectorSink = (offset: number, data: Buffer) => void;

export interface ReadOptions {
  /** How long the stream claims to be: vhd-tool looks for the last footer at its end. */
  readonly streamBytes: number;
  /** Called after each block. */
  readonly onProgress: (doneBlocks: number, blockCount: number) => void;
}

/**
 * Reads an image front to back as XAPI's vhd-tool does when it imports one: footer, header, table, the blocks in the
 * order in which they lie, and the footer at the end. Of each block only the sectors whose bit is set are given on, so
 * a differencing image changes what it has and leaves the rest; nobody looks at its parent. Throws BadVhd, and whatever
 * the byte reader throws when the stream ends too early.
 */
export async function readVhd(reader: ByteReader, write: SectorSink, options: ReadOptions): Promise<void> {
  const stream = new Forward(reader);
  const footer = decodeFooter(await stream.read(SECTOR_BYTES));
  await stream.skipTo(footer.dataOffset);
  const header = decodeHeader(await stream.read(HEADER_BYTES));
  if (tableBytes(header.entryCount) > MAX_TABLE_BYTES || header.blockBytes > MAX_BLOCK_BYTES) {
    throw new BadVhd('too large to read');
  }
  await stream.skipTo(header.tableOffset);
  const places = placesIn(await stream.read(tableBytes(header.entryCount)), header.entryCount);
  const bitmap = Buffer.allocUnsafeSlow(bitmapBytes(header.blockBytes));
  const data = Buffer.allocUnsafeSlow(header.blockBytes);
  for (const [index, { sector, block }] of places.entries()) {
    await stream.skipTo(sector * SECTOR_BYTES);
    await stream.readInto(bitmap);
    await stream.readInto(data);
    writeSectors(header, bitmap, data, block, write);
    options.onProgress(index + 1, places.length);
  }
  await stream.skipTo(Math.floor((options.streamBytes - 1) / SECTOR_BYTES) * SECTOR_BYTES);
  decodeFooter(await stream.read(SECTOR_BYTES));
}

/** The stored blocks by where they lie. */
function placesIn(table: Buffer, entryCount: number): readonly { readonly sector: number; readonly block: number }[] {
  const places: { sector: number; block: number }[] = [];
  for (let block = 0; block < entryCount; block += 1) {
    const sector = table.readUInt32BE(block * 4);
    if (sector !== UNUSED_ENTRY) places.push({ sector, block });
  }
  return places.sort((a, b) => a.sector - b.sector);
}

/** Gives runs of sectors with set bits; the first sector's bit is the highest of the first byte. */
function writeSectors(header: VhdHeader, bitmap: Buffer, data: Buffer, block: number, write: SectorSink): void {
  const count = header.blockBytes / SECTOR_BYTES;
  const isSet = (sector: number): boolean => ((bitmap[sector >> 3] ?? 0) & (0x80 >> (sector & 7))) !== 0;
  for (let from = 0; from < count;) {
    let to = from + 1;
    while (to < count && isSet(to) === isSet(from)) to += 1;
    if (isSet(from)) {
      write(block * header.blockBytes + from * SECTOR_BYTES, data.subarray(from * SECTOR_BYTES, to * SECTOR_BYTES));
    }
    from = to;
  }
}

/** A stream and how far one is in it. */
class Forward {
  readonly #reader: ByteReader;
  #position = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  async read(length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    await this.readInto(bytes);
    return bytes;
  }

  async readInto(target: Buffer): Promise<void> {
    await this.#reader.readInto(target);
    this.#position += target.length;
  }

  async skipTo(offset: number): Promise<void> {
    if (offset < this.#position) throw new BadVhd('not in the order of a stream');
    await this.#reader.skip(offset - this.#position);
    this.#position = offset;
  }
}
