import { FormatError } from './format-error.js';
import { DYNAMIC_HEADER_BYTES, FOOTER_BYTES, type VhdParent, withVhdParent, withVhdSize } from './vhd-structures.js';

export interface VhdStamp {
  /** The disk's own size, without what the pool rounded it up by. */
  readonly diskSizeBytes: number;
  /** Only for a differencing VHD. */
  readonly parent?: VhdParent;
}

const HEAD_BYTES = FOOTER_BYTES + DYNAMIC_HEADER_BYTES;

/**
 * Makes a VHD that a pool sends one that every program reads alike. XAPI's vhd-tool signs as a creator for whom qemu-img
 * takes the size of the disk from the geometry, which falls short of it by megabytes, and rounds the size of a raw disk
 * up. Both footers get the disk's size and the creator that our own files have; a differencing VHD gets the parent that
 * is stored. Nothing else changes, and the length stays.
 * @throws {FormatError}
 */
export async function* restampVhd(data: AsyncIterable<Buffer>, stamp: VhdStamp): AsyncGenerator<Buffer> {
  /** What has not gone out: first all of the head, then the last bytes, which may be the footer. */
  let held: Buffer = Buffer.alloc(0);
  let isHeadOut = false;
  for await (const chunk of data) {
    if (isHeadOut && chunk.length >= FOOTER_BYTES) {
      yield held;
      yield chunk.subarray(0, chunk.length - FOOTER_BYTES);
      held = chunk.subarray(chunk.length - FOOTER_BYTES);
      continue;
    }
    held = Buffer.concat([held, chunk]);
    if (!isHeadOut && held.length >= HEAD_BYTES) {
      yield restampHead(held.subarray(0, HEAD_BYTES), stamp);
      held = held.subarray(HEAD_BYTES);
      isHeadOut = true;
    }
    if (!isHeadOut || held.length <= FOOTER_BYTES) continue;
    yield held.subarray(0, held.length - FOOTER_BYTES);
    held = held.subarray(held.length - FOOTER_BYTES);
  }
  if (!isHeadOut || held.length < FOOTER_BYTES) throw new FormatError('The VHD is cut short', { expected: 'a footer' });
  yield withVhdSize(held, stamp.diskSizeBytes);
}

function restampHead(head: Buffer, { diskSizeBytes, parent }: VhdStamp): Buffer {
  const withParent = parent === undefined ? head : withVhdParent(head, parent);
  return Buffer.concat([
    withVhdSize(withParent.subarray(0, FOOTER_BYTES), diskSizeBytes),
    withParent.subarray(FOOTER_BYTES),
  ]);
}
