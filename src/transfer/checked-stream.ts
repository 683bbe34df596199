import { createHash } from 'node:crypto';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { isBackupError } from '../contract/backup-error.js';
import { type SavesetItem } from '../contract/saveset-record.js';
import { FormatError } from '../format/format-error.js';
import { itemDamaged, recordMismatch, toTransferError } from './data-damaged.js';

/** Something that looks at data while it flows. Throws `FormatError` when the data is not what it should be. */
export interface FlowCheck {
  /** True: when `push` is over, it has done with the piece. */
  readonly keepsNoBuffers?: boolean;
  /** What goes on in place of the data; absent: the data. Asked only for what the check has seen and is content with. */
  readonly rewrite?: FlowRewrite;
  push(chunk: Buffer): void | Promise<void>;
  end(): unknown;
}

/** Changes data while it flows. Throws `FormatError` when it can't. */
export interface FlowRewrite {
  /** What goes on with this piece. */
  push(chunk: Buffer): readonly Buffer[];
  /** The last of it. */
  end(): Buffer;
}

export interface CheckedStreamOptions {
  readonly check: FlowCheck;
  /** What the saveset record says of the data, when it comes from a medium. */
  readonly expected?: SavesetItem;
  /** So many bytes leave only after all checks have passed. Default 0. */
  readonly holdBackBytes?: number;
}

/** Passes data on, and ends only when the check is content with it; else it errors with DATA_DAMAGED. */
export class CheckedStream extends Transform {
  readonly #check: FlowCheck;
  readonly #expected: SavesetItem | undefined;
  readonly #holdBackBytes: number;
  readonly #digest = createHash('sha256');
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  #bytes = 0;

  constructor({ check, expected, holdBackBytes = 0 }: CheckedStreamOptions) {
    super();
    this.#check = check;
    this.#expected = expected;
    this.#holdBackBytes = holdBackBytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#settle(this.#take(chunk), callback);
  }

  override _flush(callback: TransformCallback): void {
    this.#settle(this.#finish(), callback);
  }

  async #take(chunk: Buffer): Promise<void> {
    const { bytes = Infinity, name = '' } = this.#expected ?? {};
    this.#bytes += chunk.length;
    if (this.#bytes > bytes) throw recordMismatch(name, 'length', bytes, `${this.#bytes} or more`);
    if (this.#expected !== undefined) this.#digest.update(chunk);
    await this.#check.push(chunk);
    for (const piece of this.#check.rewrite?.push(chunk) ?? [chunk]) this.#hold(piece);
  }

  #hold(piece: Buffer): void {
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (this.#heldBytes - first.length < this.#holdBackBytes) break;
      this.#held.shift();
      this.#heldBytes -= first.length;
      this.push(first);
    }
  }

  async #finish(): Promise<void> {
    const { name, bytes, sha256 } = this.#expected ?? {};
    if (name !== undefined && bytes !== undefined && sha256 !== undefined) {
      if (this.#bytes !== bytes) throw recordMismatch(name, 'length', bytes, this.#bytes);
      const found = this.#digest.digest('hex');
      if (found !== sha256) throw recordMismatch(name, 'SHA-256', sha256, found);
    }
    await this.#check.end();
    const last = this.#check.rewrite?.end();
    if (last !== undefined) this.#hold(last);
    for (const piece of this.#held.splice(0)) this.push(piece);
  }

  #settle(work: Promise<void>, callback: TransformCallback): void {
    work.then(
      () => {
        callback();
      },
      (error: unknown) => {
        callback(this.#meaningOf(error) as Error);
      },
    );
  }

  #meaningOf(error: unknown): unknown {
    if (!(error instanceof FormatError) || isBackupError(error)) return error;
    return this.#expected === undefined ? toTransferError(error) : itemDamaged(this.#expected.name, error);
  }
}

/** The data as it passes a check; what ends the one ends the other. */
export function checkedData(source: Readable, check: FlowCheck): Readable {
  const stream = new CheckedStream({ check });
  source.on('error', (error) => stream.destroy(error));
  source.on('close', () => {
    if (!source.readableEnded) stream.destroy(source.errored ?? undefined);
  });
  stream.once('close', () => source.destroy());
  // An error before anybody reads it reaches the reader as the stream's state.
  stream.on('error', () => undefined);
  return source.pipe(stream);
}
