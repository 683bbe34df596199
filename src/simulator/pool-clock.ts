import { type Clock } from '../common/clock.js';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
  timer: NodeJS.Timeout | undefined;
}

/** The longest that a timer of Node can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The time of a pool, which can be moved on. It runs with the machine's clock, or stands at `standsAtMs`: then nothing that
 * takes time ends before somebody moves it, and what the pool says does not depend on when it is asked.
 */
export class PoolClock implements Clock {
  readonly #standsAtMs: number | undefined;
  readonly #sleepers = new Set<Sleeper>();
  #aheadMs = 0;

  constructor(standsAtMs?: number) {
    this.#standsAtMs = standsAtMs;
  }

  nowMs(): number {
    return (this.#standsAtMs ?? Date.now()) + this.#aheadMs;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const sleeper: Sleeper = {
        dueMs: this.nowMs() + Math.max(0, delayMs),
        wake: () => {
          this.#forget(sleeper);
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        timer: undefined,
      };
      const onAbort = (): void => {
        this.#forget(sleeper);
        reject(signal?.reason as Error);
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#arm(sleeper);
    });
  }

  /** Moves the time on, wakes who is due in the order in which they are, and lets each run. Resolves with the new time. */
  async advance(byMs: number): Promise<number> {
    const targetMs = this.nowMs() + byMs;
    for (let next = this.#nextDue(targetMs); next !== undefined; next = this.#nextDue(targetMs)) {
      this.#aheadMs += Math.max(0, next.dueMs - this.nowMs());
      next.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#aheadMs += Math.max(0, targetMs - this.nowMs());
    for (const sleeper of this.#sleepers) this.#arm(sleeper);
    return this.nowMs();
  }

  #nextDue(targetMs: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs <= targetMs && (next === undefined || sleeper.dueMs < next.dueMs)) next = sleeper;
    }
    return next;
  }

  #arm(sleeper: Sleeper): void {
    clearTimeout(sleeper.timer);
    const leftMs = sleeper.dueMs - this.nowMs();
    if (this.#standsAtMs !== undefined && leftMs > 0) return;
    sleeper.timer = setTimeout(
      () => {
        if (sleeper.dueMs <= this.nowMs()) sleeper.wake();
        else this.#arm(sleeper);
      },
      Math.min(MAX_TIMER_MS, Math.max(0, leftMs)),
    );
  }

  #forget(sleeper: Sleeper): void {
    clearTimeout(sleeper.timer);
    this.#sleepers.delete(sleeper);
  }
}
