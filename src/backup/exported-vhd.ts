import { Readable } from 'node:stream';
import { FormatError } from '../format/format-error.js';
import { VhdReader } from '../format/vhd-reader.js';
import {
  DYNAMIC_HEADER_BYTES,
  FOOTER_BYTES,
  type VhdParent,
  type VhdType,
  withVhdParent,
} from '../format/vhd-structures.js';
import { type FlowCheck } from '../transfer/checked-stream.js';

const HEAD_BYTES = FOOTER_BYTES + DYNAMIC_HEADER_BYTES;

/** Checks a VHD that the pool sends: whole, of the expected type and size. Knows its id afterwards. */
export class ExportedVhd implements FlowCheck {
  readonly #reader: VhdReader;
  #uuid: string | undefined;

  constructor(type: Exclude<VhdType, 'fixed'>, diskSizeBytes: number) {
    this.#reader = new VhdReader({
      diskSizeBytes,
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

/** The same differencing VHD as the child of another parent. Errors of the data are passed on. */
export function withParent(data: Readable, parent: VhdParent): Readable {
  const changed = Readable.from(rewritten(data, parent), { objectMode: false });
  data.on('error', (error) => changed.destroy(error));
  return changed;
}

async function* rewritten(data: Readable, parent: VhdParent): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of data as AsyncIterable<Buffer>) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < HEAD_BYTES) continue;
    yield Buffer.concat([withVhdParent(head.subarray(0, HEAD_BYTES), parent), head.subarray(HEAD_BYTES)]);
    head = undefined;
  }
}
