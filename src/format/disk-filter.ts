import { FormatError } from './format-error.js';
import { isZeroBlock, parseTarHeader, TAR_BLOCK_BYTES, tarPaddingBytes } from './tar-header.js';

/**
 * Leaves the data of some disks out of an archive while it flows. Takes the part behind `ova.xml`, in pieces of any size,
 * already checked: it understands headers and nothing else.
 */
export class DiskFilter {
  readonly #dropped: ReadonlySet<string>;
  readonly #header = Buffer.alloc(TAR_BLOCK_BYTES);
  #headerBytes = 0;
  /** Bytes of the current member, its padding included, that are still to come. */
  #missing = 0;
  #isKept = true;
  /** An import takes the length of an archive's first block for the length of every block that was left out (facts 5.3). */
  #firstBlockBytes: number | undefined;
  #firstKeptBytes: number | undefined;

  /** @param dropped ids of the disks, which are the folders of their blocks. */
  constructor(dropped: ReadonlySet<string>) {
    this.#dropped = dropped;
  }

  /**
   * The pieces that stay.
   * @throws {FormatError} when the rest would no longer be read as it was meant.
   */
  push(chunk: Buffer): readonly Buffer[] {
    const kept: Buffer[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, chunk.length - at);
        if (this.#isKept) kept.push(chunk.subarray(at, at + taken));
        this.#missing -= taken;
        at += taken;
        continue;
      }
      const taken = chunk.copy(this.#header, this.#headerBytes, at, at + TAR_BLOCK_BYTES - this.#headerBytes);
      this.#headerBytes += taken;
      at += taken;
      if (this.#headerBytes === TAR_BLOCK_BYTES) this.#readHeader(kept);
    }
    return kept;
  }

  #readHeader(kept: Buffer[]): void {
    this.#headerBytes = 0;
    this.#isKept = true;
    if (!isZeroBlock(this.#header)) {
      const { name, sizeBytes } = parseTarHeader(this.#header, 0);
      this.#isKept = !this.#dropped.has(name.slice(0, name.lastIndexOf('/')));
      this.#missing = sizeBytes + tarPaddingBytes(sizeBytes);
      this.#compareFirst(sizeBytes);
    }
    if (this.#isKept) kept.push(Buffer.from(this.#header));
  }

  #compareFirst(sizeBytes: number): void {
    this.#firstBlockBytes ??= sizeBytes;
    if (!this.#isKept || this.#firstKeptBytes !== undefined) return;
    this.#firstKeptBytes = sizeBytes;
    if (sizeBytes === this.#firstBlockBytes) return;
    const details = { expected: `${this.#firstBlockBytes} bytes`, found: `${sizeBytes} bytes` };
    throw new FormatError('The first block of the disks that stay has another length than the archive', details);
  }
}
