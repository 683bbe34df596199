import { FormatError } from './format-error.js';
import { type ArchiveDisk } from './ova-xml.js';

export interface DiskTotals {
  readonly id: string;
  readonly sizeBytes: number;
  /** Bytes of it that the archive holds; the rest was left out as zeroes. */
  readonly storedBytes: number;
}

/**
 * Follows the blocks of an archive's disks, as an import would place them, and insists that they cover every disk
 * exactly, in order. A block's number is not its place: an exporter that had nothing to send for 5 s puts in an empty
 * block that uses up a number and no space (facts 5.3), so places are counted, not computed.
 */
export class DiskCoverage {
  readonly #disks: readonly ArchiveDisk[];
  readonly #totals: DiskTotals[] = [];
  #current = 0;
  #lastNumber = -1;
  #offsetBytes = 0;
  #storedBytes = 0;
  /** Length of the archive's first block; an import takes it for the length of every block that was left out. */
  #blockBytes = 0;

  /** @param disks in the order of the archive. */
  constructor(disks: readonly ArchiveDisk[]) {
    this.#disks = disks.filter((disk) => disk.sizeBytes > 0);
    for (const { id } of disks.filter((disk) => disk.sizeBytes === 0)) {
      this.#totals.push({ id, sizeBytes: 0, storedBytes: 0 });
    }
  }

  /**
   * Takes the next block, and says where in its disk it lies.
   * @param at where its header lies in the input, for the error.
   * @throws {FormatError} when it is not one that may come now.
   */
  add(id: string, number: number, lengthBytes: number, at: number): number {
    const disk = this.#disks[this.#current];
    if (disk?.id !== id) {
      const expected =
        disk === undefined ? 'the end' : `${disk.id}, covered to ${this.#offsetBytes} of ${disk.sizeBytes}`;
      throw new FormatError('A block of a disk whose turn it is not', { offsetBytes: at, expected, found: id });
    }
    if (number <= this.#lastNumber) {
      const details = { offsetBytes: at, expected: `above ${this.#lastNumber}`, found: String(number) };
      throw new FormatError(`The blocks of ${id} are not in order`, details);
    }
    if (this.#lastNumber < 0 && (number !== 0 || lengthBytes === 0)) {
      const details = {
        offsetBytes: at,
        expected: 'block 0 with data',
        found: `block ${number} of ${lengthBytes} bytes`,
      };
      throw new FormatError(`The first block of ${id} is missing`, details);
    }
    if (this.#blockBytes === 0) this.#blockBytes = lengthBytes;
    const end = this.#offsetBytes + (number - this.#lastNumber - 1) * this.#blockBytes + lengthBytes;
    if (end > disk.sizeBytes) {
      const details = { offsetBytes: at, expected: `at most ${disk.sizeBytes}`, found: String(end) };
      throw new FormatError(`A block of ${id} reaches beyond the end of the disk`, details);
    }
    this.#lastNumber = number;
    this.#offsetBytes = end;
    this.#storedBytes += lengthBytes;
    if (end === disk.sizeBytes) this.#nextDisk(disk);
    return end - lengthBytes;
  }

  /**
   * What was stored of each disk, once the archive is over.
   * @throws {FormatError} when a disk is not covered.
   */
  finish(at: number): readonly DiskTotals[] {
    const disk = this.#disks[this.#current];
    if (disk !== undefined) {
      const details = { offsetBytes: at, expected: `${disk.sizeBytes} bytes`, found: `${this.#offsetBytes} bytes` };
      throw new FormatError(`The archive ends before the end of disk ${disk.id}`, details);
    }
    return this.#totals;
  }

  #nextDisk({ id, sizeBytes }: ArchiveDisk): void {
    this.#totals.push({ id, sizeBytes, storedBytes: this.#storedBytes });
    this.#current += 1;
    this.#lastNumber = -1;
    this.#offsetBytes = 0;
    this.#storedBytes = 0;
  }
}
