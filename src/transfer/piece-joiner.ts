/** Pieces of this size are passed on as they come. */
const LARGE_BYTES = 256 * 1024;

/**
 * Puts pieces together that lie one after the other in memory, as those of a socket that reads into blocks do, so that
 * what follows is done once for many records of TLS. Nothing is copied, and nothing waits longer than until all that the
 * sockets had has been read.
 */
export class PieceJoiner {
  readonly #pass: (joined: Buffer) => void;
  #held: Buffer | undefined;
  #flushing: NodeJS.Immediate | undefined;

  constructor(pass: (joined: Buffer) => void) {
    this.#pass = pass;
  }

  push(piece: Buffer): void {
    const joined = this.#held === undefined ? undefined : join(this.#held, piece);
    if (joined === undefined) this.flush();
    this.#held = joined ?? piece;
    if (this.#held.length >= LARGE_BYTES) this.flush();
    else
      this.#flushing ??= setImmediate(() => {
        this.flush();
      });
  }

  /** Passes on what is held. */
  flush(): void {
    const held = this.#held;
    this.discard();
    if (held !== undefined) this.#pass(held);
  }

  /** Forgets what is held. */
  discard(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    this.#held = undefined;
  }
}

function join(first: Buffer, second: Buffer): Buffer | undefined {
  const isAdjacent = first.buffer === second.buffer && first.byteOffset + first.length === second.byteOffset;
  return isAdjacent ? Buffer.from(first.buffer, first.byteOffset, first.length + second.length) : undefined;
}
