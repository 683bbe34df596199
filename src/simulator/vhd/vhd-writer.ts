import { MIB } from '../../common/byte-size.js';
import { type DiskContent } from '../content/disk-content.js';
import { type ByteSink, FrameRing } from '../xva/frame-ring.js';
import {
  bitmapBytes,
  encodeFooter,
  encodeHeader,
  HEADER_BYTES,
  SECTOR_BYTES,
  tableBytes,
  UNUSED_ENTRY,
  type VhdParent,
} from './vhd-fields.js';

/** What XAPI's images consist of. */
export const BLOCK_BYTES = 2 * MIB;

export interface VhdImage {
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly content: DiskContent;
  /** Numbers of the blocks to write, ascending. */
  readonly blocks: readonly number[];
  /** Makes it a differencing image. */
  readonly parent?: VhdParent;
}

/**
 * Streams an image laid out as XAPI's vhd-tool does: footer, header, an empty sector, the table of blocks, then per block
 * a bitmap of ones and all its bytes, ascending, and the footer again. A differencing image therefore has whole blocks:
 * its bitmaps do not tell which sectors changed.
 */
export async function writeVhd(
  image: VhdImage,
  sink: ByteSink,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): Promise<void> {
  const { blocks, content } = image;
  const entryCount = Math.ceil(image.sizeBytes / BLOCK_BYTES);
  const bitmap = bitmapBytes(BLOCK_BYTES);
  const tableOffset = SECTOR_BYTES + HEADER_BYTES + SECTOR_BYTES;
  const footer = encodeFooter({
    sizeBytes: image.sizeBytes,
    type: image.parent === undefined ? 'dynamic' : 'differencing',
    uuid: image.uuid,
    dataOffset: SECTOR_BYTES,
  });
  const header = encodeHeader({ tableOffset, entryCount, blockBytes: BLOCK_BYTES }, image.parent);
  const table = tableOf(blocks, entryCount, tableOffset, bitmap + BLOCK_BYTES);
  const totalBytes = blocks.length * BLOCK_BYTES;
  await sink(Buffer.concat([footer, header, Buffer.alloc(SECTOR_BYTES), table]));
  const ring = new FrameRing(bitmap + BLOCK_BYTES, sink);
  for (const [index, block] of blocks.entries()) {
    const frame = await ring.next();
    frame.bytes.fill(0xff, 0, bitmap);
    content.readInto(frame.bytes.subarray(bitmap), block * BLOCK_BYTES);
    ring.send(frame, bitmap + BLOCK_BYTES);
    onProgress((index + 1) * BLOCK_BYTES, totalBytes);
  }
  await ring.flush();
  await sink(footer);
}

/** Where each block begins, in sectors. */
function tableOf(blocks: readonly number[], entryCount: number, tableOffset: number, strideBytes: number): Buffer {
  const table = Buffer.alloc(tableBytes(entryCount), 0xff);
  const firstSector = (tableOffset + table.length) / SECTOR_BYTES;
  for (const [index, block] of blocks.entries()) {
    const sector = firstSector + index * (strideBytes / SECTOR_BYTES);
    table.writeUInt32BE(sector < UNUSED_ENTRY ? sector : UNUSED_ENTRY, block * 4);
  }
  return table;
}
