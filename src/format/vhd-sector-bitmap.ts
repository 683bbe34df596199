import { SECTOR_BYTES } from './vhd-structures.js';

/** Which sectors of a block are set, most significant bit first. */
export class SectorBitmap {
  readonly #sectors: number;
  readonly #full: Buffer;
  /** Stretches that are set, in bytes of the block: from, to, from, to, ... */
  #stretches: number[] = [];

  constructor(sectors: number) {
    this.#sectors = sectors;
    this.#full = Buffer.alloc(Math.ceil(sectors / 8), 0xff);
  }

  /** @param bytes at least one bit for each sector. */
  read(bytes: Buffer): void {
    const bitmap = bytes.subarray(0, this.#full.length);
    this.#stretches = bitmap.equals(this.#full) ? [0, this.#sectors * SECTOR_BYTES] : this.#find(bitmap);
  }

  /** Every stretch that is set between two bytes of the block. */
  forEachSet(start: number, end: number, visit: (from: number, to: number) => void): void {
    const stretches = this.#stretches;
    for (let index = 0; index < stretches.length; index += 2) {
      const from = Math.max(start, stretches[index] ?? 0);
      const to = Math.min(end, stretches[index + 1] ?? 0);
      if (from >= end) return;
      if (from < to) visit(from, to);
    }
  }

  #find(bitmap: Buffer): number[] {
    const found: number[] = [];
    let isSet = false;
    for (let sector = 0; sector < this.#sectors; sector += 1) {
      const byte = bitmap[sector >> 3] ?? 0;
      if (sector % 8 === 0 && byte === (isSet ? 0xff : 0)) {
        sector += 7;
        continue;
      }
      if (((byte & (0x80 >> (sector % 8))) !== 0) === isSet) continue;
      isSet = !isSet;
      found.push(sector * SECTOR_BYTES);
    }
    if (isSet) found.push(this.#sectors * SECTOR_BYTES);
    return found;
  }
}
