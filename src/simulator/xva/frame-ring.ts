/** Takes bytes; resolved when they may be overwritten. */
export type ByteSink = (bytes: Buffer) => Promise<void>;

/** A buffer to fill, lent until it is sent. */
export interface Frame {
  readonly bytes: Buffer;
}

const FRAME_COUNT = 3;
/** A socket keeps hold of less than this when it says that it takes more; of larger buffers it is rid by then. */
const SMALL_BYTES = 64 * 1024;

/** A few large buffers used again and again: one is filled while the others are on their way. Sent in order. */
export class FrameRing {
  readonly #frames: readonly Buffer[];
  readonly #pending: Promise<void>[];
  readonly #sink: ByteSink;
  #turn = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(frameBytes: number, sink: ByteSink) {
    this.#sink = sink;
    this.#frames = Array.from({ length: FRAME_COUNT }, () => Buffer.allocUnsafeSlow(frameBytes));
    this.#pending = this.#frames.map(() => Promise.resolve());
  }

  /** The next buffer that is free. Rejects when its last sending failed. */
  async next(): Promise<Frame> {
    await this.#pending[this.#turn];
    return { bytes: this.#frames[this.#turn] ?? Buffer.alloc(0) };
  }

  /** Sends the first `length` bytes of the buffer that {@link next} gave; does not wait. */
  send(frame: Frame, length: number): void {
    const filled = frame.bytes.subarray(0, length);
    const bytes = length < SMALL_BYTES ? Buffer.from(filled) : filled;
    this.#last = this.#last.then(() => this.#sink(bytes));
    // The failure is met by the next wait; without this line it would also count as unhandled.
    this.#last.catch(() => undefined);
    this.#pending[this.#turn] = this.#last;
    this.#turn = (this.#turn + 1) % FRAME_COUNT;
  }

  /** Waits until everything is sent. */
  async flush(): Promise<void> {
    await this.#last;
  }
}
