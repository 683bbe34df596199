/** Remembers at least the last `minBytes` of a stream, as copies: what is pushed may be changed afterwards. */
export class TailWindow {
  readonly #minBytes: number;
  /** Longer than what is asked for, so that small pieces seldom move what is there. */
  readonly #bytes: Buffer;
  #filledBytes = 0;

  constructor(minBytes: number) {
    this.#minBytes = minBytes;
    this.#bytes = Buffer.allocUnsafe(4 * minBytes);
  }

  push(piece: Buffer): void {
    const tail = piece.subarray(Math.max(0, piece.length - this.#minBytes));
    if (this.#filledBytes + tail.length > this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#filledBytes - this.#minBytes, this.#filledBytes);
      this.#filledBytes = this.#minBytes;
    }
    this.#filledBytes += tail.copy(this.#bytes, this.#filledBytes);
  }

  /** The last bytes, at most `minBytes`; good until the next push. */
  read(): Buffer {
    return this.#bytes.subarray(Math.max(0, this.#filledBytes - this.#minBytes), this.#filledBytes);
  }
}
