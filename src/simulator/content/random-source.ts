import { type ByteSource } from './byte-source.js';
import { numbersFrom, scramble, seedBits } from './mix.js';

const PAGE_BYTES = 4096;
const PAGE_INTS = PAGE_BYTES / 4;
const POOL_INTS = 256 * 1024;
const START_COUNT = POOL_INTS - PAGE_INTS;

let pool: Int32Array | undefined;

/** 1 MiB of noise, made once per process; a page is a piece of it under a key of its own. */
function noisePool(): Int32Array {
  if (pool === undefined) {
    const next = numbersFrom(0x5eed1e55);
    pool = new Int32Array(POOL_INTS).map(() => scramble(next()));
  }
  return pool;
}

/** Noise from a seed: does not compress, no two 4 KiB pages of a disk are alike, and costs little more than a copy. */
export class RandomSource implements ByteSource {
  readonly #seed: number;
  readonly #name: string;
  readonly #page = Buffer.alloc(PAGE_BYTES);

  constructor(seed: number | string) {
    this.#seed = seedBits(seed);
    this.#name = `random:${seed}`;
  }

  fill(target: Buffer, offset: number): void {
    let done = 0;
    while (done < target.length) {
      const position = offset + done;
      const page = Math.floor(position / PAGE_BYTES);
      const within = position - page * PAGE_BYTES;
      const wholePages = within === 0 ? Math.floor((target.length - done) / PAGE_BYTES) : 0;
      if (wholePages > 0 && (target.byteOffset + done) % 4 === 0) {
        this.#writePages(target, done, page, wholePages);
        done += wholePages * PAGE_BYTES;
        continue;
      }
      const take = Math.min(PAGE_BYTES - within, target.length - done);
      this.#writePages(this.#page, 0, page, 1);
      this.#page.copy(target, done, within, within + take);
      done += take;
    }
  }

  isKnownZero(): boolean {
    return false;
  }

  nameOf(offset: number): string {
    return `${this.#name}@${offset}`;
  }

  allocatedBytes(sizeBytes: number): number {
    return sizeBytes;
  }

  probe(offset: number): number {
    const page = offset / PAGE_BYTES;
    return (noisePool()[this.#startOf(page)] ?? 0) ^ this.#keyOf(page);
  }

  #writePages(target: Buffer, at: number, firstPage: number, count: number): void {
    const noise = noisePool();
    const out = new Int32Array(target.buffer, target.byteOffset + at, count * PAGE_INTS);
    for (let page = 0; page < count; page += 1) {
      const key = this.#keyOf(firstPage + page);
      let from = this.#startOf(firstPage + page);
      let to = page * PAGE_INTS;
      // Eight at a time: twice as fast as one at a time, and this loop is what serving a disk costs.
      for (const end = to + PAGE_INTS; to < end; to += 8, from += 8) {
        out[to] = (noise[from] ?? 0) ^ key;
        out[to + 1] = (noise[from + 1] ?? 0) ^ key;
        out[to + 2] = (noise[from + 2] ?? 0) ^ key;
        out[to + 3] = (noise[from + 3] ?? 0) ^ key;
        out[to + 4] = (noise[from + 4] ?? 0) ^ key;
        out[to + 5] = (noise[from + 5] ?? 0) ^ key;
        out[to + 6] = (noise[from + 6] ?? 0) ^ key;
        out[to + 7] = (noise[from + 7] ?? 0) ^ key;
      }
    }
  }

  /** One to one in the page number, so no two pages of a disk share a key. */
  #keyOf(page: number): number {
    return scramble(page ^ this.#seed) | 0;
  }

  #startOf(page: number): number {
    return scramble(Math.imul(page, 0x9e3779b1) + this.#seed) % START_COUNT;
  }
}
