import { type NbdRequest } from './nbd-protocol.js';

/** A request and when it came. */
export interface ArrivedRequest {
  readonly request: NbdRequest;
  readonly atMs: number;
}

/** Requests on their way from the reader to the one that answers: in order, and never more than a few. */
export class RequestQueue {
  readonly #capacity: number;
  readonly #waiting: ArrivedRequest[] = [];
  #isEnded = false;
  #wakeReader: (() => void) | undefined;
  #wakeAnswerer: (() => void) | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Resolves when there is room for another; false once nobody takes requests any more. */
  async push(arrived: ArrivedRequest): Promise<boolean> {
    if (!this.#isOpen()) return false;
    this.#waiting.push(arrived);
    this.#wakeAnswerer?.();
    while (this.#isFull()) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    return this.#isOpen();
  }

  /** The oldest; undefined when there is none and none will come. */
  async next(): Promise<ArrivedRequest | undefined> {
    while (this.#waiting.length === 0 && !this.#isEnded) {
      await new Promise<void>((resolve) => (this.#wakeAnswerer = resolve));
    }
    const oldest = this.#waiting.shift();
    this.#wakeReader?.();
    return oldest;
  }

  #isOpen(): boolean {
    return !this.#isEnded;
  }

  #isFull(): boolean {
    return this.#isOpen() && this.#waiting.length >= this.#capacity;
  }

  /** Takes no more; what is there can still be taken out. */
  end(): void {
    this.#isEnded = true;
    this.#wakeReader?.();
    this.#wakeAnswerer?.();
  }
}
