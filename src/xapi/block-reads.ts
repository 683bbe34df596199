import { type OnReadOpts, type Socket } from 'node:net';

/** With less room than this in the current block a new one is begun: the kernel's own pieces are no smaller. */
const LEAST_READ_BYTES = 64 * 1024;

/**
 * Lets a socket read as much at once as has come, up to a block, where Node alone takes 64 KiB at a time. Pieces lie one
 * after the other in the block and nothing is copied; a block is never used twice, as a reader may keep what it got.
 * Everything else about the socket stays as it is.
 */
export class BlockReads {
  readonly onread: OnReadOpts;
  readonly #blockBytes: number;
  #block: Buffer;
  #filledBytes = 0;

  /** `socketOf` is asked when data is there. */
  constructor(blockBytes: number, socketOf: () => Socket | undefined) {
    this.#blockBytes = blockBytes;
    this.#block = Buffer.allocUnsafeSlow(blockBytes);
    this.onread = {
      buffer: () => this.#room(),
      callback: (bytes) => {
        const piece = this.#block.subarray(this.#filledBytes, this.#filledBytes + bytes);
        this.#filledBytes += bytes;
        // False stops the reading until somebody wants more.
        return socketOf()?.push(piece) ?? false;
      },
    };
  }

  #room(): Buffer {
    if (this.#blockBytes - this.#filledBytes < LEAST_READ_BYTES) {
      this.#block = Buffer.allocUnsafeSlow(this.#blockBytes);
      this.#filledBytes = 0;
    }
    return this.#block.subarray(this.#filledBytes);
  }
}
