import { KIB } from '../common/byte-size.js';

const GRAIN_BYTES = 64 * KIB;

/** Buffers to read into. Those that come back are filled again; those that don't are the collector's. */
export class NbdBuffers {
  readonly #maxBytes: number;
  /** By their whole length: there are few different ones, so that what comes back fits again. */
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;

  /** Keeps at most so much that nobody uses. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A buffer of this length, of any content. */
  take(lengthBytes: number): Buffer {
    const wholeBytes = Math.ceil(lengthBytes / GRAIN_BYTES) * GRAIN_BYTES;
    const kept = this.#free.get(wholeBytes)?.pop();
    if (kept !== undefined) this.#freeBytes -= wholeBytes;
    return (kept ?? Buffer.allocUnsafeSlow(wholeBytes)).subarray(0, lengthBytes);
  }

  /** What gives this one back: once, however often it is called. */
  releaseOf(taken: Buffer): () => void {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const whole = Buffer.from(taken.buffer as ArrayBuffer);
      if (this.#freeBytes + whole.length > this.#maxBytes) return;
      this.#freeBytes += whole.length;
      const free = this.#free.get(whole.length) ?? [];
      free.push(whole);
      this.#free.set(whole.length, free);
    };
  }

  clear(): void {
    this.#free.clear();
    this.#freeBytes = this.#maxBytes;
  }
}
