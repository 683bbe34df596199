import { MIB } from '../../common/byte-size.js';
import { type ByteSource, ZERO_NAME } from './byte-source.js';

/** A piece of a disk and what is in it. The source is asked with offsets of the disk, minus `shiftBytes`. */
export interface SourceRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly source: ByteSource;
  readonly shiftBytes: number;
}

/** Ranges of other sources with zeroes between them. Where ranges overlap the later one wins. */
export class RangedSource implements ByteSource {
  readonly #ranges: readonly SourceRange[];

  constructor(ranges: readonly SourceRange[]) {
    this.#ranges = ranges;
  }

  fill(target: Buffer, offset: number): void {
    target.fill(0);
    for (const range of this.#within(offset, target.length)) {
      const from = Math.max(offset, range.offsetBytes);
      const to = Math.min(offset + target.length, range.offsetBytes + range.lengthBytes);
      range.source.fill(target.subarray(from - offset, to - offset), from - range.shiftBytes);
    }
  }

  isKnownZero(offset: number, length: number): boolean {
    return this.#within(offset, length).every((range) => {
      const from = Math.max(offset, range.offsetBytes);
      const to = Math.min(offset + length, range.offsetBytes + range.lengthBytes);
      return range.source.isKnownZero(from - range.shiftBytes, to - from);
    });
  }

  nameOf(offset: number, length: number): string {
    const present = this.#within(offset, length);
    const [only] = present;
    if (only === undefined) return ZERO_NAME;
    const covers = only.offsetBytes <= offset && only.offsetBytes + only.lengthBytes >= offset + length;
    if (present.length === 1 && covers) return only.source.nameOf(offset - only.shiftBytes, length);
    return present
      .map((range) => {
        const from = Math.max(offset, range.offsetBytes);
        const to = Math.min(offset + length, range.offsetBytes + range.lengthBytes);
        return `${from - offset}+${to - from}:${range.source.nameOf(from - range.shiftBytes, to - from)}`;
      })
      .join('|');
  }

  allocatedBytes(sizeBytes: number): number {
    return this.#ranges.reduce((sum, range) => {
      const lengthBytes = Math.max(0, Math.min(range.lengthBytes, sizeBytes - range.offsetBytes));
      const start = range.offsetBytes - range.shiftBytes;
      return sum + range.source.allocatedBytes(start + lengthBytes) - range.source.allocatedBytes(start);
    }, 0);
  }

  #within(offset: number, length: number): readonly SourceRange[] {
    return this.#ranges.filter(
      (range) => range.offsetBytes < offset + length && range.offsetBytes + range.lengthBytes > offset,
    );
  }
}

/** Another source of which only so many percent of the MiBs are filled, evenly spread; the rest is zero. */
export class SparseSource implements ByteSource {
  readonly #inner: ByteSource;
  readonly #fillPercent: number;

  constructor(inner: ByteSource, fillPercent: number) {
    this.#inner = inner;
    this.#fillPercent = fillPercent;
  }

  fill(target: Buffer, offset: number): void {
    this.#eachRun(offset, target.length, (from, to, isFilled) => {
      const piece = target.subarray(from - offset, to - offset);
      if (isFilled) this.#inner.fill(piece, from);
      else piece.fill(0);
    });
  }

  isKnownZero(offset: number, length: number): boolean {
    let isZero = true;
    this.#eachRun(offset, length, (from, to, isFilled) => {
      isZero &&= !isFilled || this.#inner.isKnownZero(from, to - from);
    });
    return isZero;
  }

  nameOf(offset: number, length: number): string {
    const names: string[] = [];
    this.#eachRun(offset, length, (from, to, isFilled) => {
      names.push(isFilled ? this.#inner.nameOf(from, to - from) : ZERO_NAME);
    });
    if (names.every((name) => name === ZERO_NAME)) return ZERO_NAME;
    return names.length === 1 ? (names[0] ?? ZERO_NAME) : `${offset % MIB}:${names.join('|')}`;
  }

  allocatedBytes(sizeBytes: number): number {
    const whole = Math.floor(sizeBytes / MIB);
    const rest = this.#isFilled(whole) ? sizeBytes - whole * MIB : 0;
    return Math.floor((whole * this.#fillPercent) / 100) * MIB + rest;
  }

  #isFilled(mebibyte: number): boolean {
    return Math.floor(((mebibyte + 1) * this.#fillPercent) / 100) > Math.floor((mebibyte * this.#fillPercent) / 100);
  }

  #eachRun(offset: number, length: number, visit: (from: number, to: number, isFilled: boolean) => void): void {
    const end = offset + length;
    for (let from = offset; from < end;) {
      const mebibyte = Math.floor(from / MIB);
      const to = Math.min(end, (mebibyte + 1) * MIB);
      visit(from, to, this.#isFilled(mebibyte));
      from = to;
    }
  }
}
