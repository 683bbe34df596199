import { type ByteSource } from './byte-source.js';

const MAX_SOURCES = 1024;

/**
 * The generators this process has used. Data that is written to a disk and is what a generator gives at that offset
 * (a restore, a copy) is kept as that fact instead of as bytes: a pool can take back hundreds of GiB without memory.
 */
export class KnownSources {
  readonly #sources = new Map<string, ByteSource>();
  readonly #scratch = Buffer.alloc(64 * 1024);
  #last: ByteSource | undefined;

  /** The source of that name; the same name gives the same source. */
  of(name: string, make: () => ByteSource): ByteSource {
    const known = this.#sources.get(name) ?? make();
    this.#sources.delete(name);
    this.#sources.set(name, known);
    const [oldest] = this.#sources.keys();
    if (this.#sources.size > MAX_SOURCES && oldest !== undefined) this.#sources.delete(oldest);
    return known;
  }

  /** The source that has exactly `data` (at most 64 KiB) at `offset` (a multiple of 4 KiB). */
  find(data: Buffer, offset: number): ByteSource | undefined {
    const first = data.readInt32LE(0);
    if (this.#last !== undefined && this.#isAt(this.#last, data, offset, first)) return this.#last;
    for (const source of this.#sources.values()) {
      if (!this.#isAt(source, data, offset, first)) continue;
      this.#last = source;
      return source;
    }
    return undefined;
  }

  #isAt(source: ByteSource, data: Buffer, offset: number, first: number): boolean {
    if (source.probe?.(offset) !== first) return false;
    const same = this.#scratch.subarray(0, data.length);
    source.fill(same, offset);
    return same.equals(data);
  }
}

export const knownSources = new KnownSources();
