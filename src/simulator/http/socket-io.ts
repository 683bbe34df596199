import { type Socket } from 'node:net';
import { SimulatedFailure } from '../simulated-failure.js';

/** Reads a socket by pulling, so that what nobody wants stays with the sender, and writes with back-pressure. */
export class SocketIo {
  readonly #socket: Socket;
  readonly #gone = new AbortController();
  readonly #hungUp = new AbortController();
  #pushedBack: Buffer | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', () => {
      if (socket.readableLength === 0) socket.read();
      this.#wakeReader?.();
    });
    socket.on('end', () => {
      this.#hungUp.abort(clientGone());
      this.#wakeReader?.();
    });
    socket.on('error', () => {
      this.#leave();
    });
    socket.on('close', () => {
      this.#leave();
    });
  }

  /** Aborts when the connection is closed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Aborts when the client has ended its side, or the connection is closed. */
  get hungUp(): AbortSignal {
    return this.#hungUp.signal;
  }

  /** Some bytes, or undefined when there are no more. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#pushedBack !== undefined) {
        const bytes = this.#pushedBack;
        this.#pushedBack = undefined;
        return bytes;
      }
      const bytes = this.#socket.read() as Buffer | null;
      if (bytes !== null) return bytes;
      if (this.#hungUp.signal.aborted || this.#socket.destroyed || this.#socket.readableEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
      this.#wakeReader = undefined;
    }
  }

  /** Gives bytes back, to be read again first. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#pushedBack = this.#pushedBack === undefined ? bytes : Buffer.concat([bytes, this.#pushedBack]);
  }

  /** Resolves when the socket takes more. Rejects with CLIENT_ERROR when the client is gone. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#socket.destroyed || !this.#socket.writable) throw clientGone();
    if (this.#socket.write(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (finish: () => void) => (): void => {
        this.#socket.off('drain', onDrain);
        this.#gone.signal.removeEventListener('abort', onGone);
        finish();
      };
      const onDrain = settle(resolve);
      const onGone = settle(() => {
        reject(clientGone());
      });
      this.#socket.on('drain', onDrain);
      this.#gone.signal.addEventListener('abort', onGone);
    });
  }

  /**
   * Closes after everything written is out. What the client still sends is thrown away until it has seen the end: a
   * hard close would take the answer from a client that is busy sending.
   */
  async end(): Promise<void> {
    if (this.#socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        resolve();
      };
      this.#gone.signal.addEventListener('abort', done, { once: true });
      this.#socket.end(done);
    });
    this.#socket.removeAllListeners('readable');
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #leave(): void {
    this.#gone.abort(clientGone());
    this.#hungUp.abort(clientGone());
    this.#wakeReader?.();
  }
}

function clientGone(): SimulatedFailure {
  return new SimulatedFailure('CLIENT_ERROR', ['Unix.Unix_error(Unix.EPIPE, "write", "")']);
}
