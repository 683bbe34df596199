import { type OnReadOpts, type Socket } from 'node:net';

/** With less room than this in the current block a new one is begun: the kernel's own pieces are no smaller. */
const LEAST_READ_BYTES = 64 * 1024;

/** Memory that pieces are parts of, one after the other. */
interface Block {
  readonly bytes: Buffer;
  readonly owner: BlockReads;
  filledBytes: number;
  /** Of the filled ones, those that nobody needs any more. */
  doneBytes: number;
}

/** Whose block a piece is part of, by the memory that both share. */
const blocks = new WeakMap<ArrayBufferLike, Block>();

/**
 * Says that nobody will look at this piece any more: its memory is read into again. To be said once of each piece, whole
 * or in parts; what is not part of a block is left to the collector.
 */
export function giveBack(piece: Uint8Array): void {
  const block = blocks.get(piece.buffer);
  block?.owner.takeBack(block, piece.length);
}

/**
 * Lets a socket read as much at once as has come, up to a block, where Node alone takes 64 KiB at a time. Pieces lie one
 * after the other in the block and nothing is copied. A reader may keep what it got: a block is used again only when all of
 * it was given back. Everything else about the socket stays as it is.
 */
export class BlockReads {
  readonly onread: OnReadOpts;
  readonly #blockBytes: number;
  readonly #free: Block[] = [];
  #block: Block;

  /** `socketOf` is asked when data is there. */
  constructor(blockBytes: number, socketOf: () => Socket | undefined) {
    this.#blockBytes = blockBytes;
    this.#block = this.#newBlock();
    this.onread = {
      buffer: () => this.#room(),
      callback: (bytes) => {
        const { filledBytes } = this.#block;
        this.#block.filledBytes += bytes;
        // False stops the reading until somebody wants more.
        return socketOf()?.push(this.#block.bytes.subarray(filledBytes, filledBytes + bytes)) ?? false;
      },
    };
  }

  /** For `giveBack`. */
  takeBack(block: Block, bytes: number): void {
    block.doneBytes += bytes;
    if (block !== this.#block) this.#freeWhenDone(block);
  }

  #room(): Buffer {
    if (this.#blockBytes - this.#block.filledBytes < LEAST_READ_BYTES) {
      const full = this.#block;
      this.#block = this.#free.pop() ?? this.#newBlock();
      this.#freeWhenDone(full);
    }
    return this.#block.bytes.subarray(this.#block.filledBytes);
  }

  #freeWhenDone(block: Block): void {
    if (block.doneBytes !== block.filledBytes) return;
    block.filledBytes = 0;
    block.doneBytes = 0;
    this.#free.push(block);
  }

  #newBlock(): Block {
    const block = { bytes: Buffer.allocUnsafeSlow(this.#blockBytes), owner: this, filledBytes: 0, doneBytes: 0 };
    blocks.set(block.bytes.buffer, block);
    return block;
  }
}
