import { FormatError } from '../format/format-error.js';
import { VhdReader } from '../format/vhd-reader.js';
import { VhdRestamp, type VhdStamp } from '../format/vhd-restamp.js';
import { type VhdType } from '../format/vhd-structures.js';
import { type FlowCheck } from '../transfer/checked-stream.js';

/**
 * Checks a VHD that the pool sends: whole, of the expected type and size. It goes on as it is stored: signed so that every
 * program reads it alike, and a differencing one as the child of what is stored before it. Knows its id afterwards.
 */
export class ExportedVhd implements FlowCheck {
  readonly keepsNoBuffers = true;
  readonly rewrite: VhdRestamp;
  readonly #reader: VhdReader;
  #uuid: string | undefined;

  constructor(type: Exclude<VhdType, 'fixed'>, stamp: VhdStamp) {
    this.rewrite = new VhdRestamp(stamp);
    this.#reader = new VhdReader({
      diskSizeBytes: stamp.diskSizeBytes,
      onHead: ({ footer }) => {
        this.#uuid = footer.uuid;
        if (footer.type !== type) {
          throw new FormatError('A VHD of another kind than was asked for', { expected: type, found: footer.type });
        }
      },
    });
  }

  /** Unique id in its footer. @throws {FormatError} before the head was read. */
  get uuid(): string {
    if (this.#uuid === undefined) throw new FormatError('The VHD has no footer');
    return this.#uuid;
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  end(): void {
    this.#reader.end();
  }
}
