import { formatBytes } from '../../common/byte-size.js';
import { type BackupEvent, type ByteProgress, type LevelDecided, type RestoreEvent } from '../../contract/index.js';
import { formatDuration } from './format-duration.js';
import { type RateMeter } from './rate-meter.js';

export type OperationEvent = BackupEvent | RestoreEvent;

/** Shows a running operation. One view serves one operation. */
export interface ProgressView {
  onEvent(event: OperationEvent): void;
  /** A line from elsewhere (a log), shown without tearing up what is drawn. */
  log(line: string): void;
  /** Leaves the output in order, whatever happened. */
  close(): void;
}

/** `512.0 MiB of about 1.5 GiB`, or just the bytes when nobody knows the end. */
export function formatProgress({ doneBytes, expectedBytes, expectedIs }: ByteProgress): string {
  const done = formatBytes(doneBytes);
  if (expectedBytes === undefined || expectedIs === 'unknown') return done;
  return `${done} of ${expectedIs === 'estimate' ? 'about ' : ''}${formatBytes(expectedBytes)}`;
}

/** `root: incremental (CBT_OK), 1.0 MiB`; without bytes where nobody knows them yet. */
export function formatLevel({ disk, level, reason, expectedBytes }: LevelDecided): string {
  const cost = expectedBytes === undefined ? '' : `, ${formatBytes(expectedBytes)}`;
  return `${disk}: ${level} (${reason})${cost}`;
}

/** Whole percent, never 100 before the end is proven; undefined when nobody knows the end. */
export function percentOf({ doneBytes, expectedBytes, expectedIs }: ByteProgress): number | undefined {
  if (expectedBytes === undefined || expectedIs === 'unknown') return undefined;
  if (expectedBytes <= 0) return 0;
  return Math.min(99, Math.floor((doneBytes * 100) / expectedBytes));
}

/** `120.0 MiB/s, 9 s left`, as far as it is known. */
export function formatSpeed(meter: RateMeter, expectedBytes: number | undefined): string {
  const rate = meter.bytesPerSecond;
  if (rate === undefined) return '';
  const left = meter.leftMs(expectedBytes);
  const speed = `${formatBytes(Math.round(rate))}/s`;
  return left === undefined ? speed : `${speed}, ${formatDuration(left)} left`;
}
