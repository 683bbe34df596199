/**
 * Remembers at least the last `minBytes` of a stream without copying large pieces: it holds references. Small pieces are
 * put together so that a stream of single bytes stays cheap.
 */
export class TailWindow {
  readonly #minBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(minBytes: number) {
    this.#minBytes = minBytes;
  }

  push(piece: Buffer): void {
    if (piece.length >= this.#minBytes) {
      this.#pieces = [piece];
      this.#bytes = piece.length;
      return;
    }
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#pieces.length > 64 || this.#bytes > 64 * this.#minBytes) this.#compact();
  }

  /** The last bytes, as one piece of at most `minBytes`. */
  read(): Buffer {
    this.#compact();
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  #compact(): void {
    const whole = Buffer.concat(this.#pieces, this.#bytes);
    const tail = whole.subarray(Math.max(0, whole.length - this.#minBytes));
    this.#pieces = [tail];
    this.#bytes = tail.length;
  }
}
