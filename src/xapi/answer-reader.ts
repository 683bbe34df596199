import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { type AnswerHead, MAX_PAGE_BYTES, parseAnswerHead } from './handler-answer.js';
import { toTransportError, TransportError } from './transport-error.js';

/** How long the rest of an error page may take; its connection may stay open for ever. */
const PAGE_WAIT_MS = 2_000;

/**
 * Reads the answer of one raw request: its head, and the little that may follow it. Owns the socket's data from the
 * start, until `body` hands it on.
 */
export class AnswerReader {
  readonly #socket: Socket;
  readonly #holdsBody: boolean;
  #bytes = Buffer.alloc(0);
  #head: AnswerHead | undefined;
  #failure: Error | undefined;
  #changed: () => void = () => undefined;
  #trailerSeen: () => void = () => undefined;

  /** `holdsBody`: stop reading after the head, so that all of the body is there for whoever takes it. */
  constructor(socket: Socket, address: string, holdsBody = false) {
    this.#socket = socket;
    this.#holdsBody = holdsBody;
    socket.on('data', this.#take);
    socket.on('error', (error) => {
      this.#fail(toTransportError(error, address) as Error);
    });
    socket.on('close', () => {
      this.#fail(new TransportError('interrupted', `${address} closed the connection.`, { address }));
    });
  }

  /** True when something followed the head. */
  get hasTrailer(): boolean {
    return this.#head !== undefined && this.#bytes.length > this.#head.headBytes;
  }

  /** Calls back when something follows the head, or did already. */
  onTrailer(callback: () => void): void {
    this.#trailerSeen = callback;
    if (this.hasTrailer) callback();
  }

  /**
   * The head, when it is whole.
   * @throws {TransportError} `interrupted` when the connection ends before; `protocol`; the signal's reason
   */
  async head(signal: AbortSignal): Promise<AnswerHead> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#head !== undefined) return this.#head;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#next(signal);
    }
  }

  /** The socket as the stream of what follows the head. Its reader owns it from now on. Needs `holdsBody`. */
  body(): Readable {
    this.#socket.off('data', this.#take);
    const rest = this.#bytes.subarray(this.#head?.headBytes ?? 0);
    if (rest.length > 0) this.#socket.unshift(rest);
    return this.#socket;
  }

  /** What follows the head, as far as it came within two seconds or until the connection ended. */
  async page(): Promise<string> {
    this.#socket.resume();
    const patience = AbortSignal.timeout(PAGE_WAIT_MS);
    while (this.#failure === undefined && !this.#isPageWhole() && !patience.aborted) await this.#next(patience);
    return this.#bytes.toString('latin1', this.#head?.headBytes ?? 0);
  }

  #isPageWhole(): boolean {
    // XAPI's pages are HTML; one inside another answer is not counted in its length.
    if (
      this.#bytes
        .toString('latin1', Math.max(0, this.#bytes.length - 9))
        .trimEnd()
        .endsWith('</html>')
    )
      return true;
    const length = Number(this.#head?.headers.get('content-length') ?? Number.NaN);
    return this.#bytes.length - (this.#head?.headBytes ?? 0) >= Math.min(length, MAX_PAGE_BYTES);
  }

  readonly #take = (chunk: Buffer): void => {
    // An answer is small. What goes beyond is not kept, but still read, so that the other end is never held up.
    if (this.#bytes.length <= 2 * MAX_PAGE_BYTES) this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (this.#head === undefined) this.#readHead();
    this.#changed();
    if (this.hasTrailer) this.#trailerSeen();
  };

  #readHead(): void {
    try {
      this.#head = parseAnswerHead(this.#bytes);
    } catch (error) {
      this.#failure ??= error as Error;
    }
    if (this.#head !== undefined && this.#holdsBody) this.#socket.pause();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#changed();
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#changed = () => undefined;
        resolve();
      };
      this.#changed = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
