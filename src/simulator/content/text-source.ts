import { type ByteSource } from './byte-source.js';
import { numbersFrom, scramble, seedBits } from './mix.js';

const PAGE_BYTES = 4096;
const POOL_BYTES = 512 * 1024;
const WORDS = (
  'the of and a to in is was he for it with as his on be at by had not are but from or have an they which one you were ' +
  'all her she there would their we him been has when who will no more if out so up said what its about than into them ' +
  'can only other time new some could these two may first then do any like my now over such our man me even most made ' +
  'after also did many off before must well back through years much where your way down should because long each just ' +
  'state people those too mr how little good world make very year still see own work men day get here old life both'
).split(' ');

let pool: Buffer | undefined;

function textPool(): Buffer {
  if (pool === undefined) {
    const next = numbersFrom(0x7e47);
    let text = '';
    while (text.length < POOL_BYTES) {
      text += `${WORDS[next() % WORDS.length] ?? ''}${next() % 11 === 0 ? `, ${next() % 100_000}.\n` : ' '}`;
    }
    pool = Buffer.from(text.slice(0, POOL_BYTES), 'latin1');
  }
  return pool;
}

/** Prose from a seed: compresses to about a third; every 4 KiB page carries its own number, so all are different. */
export class TextSource implements ByteSource {
  readonly #seed: number;
  readonly #name: string;
  readonly #page = Buffer.alloc(PAGE_BYTES);

  constructor(seed: number | string) {
    this.#seed = seedBits(seed);
    this.#name = `text:${seed}`;
  }

  fill(target: Buffer, offset: number): void {
    let done = 0;
    while (done < target.length) {
      const position = offset + done;
      const page = Math.floor(position / PAGE_BYTES);
      const within = position - page * PAGE_BYTES;
      const take = Math.min(PAGE_BYTES - within, target.length - done);
      if (take === PAGE_BYTES) this.#writePage(target, done, page);
      else {
        this.#writePage(this.#page, 0, page);
        this.#page.copy(target, done, within, within + take);
      }
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
    return Buffer.from(this.#stampOf(offset / PAGE_BYTES), 'latin1').readInt32LE(0);
  }

  #writePage(target: Buffer, at: number, page: number): void {
    const start = scramble(page ^ this.#seed) % (POOL_BYTES - PAGE_BYTES);
    textPool().copy(target, at, start, start + PAGE_BYTES);
    target.write(this.#stampOf(page), at, 'latin1');
  }

  /** The changing digits first, so that a {@link probe} tells pages and seeds apart. */
  #stampOf(page: number): string {
    const digits = scramble(page ^ this.#seed)
      .toString(16)
      .padStart(8, '0');
    return `${digits} page ${page.toString(16).padStart(9, '0')} \n`;
  }
}
