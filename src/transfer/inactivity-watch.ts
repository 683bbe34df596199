import { type Clock } from '../common/clock.js';

/**
 * Calls `onExpired` when nothing has happened for too long. What counts as too long changes with what is waited for:
 * `expect` names the wait and begins it, `touch` says that something happened, `rest` that nothing is awaited.
 */
export class InactivityWatch {
  readonly #clock: Clock;
  readonly #onExpired: (error: Error) => void;
  readonly #stopping = new AbortController();
  #limitMs = Infinity;
  #makeError: (() => Error) | undefined;
  #sinceMs = 0;
  /** The sleep under way, if there is one, and when it ends. */
  #wakesAtMs = Infinity;
  #sleeper: AbortController | undefined;

  constructor(clock: Clock, onExpired: (error: Error) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  expect(limitMs: number, makeError: () => Error): void {
    this.#limitMs = limitMs;
    this.#makeError = makeError;
    this.touch();
    if (this.#sinceMs + limitMs < this.#wakesAtMs) this.#sleep();
  }

  touch(): void {
    this.#sinceMs = this.#clock.nowMs();
  }

  rest(): void {
    this.#makeError = undefined;
  }

  /** Ends the watch for good and releases its timer. */
  stop(): void {
    this.#stopping.abort();
    this.#sleeper?.abort();
  }

  /** One sleep at a time; when it ends it looks whether the limit has really passed, and sleeps on if not. */
  #sleep(): void {
    if (this.#stopping.signal.aborted) return;
    this.#sleeper?.abort();
    const sleeper = new AbortController();
    this.#sleeper = sleeper;
    this.#wakesAtMs = this.#sinceMs + this.#limitMs;
    const delayMs = Math.max(0, this.#wakesAtMs - this.#clock.nowMs());
    this.#clock.sleep(delayMs, sleeper.signal).then(
      () => {
        this.#wake();
      },
      // The sleep was replaced by a shorter one, or the watch was stopped.
      () => undefined,
    );
  }

  #wake(): void {
    this.#wakesAtMs = Infinity;
    if (this.#makeError === undefined) return;
    if (this.#clock.nowMs() - this.#sinceMs < this.#limitMs) this.#sleep();
    else this.#onExpired(this.#makeError());
  }
}
