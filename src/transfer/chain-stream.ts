import { Readable } from 'node:stream';
import { BackupError } from '../contract/backup-error.js';
import { FormatError } from '../format/format-error.js';
import { cancellation } from './cancellation.js';
import { type LentPieces } from './lent-pieces.js';

/** Held back until the verdict, so that the data cannot be complete at the other end before it. */
const HELD_BACK_BYTES = 64 * 1024;

export interface ChainStreamOptions {
  /** What the stream gives; ends only when everything has proved right. */
  readonly pieces: () => AsyncGenerator<Buffer>;
  /** So many bytes must come. */
  readonly bytes: number;
  /** Told of all that comes. */
  readonly lent?: LentPieces;
  readonly signal?: AbortSignal;
  /** Called when the stream is over, however it ended; must make a generator that waits go on. */
  readonly close: () => void;
}

/**
 * A generated file as a stream of known length: generated only as far as it is read, the last 64 KiB given only after
 * the generator has ended well, which the event `verified` says. Errors with what the generator throws, and with
 * CANCELLED.
 */
export class ChainStream extends Readable {
  readonly #options: ChainStreamOptions;
  readonly #onAbort = (): void => {
    if (this.#options.signal !== undefined) this.destroy(cancellation(this.#options.signal));
  };
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  #bytes = 0;
  #pieces: AsyncGenerator<Buffer, undefined> | undefined;
  #isBusy = false;

  constructor(options: ChainStreamOptions) {
    super();
    this.#options = options;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    // An error before anybody reads it reaches the reader as the stream's state.
    this.on('error', () => undefined);
    if (options.signal?.aborted === true) this.#onAbort();
  }

  override _read(): void {
    if (!this.#isBusy) void this.#generate();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#options.close();
    // The generator ends by itself when what it waits for is closed.
    this.#pieces?.return(undefined).catch(() => undefined);
    callback(error);
  }

  async #generate(): Promise<void> {
    this.#isBusy = true;
    try {
      this.#pieces ??= this.#options.pieces() as AsyncGenerator<Buffer, undefined>;
      for (let wantsMore = true; wantsMore;) {
        const { value: piece } = await this.#pieces.next();
        if (this.destroyed) return;
        if (piece === undefined) {
          this.#finish();
          return;
        }
        wantsMore = this.#hold(piece);
      }
    } catch (error) {
      this.destroy(meaningOf(error));
    } finally {
      this.#isBusy = false;
    }
  }

  #hold(piece: Buffer): boolean {
    if (piece.length === 0) return true;
    this.#bytes += piece.length;
    this.#options.lent?.made(piece.length);
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    let wantsMore = true;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (this.#heldBytes - first.length < HELD_BACK_BYTES) break;
      this.#held.shift();
      this.#heldBytes -= first.length;
      wantsMore = this.push(first);
    }
    return wantsMore;
  }

  #finish(): void {
    const { bytes } = this.#options;
    if (this.#bytes !== bytes) {
      throw new BackupError('INTERNAL', `A stream of ${bytes} bytes was promised and ${this.#bytes} came.`);
    }
    this.emit('verified');
    for (const piece of this.#held.splice(0)) this.push(piece);
    this.push(null);
  }
}

function meaningOf(error: unknown): Error {
  if (!(error instanceof FormatError)) return error as Error;
  return new BackupError('INTERNAL', `What a chain was to become is not right: ${error.message}.`, { cause: error });
}
