import { Observable } from 'rxjs';
import { BackupError, type BackupErrorCode, type Completed, isBackupError } from '../contract/index.js';
import { toBackupError } from './to-backup-error.js';

/** Events of an operation without its last one. */
type Before<Event> = Exclude<Event, { readonly type: 'completed' }>;

/**
 * Runs what a source is asked for: turns work into cold Observables, every error into a `BackupError`, and keeps count
 * of what still runs, so that closing can wait for it.
 */
export class Operations {
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  readonly #nowMs: () => number;
  readonly #redact: (error: BackupError) => BackupError;

  /** @param redact takes secrets out of an error that leaves. */
  constructor(nowMs: () => number, redact: (error: BackupError) => BackupError = (error) => error) {
    this.#nowMs = nowMs;
    this.#redact = redact;
  }

  /**
   * A cold Observable of `work`. Each subscription starts it anew; unsubscribing or the caller's signal aborts the
   * signal that `work` gets. The Observable errors only when `work` has settled, its clean-up included.
   * @param options `fallback`: code of an answer of the pool that has no meaning of its own. `discard`: undoes what a
   *   report tells of, when all was done and nobody is there any more to hear it.
   */
  observe<Event, Report>(
    work: (emit: (event: Before<Event>) => void, signal: AbortSignal) => Promise<Report>,
    signal: AbortSignal | undefined,
    options: { readonly fallback?: BackupErrorCode; readonly discard?: (report: Report) => Promise<void> } = {},
  ): Observable<Before<Event> | Completed<Report>> {
    return new Observable((subscriber) => {
      const unsubscribed = new AbortController();
      const emit = (event: Before<Event>): void => {
        subscriber.next(event);
      };
      const all = AbortSignal.any([unsubscribed.signal, ...(signal === undefined ? [] : [signal])]);
      const begin = async (any: AbortSignal): Promise<void> => {
        // No event before the caller has its subscription in hand.
        await Promise.resolve();
        const report = await work(emit, any);
        // Nothing comes between the question and the answer: a report is heard, or what it tells of is undone.
        if (subscriber.closed) await options.discard?.(report);
        subscriber.next({ type: 'completed', report, atMs: this.#nowMs() });
        subscriber.complete();
      };
      this.run(begin, all, options.fallback).catch((error: unknown) => {
        subscriber.error(error);
      });
      return () => {
        unsubscribed.abort(cancelled());
      };
    });
  }

  /**
   * Runs one call. Rejects with `BackupError` and nothing else.
   * @throws {BackupError} REQUEST_INVALID after `close`; CANCELLED when the signal aborts.
   */
  async run<T>(
    work: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
    fallback?: BackupErrorCode,
  ): Promise<T> {
    if (this.#closing.signal.aborted) {
      throw new BackupError('REQUEST_INVALID', 'This source is closed.', { hint: 'Open the client again.' });
    }
    const all = AbortSignal.any([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
    const running = (async () => {
      all.throwIfAborted();
      return await work(all);
    })();
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      throw all.aborted && !isFinding(error)
        ? cancelled(all.reason)
        : this.#redact(toBackupError(error, fallback === undefined ? {} : { fallback }));
    } finally {
      this.#running.delete(running);
    }
  }

  /** Cancels what still runs and waits until all of it has cleaned up. */
  async close(): Promise<void> {
    this.#closing.abort(cancelled());
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }
}

/** An error that says something of its own even when it comes out of a cancelled operation. */
function isFinding(error: unknown): boolean {
  return isBackupError(error) && error.code === 'CANCELLED';
}

function cancelled(cause?: unknown): BackupError {
  if (isBackupError(cause)) return cause;
  return new BackupError('CANCELLED', 'The operation was cancelled.', cause === undefined ? {} : { cause });
}
