import { type RestoreRequest } from './requests.js';
import { type BackupLevel, type SavesetRecord } from './saveset-record.js';

/** How sure we are of an expected number of bytes. */
export type ByteExpectation = 'exact' | 'estimate' | 'unknown';

/** Counts, never percentages: the reader divides. */
export interface ByteProgress {
  readonly doneBytes: number;
  readonly expectedBytes: number | undefined;
  readonly expectedIs: ByteExpectation;
}

interface EventBase {
  /** When, in milliseconds since the epoch. */
  readonly atMs: number;
}

export interface PhaseEntered<Phase extends string> extends EventBase {
  readonly type: 'phase-entered';
  readonly phase: Phase;
}

export interface ItemStarted extends EventBase {
  readonly type: 'item-started';
  readonly item: string;
  readonly title: string;
  readonly progress: ByteProgress;
}

/** Sampled: a slow subscriber never slows the data down. The last sample of an item is always sent. */
export interface Progress extends EventBase {
  readonly type: 'progress';
  readonly item: string;
  readonly itemProgress: ByteProgress;
  readonly totalProgress: ByteProgress;
}

export interface WarningRaised extends EventBase {
  readonly type: 'warning';
  /** A stable word; `docs/errors.md` explains each. */
  readonly code: string;
  readonly message: string;
}

/** What level a disk gets and why, said before any of its bytes move. */
export interface LevelDecided extends EventBase {
  readonly type: 'level-decided';
  readonly disk: string;
  readonly level: BackupLevel;
  readonly reason: string;
  /** What will be read of it; absent where only the storage finds out, while it sends. */
  readonly expectedBytes?: number;
}

export interface ItemCompleted extends EventBase {
  readonly type: 'item-completed';
  readonly item: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface BackupReport {
  readonly record: SavesetRecord;
  readonly transferredBytes: number;
  readonly elapsedMs: number;
  /** How the data came, for people: `https`, `http`, `nbd-tls`. */
  readonly dataTransport?: string;
}

export interface RestoreReport {
  /** Id and name of what exists now; undefined when data went to a file only. */
  readonly targetId: string | undefined;
  readonly targetName: string;
  readonly mode: RestoreRequest['mode'];
  readonly isRunning: boolean;
  /** True when it was only tried whether it would work: nothing at the target is other than before. Absent: false. */
  readonly isTrialOnly?: boolean;
  readonly transferredBytes: number;
  readonly elapsedMs: number;
  /** How the data went, for people: `https`, `http`. */
  readonly dataTransport?: string;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

export interface Completed<Report> extends EventBase {
  readonly type: 'completed';
  readonly report: Report;
}

export const BACKUP_PHASES = ['resolve', 'check', 'snapshot', 'transfer', 'verify', 'release'] as const;
export const RESTORE_PHASES = [
  'plan',
  'check',
  'import',
  'verify',
  'place',
  'swap',
  'configure',
  'start',
  'release',
] as const;
export type BackupPhase = (typeof BACKUP_PHASES)[number];
export type RestorePhase = (typeof RESTORE_PHASES)[number];

/**
 * What a backup says while it runs. The last event is `completed`; a failure is a `BackupError` in the Observable's
 * error channel, and only there.
 */
export type BackupEvent =
  | PhaseEntered<BackupPhase>
  | ItemStarted
  | Progress
  | WarningRaised
  | LevelDecided
  | ItemCompleted
  | Completed<BackupReport>;

/** What a restore says while it runs; the same rules. */
export type RestoreEvent =
  PhaseEntered<RestorePhase> | ItemStarted | Progress | WarningRaised | ItemCompleted | Completed<RestoreReport>;
