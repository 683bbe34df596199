import { parseReplyHeader, REPLY_HEADER_BYTES, replyErrorName } from './nbd-protocol.js';
import { TransportError } from './transport-error.js';

interface Pending {
  readonly into: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Sorts the bytes after the handshake to the requests that they answer, whatever the pieces they come in and the order
 * of the answers. Data goes straight into the buffer of its request and never beyond it.
 */
export class NbdReplies {
  readonly #pending = new Map<number, Pending>();
  readonly #header = Buffer.alloc(REPLY_HEADER_BYTES);
  #headerBytes = 0;
  /** The request whose data is coming, and how much of it came. */
  #current: Pending | undefined;
  #filledBytes = 0;
  #lastHandle = 0;

  /** Requests without their whole answer. */
  get waiting(): number {
    return this.#pending.size + (this.#current === undefined ? 0 : 1);
  }

  /** The number for a new request, whose data will go into this buffer. */
  expect(into: Buffer): { readonly handle: number; readonly answered: Promise<void> } {
    this.#lastHandle += 1;
    const handle = this.#lastHandle;
    const answered = new Promise<void>((resolve, reject) => {
      this.#pending.set(handle, { into, resolve, reject });
    });
    return { handle, answered };
  }

  /** @throws {TransportError} `protocol` when this answers nothing that was asked for. Nothing after that is readable. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const current = this.#current;
      at += current === undefined ? this.#takeHeader(chunk, at) : this.#takeData(current, chunk, at);
    }
  }

  /** Ends every request that waits. */
  fail(error: Error): void {
    const waiting = [...(this.#current === undefined ? [] : [this.#current]), ...this.#pending.values()];
    this.#current = undefined;
    this.#pending.clear();
    for (const { reject } of waiting) reject(error);
  }

  /** Both give how many bytes they took. */
  #takeHeader(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#header, this.#headerBytes, at);
    this.#headerBytes += taken;
    if (this.#headerBytes < REPLY_HEADER_BYTES) return taken;
    this.#headerBytes = 0;
    const { handle, error } = parseReplyHeader(this.#header);
    const pending = this.#pending.get(handle);
    if (pending === undefined) throw new TransportError('protocol', 'The NBD server answers what nobody asked for.');
    this.#pending.delete(handle);
    if (error !== 0) {
      pending.reject(replyError(error));
    } else if (pending.into.length === 0) {
      pending.resolve();
    } else {
      this.#current = pending;
      this.#filledBytes = 0;
    }
    return taken;
  }

  #takeData(current: Pending, chunk: Buffer, at: number): number {
    const taken = chunk.copy(current.into, this.#filledBytes, at);
    this.#filledBytes += taken;
    if (this.#filledBytes === current.into.length) {
      this.#current = undefined;
      current.resolve();
    }
    return taken;
  }
}

/** The server's own refusal of one read; other reads may go on. `systemCode` says which: EINVAL is ours, EIO the disk's. */
function replyError(error: number): TransportError {
  const systemCode = replyErrorName(error);
  const kind = systemCode === 'EINVAL' || systemCode === 'EPERM' ? 'protocol' : 'interrupted';
  return new TransportError(kind, `The NBD server could not read the disk: ${systemCode}.`, { systemCode });
}
