import { FormatError } from './format-error.js';
import { SECTOR_BYTES, UNUSED_BLOCK } from './vhd-structures.js';

/** Reads a block allocation table in pieces and keeps only the entries that are used. */
export class VhdTable {
  readonly #entries: number;
  readonly #usableEntries: number;
  readonly #carry = Buffer.alloc(4);
  #carried = 0;
  #seen = 0;
  #used = 0;
  #blocks = new Uint32Array(64);
  #sectors = new Uint32Array(64);

  /** @param usableEntries so many entries have a place on the disk; more may be there and must be unused. */
  constructor(entries: number, usableEntries: number) {
    this.#entries = entries;
    this.#usableEntries = usableEntries;
  }

  /** Numbers of the blocks that are used, ascending. */
  get blocks(): Uint32Array {
    return this.#blocks.subarray(0, this.#used);
  }

  /** Where each of `blocks` lies in the file, in sectors. */
  get sectors(): Uint32Array {
    return this.#sectors.subarray(0, this.#used);
  }

  /** Never more than the table has. */
  push(piece: Buffer): void {
    let at = 0;
    while (this.#carried > 0 && at < piece.length) {
      this.#carry[this.#carried] = piece[at] ?? 0;
      at += 1;
      this.#carried += 1;
      if (this.#carried < 4) continue;
      this.#carried = 0;
      this.#add(this.#carry.readUInt32BE(0));
    }
    for (; at + 4 <= piece.length; at += 4) {
      const sector = piece.readUInt32BE(at);
      if (sector === UNUSED_BLOCK) this.#seen += 1;
      else this.#add(sector);
    }
    for (; at < piece.length; at += 1, this.#carried += 1) this.#carry[this.#carried] = piece[at] ?? 0;
  }

  /**
   * @param dataStart the first byte of the file that a block may have.
   * @param blockBytes length of a block in the file, with its bitmap.
   * @throws {FormatError} when blocks overlap or are not in the order of the disk.
   */
  finish(dataStart: number, blockBytes: number): { blocks: Uint32Array; sectors: Uint32Array } {
    const { blocks, sectors } = this;
    let free = dataStart;
    for (let index = 0; index < sectors.length; index += 1) {
      const start = (sectors[index] ?? 0) * SECTOR_BYTES;
      if (start < free) {
        const details = { expected: `not before byte ${free}`, found: `byte ${start}` };
        throw new FormatError(`Block ${blocks[index] ?? 0} of the VHD overlaps or is out of order`, details);
      }
      free = start + blockBytes;
    }
    return { blocks, sectors };
  }

  #add(sector: number): void {
    const block = this.#seen;
    this.#seen += 1;
    if (sector === UNUSED_BLOCK) return;
    if (block >= this.#usableEntries) {
      const details = {
        expected: `at most ${this.#usableEntries} of ${this.#entries} blocks`,
        found: `block ${block}`,
      };
      throw new FormatError('A block beyond the end of the disk', details);
    }
    if (this.#used === this.#blocks.length) this.#grow();
    this.#blocks[this.#used] = block;
    this.#sectors[this.#used] = sector;
    this.#used += 1;
  }

  #grow(): void {
    const [blocks, sectors] = [this.#blocks, this.#sectors];
    const capacity = Math.min(this.#entries, 2 * blocks.length);
    this.#blocks = new Uint32Array(capacity);
    this.#sectors = new Uint32Array(capacity);
    this.#blocks.set(blocks);
    this.#sectors.set(sectors);
  }
}
