import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { MIB } from '../common/byte-size.js';
import { BackupError } from '../contract/backup-error.js';
import { type FlowDigest, type FlowDigestEvents } from './flow-digest-interface.js';

export const DIGEST_WORKER = new URL('./digest-worker.js', import.meta.url);

const SLOT_BYTES = MIB;
const SLOTS = 6;

/** Each slot goes over with its order, and comes back empty. */
export type DigestOrder =
  | { readonly kind: 'update'; readonly slot: Uint8Array<ArrayBuffer>; readonly bytes: number }
  | { readonly kind: 'end' };

export type DigestAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'free'; readonly slot: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'digest'; readonly sha256: string };

/**
 * SHA-256 on a thread of its own, so that a stream may use a second core. What comes is copied into a few slots that go to
 * and fro: whoever else has the data may keep it, and nothing is allocated while it flows. (Memory that both threads
 * share would be copied to atomically, which takes five times as long.)
 */
export class DigestThread implements FlowDigest {
  readonly #worker: Worker;
  readonly #events: FlowDigestEvents;
  readonly #digest: Promise<string>;
  readonly #free = Array.from({ length: SLOTS }, () => new Uint8Array(SLOT_BYTES));
  /** The slot that is being filled, and how far it is. */
  #slot: Uint8Array<ArrayBuffer> | undefined;
  #filledBytes = 0;
  /** What found no slot yet. */
  readonly #waiting: Buffer[] = [];
  #isEnding = false;
  #isReleased = false;

  private constructor(worker: Worker, events: FlowDigestEvents, onEnded: () => void) {
    this.#worker = worker;
    this.#events = events;
    this.#digest = new Promise((resolve) => {
      worker.on('message', (message: DigestAnswer) => {
        if (message.kind === 'digest') resolve(message.sha256);
        else if (message.kind === 'free') this.#take(message.slot);
      });
    });
    let cause: unknown;
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      onEnded();
      if (!this.#isReleased) events.onFailure(threadLost(cause));
    });
  }

  /**
   * Rejects when there can be no thread.
   * @param onEnded called once the thread is gone, whatever the reason.
   */
  static async start(events: FlowDigestEvents, onEnded: () => void, script: URL): Promise<DigestThread> {
    const worker = new Worker(script, { execArgv: [] });
    const gone = once(worker, 'exit').then(() => {
      throw threadLost(undefined);
    });
    // One of the two comes, and soon: nothing is loaded but two modules of Node's own.
    await Promise.race([once(worker, 'message'), gone]);
    gone.catch(() => undefined);
    return new DigestThread(worker, events, onEnded);
  }

  update(piece: Buffer): boolean {
    this.#waiting.push(piece);
    this.#fill();
    return this.#waiting.length === 0;
  }

  async digest(): Promise<string> {
    this.#isEnding = true;
    this.#fill();
    return await this.#digest;
  }

  async release(): Promise<void> {
    this.#isReleased = true;
    await this.#worker.terminate();
  }

  #take(slot: Uint8Array<ArrayBuffer>): void {
    this.#free.push(slot);
    if (this.#waiting.length === 0) return;
    this.#fill();
    if (this.#waiting.length === 0) this.#events.onDrain();
  }

  /** Moves what waits into slots as far as there are any. */
  #fill(): void {
    for (let piece = this.#waiting.shift(); piece !== undefined; piece = this.#waiting.shift()) {
      this.#slot ??= this.#free.pop();
      if (this.#slot === undefined) {
        this.#waiting.unshift(piece);
        return;
      }
      const bytes = piece.copy(this.#slot, this.#filledBytes, 0, SLOT_BYTES - this.#filledBytes);
      this.#filledBytes += bytes;
      if (bytes < piece.length) this.#waiting.unshift(piece.subarray(bytes));
      if (this.#filledBytes === SLOT_BYTES) this.#send();
    }
    if (!this.#isEnding) return;
    this.#send();
    this.#order({ kind: 'end' });
  }

  #send(): void {
    if (this.#slot === undefined) return;
    this.#order({ kind: 'update', slot: this.#slot, bytes: this.#filledBytes }, [this.#slot.buffer]);
    this.#slot = undefined;
    this.#filledBytes = 0;
  }

  #order(message: DigestOrder, moved: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, moved);
  }
}

function threadLost(cause: unknown): BackupError {
  return new BackupError('INTERNAL', 'The thread that computes a checksum has ended by itself.', {
    hint: 'Look at the memory of this machine, then try again.',
    isRetriable: true,
    cause,
  });
}
