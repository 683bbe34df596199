import { type Clock } from '../common/clock.js';
import { type RestoreEvent } from '../contract/index.js';

const SAMPLE_EVERY_MS = 100;

export interface FileProgressOptions {
  readonly item: string;
  readonly bytes: number;
  /** Bytes of the items before this one, and of all together. */
  readonly earlierBytes?: number;
  readonly totalBytes?: number;
  readonly clock: Clock;
  readonly onEvent: (event: RestoreEvent) => void;
}

/** Says that an item begins. Each call of what it returns may say how much of it is done; the last one does. */
export function fileProgress({
  item,
  bytes,
  earlierBytes = 0,
  totalBytes = bytes,
  clock,
  onEvent,
}: FileProgressOptions): (doneBytes: number, isLast: boolean) => void {
  const expected = { expectedBytes: bytes, expectedIs: 'exact' } as const;
  let saidAtMs = clock.nowMs();
  onEvent({ type: 'item-started', item, title: item, progress: { doneBytes: 0, ...expected }, atMs: saidAtMs });
  return (doneBytes, isLast) => {
    const atMs = clock.nowMs();
    if (!isLast && atMs - saidAtMs < SAMPLE_EVERY_MS) return;
    saidAtMs = atMs;
    onEvent({
      type: 'progress',
      item,
      itemProgress: { doneBytes, ...expected },
      totalProgress: { doneBytes: earlierBytes + doneBytes, expectedBytes: totalBytes, expectedIs: 'exact' },
      atMs,
    });
  };
}
