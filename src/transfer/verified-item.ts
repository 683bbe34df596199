import { type Readable } from 'node:stream';
import { type Clock, systemClock } from '../common/clock.js';
import { BackupError } from '../contract/backup-error.js';
import { type OpenedItem } from '../contract/media.js';
import { type SavesetItem } from '../contract/saveset-record.js';
import { cancellation } from './cancellation.js';
import { CheckedStream, type FlowCheck } from './checked-stream.js';
import { recordMismatch } from './data-damaged.js';
import { InactivityWatch } from './inactivity-watch.js';
import { mediumReadError } from './medium-error.js';

/** Held back until the verdict, so that the data cannot be complete at the other end before it. */
const HELD_BACK_BYTES = 64 * 1024;

export interface VerifiedItemOptions {
  readonly item: OpenedItem;
  /** What the saveset record says of it. */
  readonly expected: SavesetItem;
  /** Looks at the content. */
  readonly check: FlowCheck;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Longest silence of the medium. */
  readonly idleTimeoutMs: number;
  /** Told of every piece read from the medium: its length. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * A stored item on its way to the pool, byte for byte: checked against the record's length and SHA-256 and by `check` as
 * it flows. The last 64 KiB leave only after all has passed; on damage the stream errors with DATA_DAMAGED before that.
 * Destroying it closes the item.
 */
export function verifiedItemStream(options: VerifiedItemOptions): Readable {
  const { item, expected, check, signal, clock = systemClock, idleTimeoutMs, onBytes } = options;
  const source = item.stream;
  const stream = new CheckedStream({ check, expected, holdBackBytes: HELD_BACK_BYTES });
  const fail = (error: Error): void => {
    stream.destroy(error);
  };
  const watch = new InactivityWatch(clock, fail);
  const expectMore = (): void => {
    watch.expect(idleTimeoutMs, () => stalledMedium(expected.name, idleTimeoutMs));
  };
  const onAbort = (): void => {
    fail(cancellation(signal));
  };
  source.on('error', (cause) => {
    fail(mediumReadError(cause, expected.name));
  });
  source.on('close', () => {
    if (!source.readableEnded) fail(mediumReadError(source.errored ?? undefined, expected.name));
  });
  stream.once('close', () => {
    watch.stop();
    signal.removeEventListener('abort', onAbort);
    source.destroy();
  });
  // An error before anybody reads it reaches the reader as the stream's state.
  stream.on('error', () => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  else if (item.bytes !== expected.bytes) fail(recordMismatch(expected.name, 'length', expected.bytes, item.bytes));
  else {
    expectMore();
    source.on('data', (chunk: Buffer) => {
      onBytes?.(chunk.length);
      if (stream.destroyed) return;
      if (stream.write(chunk)) {
        watch.touch();
        return;
      }
      source.pause();
      watch.rest();
    });
    stream.on('drain', () => {
      if (source.readableEnded) return;
      expectMore();
      source.resume();
    });
    source.on('end', () => {
      watch.rest();
      stream.end();
    });
    // A source that came paused would never begin.
    source.resume();
  }
  return stream;
}

function stalledMedium(item: string, limitMs: number): BackupError {
  return new BackupError('MEDIUM_FAILED', `The medium gave nothing of item ${item} for ${limitMs / 1000} s.`, {
    hint: 'Look at the medium and the log of the backup server.',
    isRetriable: true,
    context: { item, limitMs },
  });
}
