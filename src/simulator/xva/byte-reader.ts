import { SimulatedFailure } from '../simulated-failure.js';

/** Reads a stream of buffers in pieces of any length; holds one buffer of the stream at most. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  readonly #waitAtEnd: (() => Promise<void>) | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #isEnded = false;

  /** `waitAtEnd` is awaited before an end of the stream is believed. */
  constructor(source: AsyncIterable<Buffer>, waitAtEnd?: () => Promise<void>) {
    this.#source = source[Symbol.asyncIterator]();
    this.#waitAtEnd = waitAtEnd;
  }

  /** Fills all of `target`. Throws IMPORT_ERROR_PREMATURE_EOF when the stream ends before. */
  async readInto(target: Buffer): Promise<void> {
    const filled = await this.#fill(target);
    if (filled < target.length) throw new SimulatedFailure('IMPORT_ERROR_PREMATURE_EOF');
  }

  /** The next `length` bytes. Throws IMPORT_ERROR_PREMATURE_EOF. */
  async read(length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(length);
    await this.readInto(target);
    return target;
  }

  /** As many of the next `length` bytes as there are. */
  async readUpTo(length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(length);
    return target.subarray(0, await this.#fill(target));
  }

  /** Passes over bytes. Throws IMPORT_ERROR_PREMATURE_EOF. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      if (!(await this.#more())) throw new SimulatedFailure('IMPORT_ERROR_PREMATURE_EOF');
      const take = Math.min(left, this.#rest.length);
      this.#rest = this.#rest.subarray(take);
      left -= take;
    }
  }

  /** What is left of the stream, buffer by buffer. */
  async *remaining(): AsyncGenerator<Buffer> {
    while (await this.#more(false)) {
      const rest = this.#rest;
      this.#rest = Buffer.alloc(0);
      yield rest;
    }
  }

  async #fill(target: Buffer): Promise<number> {
    let filled = 0;
    while (filled < target.length && (await this.#more())) {
      const take = this.#rest.copy(target, filled);
      this.#rest = this.#rest.subarray(take);
      filled += take;
    }
    return filled;
  }

  async #more(mayWait = true): Promise<boolean> {
    while (this.#rest.length === 0 && !this.#isEnded) {
      const next = await this.#source.next();
      if (next.done === true) {
        if (mayWait) await this.#waitAtEnd?.();
        this.#isEnded = true;
      } else this.#rest = next.value;
    }
    return this.#rest.length > 0;
  }
}
