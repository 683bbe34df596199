/** Bits a page holds: 256 MiB of disk. */
const PAGE_UNITS = 4096;

/**
 * One bit for each 64 KiB of a disk. Takes memory only where bits are set, so that a large disk with few writes costs
 * little.
 */
export class UnitBitmap {
  readonly #pages = new Map<number, Uint8Array>();

  set(unit: number): void {
    const number = Math.floor(unit / PAGE_UNITS);
    const bit = unit % PAGE_UNITS;
    const page = this.#page(number);
    page[bit >> 3] = (page[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }

  /** Sets the bits that are set in `other`. */
  merge(other: UnitBitmap): void {
    for (const [number, bytes] of other.#pages) {
      const page = this.#page(number);
      for (const [index, byte] of bytes.entries()) page[index] = (page[index] ?? 0) | byte;
    }
  }

  /** The first `unitCount` bits, the most significant bit of a byte first. */
  toBuffer(unitCount: number): Buffer {
    const bytes = Buffer.alloc(Math.ceil(unitCount / 8));
    for (const [number, page] of this.#pages) {
      const start = (number * PAGE_UNITS) / 8;
      if (start < bytes.length) bytes.set(page.subarray(0, bytes.length - start), start);
    }
    return bytes;
  }

  #page(number: number): Uint8Array {
    let page = this.#pages.get(number);
    if (page === undefined) this.#pages.set(number, (page = new Uint8Array(PAGE_UNITS / 8)));
    return page;
  }
}
