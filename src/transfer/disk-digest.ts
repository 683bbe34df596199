import { createHash } from 'node:crypto';
import { KIB } from '../common/byte-size.js';
import { VhdReader } from '../format/vhd-reader.js';
import { type FlowCheck } from './checked-stream.js';

const UNIT_BYTES = 64 * KIB;
const ZEROES = Buffer.alloc(UNIT_BYTES);

/**
 * Digest of what a disk holds, whatever file it comes in: of every 64 KiB that are not zero, place and data. Two files of
 * one disk have the same, also when one of them stores zeroes and the other leaves them out, or ends later.
 */
export class DiskDigest implements FlowCheck {
  readonly #digest = createHash('sha256');
  readonly #unit = Buffer.alloc(UNIT_BYTES);
  readonly #reader: VhdReader | undefined;
  #unitAt = 0;
  #isTouched = false;
  #offset = 0;

  /** @param diskSizeBytes of a VHD: what it must be. */
  constructor(format: 'raw' | 'vhd', diskSizeBytes?: number) {
    if (format === 'raw') return;
    this.#reader = new VhdReader({
      onRun: ({ offsetBytes, data }) => {
        this.#take(offsetBytes, data);
      },
      ...(diskSizeBytes === undefined ? {} : { diskSizeBytes }),
    });
  }

  /** @throws {FormatError} when a VHD is not what it should be. */
  push(chunk: Buffer): void {
    if (this.#reader !== undefined) this.#reader.push(chunk);
    else this.#take(this.#offset, chunk);
    this.#offset += chunk.length;
  }

  /** @throws {FormatError} as `push`. */
  end(): void {
    this.#reader?.end();
    this.#flush();
  }

  /** Once, after `end`. */
  hex(): string {
    return this.#digest.digest('hex');
  }

  #take(offsetBytes: number, data: Buffer): void {
    for (let from = 0; from < data.length;) {
      const at = offsetBytes + from;
      const unitAt = at - (at % UNIT_BYTES);
      if (unitAt !== this.#unitAt) this.#flush();
      this.#unitAt = unitAt;
      const length = Math.min(data.length - from, unitAt + UNIT_BYTES - at);
      data.copy(this.#unit, at - unitAt, from, from + length);
      this.#isTouched = true;
      from += length;
    }
  }

  #flush(): void {
    if (!this.#isTouched) return;
    this.#isTouched = false;
    if (this.#unit.equals(ZEROES)) return;
    this.#digest.update(`${this.#unitAt}:`).update(this.#unit);
    this.#unit.fill(0);
  }
}
