import { type CleanupFailure, CleanupStack } from '../common/cleanup-stack.js';
import { type Clock } from '../common/clock.js';
import {
  BackupError,
  type BackupPhase,
  type HostLogger,
  type ItemCompleted,
  type ItemStarted,
  type PhaseEntered,
  type Progress,
  type RestorePhase,
  type WarningRaised,
} from '../contract/index.js';
import { ProgressMeter } from './progress-meter.js';

/** How long all releases together may take after a cancellation. */
const CANCELLED_RELEASE_MS = 60_000;

export interface OperationRunOptions<Phase extends BackupPhase | RestorePhase> {
  readonly savesetId: string;
  readonly emit: (event: PhaseEntered<Phase> | ItemStarted | Progress | ItemCompleted | WarningRaised) => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly logger: HostLogger;
  /** What follows the reason why something could not be released. */
  readonly leftoverEnding: string;
}

/** One backup or restore as it runs: tells its phases and warnings, counts its bytes, releases what it holds at its end. */
export class OperationRun<Phase extends BackupPhase | RestorePhase> {
  readonly startedAtMs: number;
  readonly signal: AbortSignal;
  readonly cleanup = new CleanupStack();
  readonly meter: ProgressMeter;
  readonly #warnings: { code: string; message: string }[] = [];
  readonly #options: OperationRunOptions<Phase>;

  constructor(options: OperationRunOptions<Phase>) {
    const { emit, clock, signal } = options;
    this.#options = options;
    this.startedAtMs = clock.nowMs();
    this.signal = signal;
    this.meter = new ProgressMeter({ emit, clock });
  }

  get warnings(): { code: string; message: string }[] {
    return [...this.#warnings];
  }

  get elapsedMs(): number {
    return this.#options.clock.nowMs() - this.startedAtMs;
  }

  readonly enter = (phase: Phase): void => {
    const { emit, clock } = this.#options;
    emit({ type: 'phase-entered', phase, atMs: clock.nowMs() });
  };

  readonly warn = (code: string, message: string): void => {
    const { emit, clock, logger, savesetId } = this.#options;
    this.#warnings.push({ code, message });
    logger.warn(message, { code, saveset: savesetId });
    emit({ type: 'warning', code, message, atMs: clock.nowMs() });
  };

  /** Does the work, then releases all that is still on `cleanup`, whatever became of the work. */
  async complete<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      const result = await work();
      this.enter('release' as Phase);
      return result;
    } finally {
      for (const { what, cause } of await this.#release()) this.warnOfLeftover(what, cause);
    }
  }

  /** Whoever cancels waits for the end; a pool that hangs must not keep him. */
  async #release(): Promise<readonly CleanupFailure[]> {
    if (!this.signal.aborted) return await this.cleanup.run();
    const done = new AbortController();
    const limit = this.#options.clock.sleep(CANCELLED_RELEASE_MS, done.signal);
    const reached = new Promise<Error>((resolve) => {
      limit.then(
        () => {
          resolve(new BackupError('SOURCE_BUSY', 'the pool takes too long for a cancelled operation.'));
        },
        // Everything was released in time.
        () => undefined,
      );
    });
    try {
      return await this.cleanup.run(reached);
    } finally {
      done.abort();
    }
  }

  /** Something stays behind, which a person should know; the result itself stands. */
  warnOfLeftover(what: string, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    this.warn('LEFTOVER', `The ${what} could not be released: ${reason}${this.#options.leftoverEnding}`);
  }
}
