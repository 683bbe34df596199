import { type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Clock } from '../common/clock.js';
import { type NbdEndpoint } from './nbd-endpoint.js';
import { type NbdLimits, shakeHands } from './nbd-handshake.js';
import { encodeDisconnect, encodeRead, MAX_READ_BYTES } from './nbd-protocol.js';
import { NbdReplies } from './nbd-replies.js';
import { toTransportError, TransportError } from './transport-error.js';

/** How long a server may take to hang up after it was told that we go. */
const CLOSE_WAIT_MS = 2_000;

/**
 * Connects to an NBD server and opens the export. The signal ends the connection at any time.
 * @throws {TransportError} `unreachable` also when the server hangs up without a greeting (no network of the pool is for
 *   NBD, or it has as many clients as it takes); `untrusted`; `interrupted` also when it does not know the session or
 *   the disk; `timeout`; `protocol`
 * @throws the signal's reason
 */
export async function connectNbd(
  endpoint: NbdEndpoint,
  limits: NbdLimits,
  clock: Clock,
  signal: AbortSignal,
): Promise<NbdConnection> {
  const { socket, sizeBytes, roundTripMs } = await shakeHands(endpoint, limits, clock, signal);
  return new NbdConnection(socket, { sizeBytes, roundTripMs, address: endpoint.address, limits, clock, signal });
}

interface NbdConnectionParts {
  readonly sizeBytes: number;
  readonly roundTripMs: number;
  readonly address: string;
  readonly limits: NbdLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** One open export. Any number of reads may be under way; their data comes into the buffers that were given. */
export class NbdConnection {
  readonly sizeBytes: number;
  /** Time of one question and its answer in the handshake. */
  readonly roundTripMs: number;
  readonly address: string;
  /** False only where going on in clear was allowed. */
  readonly isSecure: boolean;
  readonly #socket: Socket;
  readonly #idleTimeoutMs: number;
  readonly #clock: Clock;
  readonly #replies = new NbdReplies();
  readonly #gone: Promise<void>;
  #failure: Error | undefined;
  #isCorked = false;
  #closing: Promise<void> | undefined;

  constructor(socket: Socket, { sizeBytes, roundTripMs, address, limits, clock, signal }: NbdConnectionParts) {
    this.sizeBytes = sizeBytes;
    this.roundTripMs = roundTripMs;
    this.address = address;
    this.isSecure = socket instanceof TLSSocket;
    this.#socket = socket;
    this.#idleTimeoutMs = limits.idleTimeoutMs;
    this.#clock = clock;
    const onAbort = (): void => {
      this.#end(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#gone = new Promise((resolve) => {
      socket.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        this.#end(new TransportError('interrupted', `${address} closed the connection.`, { address }));
        resolve();
      });
    });
    socket.on('error', (error) => {
      this.#end(toTransportError(error, address) as Error);
    });
    socket.on('timeout', () => {
      if (this.#replies.waiting > 0) this.#end(this.#silence());
    });
    socket.on('end', () => {
      this.#end(new TransportError('interrupted', `${address} closed the connection.`, { address }));
    });
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    if (signal.aborted) onAbort();
    else if (socket.destroyed) this.#end(new TransportError('interrupted', `${address} closed the connection.`));
  }

  /** Why nothing can be read any more; undefined while it can. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /**
   * Fills the buffer from there on. The buffer is ours until this settles.
   * @throws {TransportError} `interrupted` with `systemCode` EIO and the like: this read failed, the connection may be
   *   good (`failure` tells); `protocol` with EINVAL when the server does not take such offsets or lengths
   * @throws what ended the connection
   */
  async read(offsetBytes: number, into: Buffer): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (offsetBytes < 0 || offsetBytes + into.length > this.sizeBytes || into.length > MAX_READ_BYTES) {
      throw new TransportError('protocol', `The disk at ${this.address} can't be read beyond its end.`);
    }
    // Silence counts from the first question.
    if (this.#replies.waiting === 0) this.#socket.setTimeout(this.#idleTimeoutMs);
    const { handle, answered } = this.#replies.expect(into);
    this.#cork();
    this.#socket.write(encodeRead(handle, offsetBytes, into.length));
    await answered;
  }

  /** Takes leave of the server, or hangs up when reads are under way; they fail. Never rejects, never hangs. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#failure === undefined && this.#replies.waiting === 0) {
      this.#failure = this.#closedByUs();
      this.#socket.end(encodeDisconnect());
      const patience = new AbortController();
      await Promise.race([
        this.#gone,
        this.#clock.sleep(CLOSE_WAIT_MS, patience.signal).catch(() => undefined),
      ]).finally(() => {
        patience.abort();
      });
      this.#socket.destroy();
    } else {
      this.#end(this.#closedByUs());
    }
    await this.#gone;
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== undefined) return;
    try {
      this.#replies.push(chunk);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #end(reason: Error): void {
    this.#failure ??= reason;
    this.#replies.fail(this.#failure);
    this.#socket.destroy();
  }

  /** Requests that are made together leave together. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    queueMicrotask(() => {
      this.#isCorked = false;
      this.#socket.uncork();
    });
  }

  #closedByUs(): TransportError {
    return new TransportError('interrupted', `The connection to ${this.address} was closed.`, {
      address: this.address,
    });
  }

  #silence(): TransportError {
    const { address } = this;
    return new TransportError('timeout', `${address} sent nothing for ${this.#idleTimeoutMs} ms.`, { address });
  }
}
