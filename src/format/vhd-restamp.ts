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
 * is stored. Nothing else changes, the length stays, and what does not change is passed on in the memory that it came in.
 * Errors: `FormatError`.
 */
export class VhdRestamp {
  readonly #stamp: VhdStamp;
  /** What has not gone out: first all of the head, then the last bytes, which may be the footer. */
  #held: Buffer = Buffer.alloc(0);
  #isHeadOut = false;

  constructor(stamp: VhdStamp) {
    this.#stamp = stamp;
  }

  /** What goes out, with this piece. */
  push(chunk: Buffer): Buffer[] {
    if (this.#isHeadOut && chunk.length >= FOOTER_BYTES) return [this.#held, this.#hold(chunk)];
    const known = Buffer.concat([this.#held, chunk]);
    if (this.#isHeadOut) return known.length <= FOOTER_BYTES ? this.#wait(known) : [this.#hold(known)];
    if (known.length < HEAD_BYTES + FOOTER_BYTES) return this.#wait(known);
    this.#isHeadOut = true;
    return [restampHead(known.subarray(0, HEAD_BYTES), this.#stamp), this.#hold(known.subarray(HEAD_BYTES))];
  }

  /** The last of it: the footer. */
  end(): Buffer {
    if (!this.#isHeadOut) throw new FormatError('The VHD is cut short', { expected: 'a footer' });
    return withVhdSize(this.#held, this.#stamp.diskSizeBytes);
  }

  /** Keeps what may be the footer, and gives what is before it. */
  #hold(bytes: Buffer): Buffer {
    this.#held = bytes.subarray(-FOOTER_BYTES);
    return bytes.subarray(0, -FOOTER_BYTES);
  }

  #wait(bytes: Buffer): Buffer[] {
    this.#held = bytes;
    return [];
  }
}

function restampHead(head: Buffer, { diskSizeBytes, parent }: VhdStamp): Buffer {
  const withParent = parent === undefined ? head : withVhdParent(head, parent);
  return Buffer.concat([
    withVhdSize(withParent.subarray(0, FOOTER_BYTES), diskSizeBytes),
    withParent.subarray(FOOTER_BYTES),
  ]);
}
