import { type ByteExtent } from '../common/byte-extent.js';

/** Which units of a disk hold something: one bit for each. */
export class DiskMap {
  readonly #unitBytes: number;
  readonly #sizeBytes: number;
  readonly #bits: Uint8Array;

  constructor(sizeBytes: number, unitBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#unitBytes = unitBytes;
    this.#bits = new Uint8Array(Math.ceil(sizeBytes / unitBytes / 8));
  }

  mark(offsetBytes: number, lengthBytes: number): void {
    const end = Math.ceil(Math.min(offsetBytes + lengthBytes, this.#sizeBytes) / this.#unitBytes);
    for (let unit = Math.floor(offsetBytes / this.#unitBytes); unit < end; unit += 1) {
      this.#bits[unit >> 3] = (this.#bits[unit >> 3] ?? 0) | (1 << (unit & 7));
    }
  }

  /** True when something of the stretch may hold data. */
  has(offsetBytes: number, lengthBytes: number): boolean {
    const end = Math.ceil(Math.min(offsetBytes + lengthBytes, this.#sizeBytes) / this.#unitBytes);
    for (let unit = Math.floor(offsetBytes / this.#unitBytes); unit < end; unit += 1) {
      if (this.#isMarked(unit)) return true;
    }
    return false;
  }

  /** What is marked, ascending, neighbours joined, within the disk. */
  extents(): ByteExtent[] {
    const found: ByteExtent[] = [];
    const units = Math.ceil(this.#sizeBytes / this.#unitBytes);
    for (let start = 0; start < units; start += 1) {
      if (!this.#isMarked(start)) continue;
      let end = start + 1;
      while (end < units && this.#isMarked(end)) end += 1;
      const offsetBytes = start * this.#unitBytes;
      found.push({ offsetBytes, lengthBytes: Math.min(end * this.#unitBytes, this.#sizeBytes) - offsetBytes });
      start = end;
    }
    return found;
  }

  #isMarked(unit: number): boolean {
    return ((this.#bits[unit >> 3] ?? 0) & (1 << (unit & 7))) !== 0;
  }
}
