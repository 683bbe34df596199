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
  /** Memory of the pieces that are out: what a reader joined to something else, or gives back twice, is not taken. */
  readonly #lent = new WeakSet<ArrayBufferLike>();
  #next: Promise<Buffer> | undefined;

  constructor(handle: FileHandle, pieceBytes: number) {
    super({ highWaterMark: pieceBytes });
    this.#handle = handle;
    this.#pieceBytes = pieceBytes;
  }

  /** For a piece that nobody looks at any more, once. */
  giveBack({ buffer }: Buffer): void {
    if (this.#lent.delete(buffer)) this.#free.push(buffer);
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
    const piece = Buffer.from(this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#pieceBytes).buffer);
    this.#lent.add(piece.buffer);
    const { bytesRead } = await this.#handle.read(piece, 0, piece.length, null);
    return piece.subarray(0, bytesRead);
  }
}
