import { type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';

/**
 * A file from where its handle stands to its end, in pieces of one size: while one is looked at, the next is being read,
 * into memory that was given back when there is some. Closes the handle when it ends or is destroyed.
 */
export class ReadAhead extends Readable {
  readonly #handle: FileHandle;
  readonly #pieceBytes: number;
  readonly #free: ArrayBufferLike[] = [];
  #next: Promise<Buffer> | undefined;

  constructor(handle: FileHandle, pieceBytes: number) {
    super({ highWaterMark: pieceBytes });
    this.#handle = handle;
    this.#pieceBytes = pieceBytes;
  }

  /** For a piece that nobody looks at any more, once. */
  giveBack(piece: Buffer): void {
    this.#free.push(piece.buffer);
  }

  override _read(): void {
    this.#give().catch((error: unknown) => this.destroy(error as Error));
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const closed = Promise.resolve(this.#next)
      .catch(() => undefined)
      .then(() => this.#handle.close());
    closed.then(
      () => {
        callback(error);
      },
      (cause: unknown) => {
        callback(error ?? (cause as Error));
      },
    );
  }

  async #give(): Promise<void> {
    const piece = await (this.#next ?? this.#read());
    this.#next = undefined;
    if (this.destroyed) return;
    if (piece.length > 0) {
      this.#next = this.#read();
      // It is met when the piece is wanted, or not at all.
      this.#next.catch(() => undefined);
    }
    this.push(piece.length > 0 ? piece : null);
  }

  async #read(): Promise<Buffer> {
    const memory = this.#free.pop();
    const piece = memory === undefined ? Buffer.allocUnsafeSlow(this.#pieceBytes) : Buffer.from(memory);
    const { bytesRead } = await this.#handle.read(piece, 0, piece.length, null);
    return piece.subarray(0, bytesRead);
  }
}
