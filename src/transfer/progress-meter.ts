import { type Clock, systemClock } from '../common/clock.js';
import { BackupError } from '../contract/backup-error.js';
import {
  type ByteExpectation,
  type ByteProgress,
  type ItemCompleted,
  type ItemStarted,
  type Progress,
} from '../contract/events.js';

export interface ProgressMeterOptions {
  readonly emit: (event: ItemStarted | Progress | ItemCompleted) => void;
  readonly clock?: Clock;
  /** Shortest time between two samples of one item. Default 100 ms. */
  readonly intervalMs?: number;
  /** What all items together will have, when the caller knows; otherwise the sum over the items that have started. */
  readonly expectedTotal?: Expected;
}

export interface Expected {
  readonly expectedBytes: number | undefined;
  readonly expectedIs: ByteExpectation;
}

export interface MeteredItem extends Expected {
  readonly item: string;
  readonly title: string;
}

interface ItemCount {
  doneBytes: number;
  expected: Expected;
  sampledAtMs: number;
}

/**
 * Counts bytes for each item and in all, and turns them into events: a start, samples not closer than `intervalMs`, one
 * last sample, an end. Any number of items may run side by side.
 */
export class ProgressMeter {
  readonly #emit: ProgressMeterOptions['emit'];
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #expectedTotal: Expected | undefined;
  readonly #items = new Map<string, ItemCount>();
  #totalBytes = 0;

  constructor(options: ProgressMeterOptions) {
    this.#emit = options.emit;
    this.#clock = options.clock ?? systemClock;
    this.#intervalMs = options.intervalMs ?? 100;
    this.#expectedTotal = options.expectedTotal;
  }

  /** Bytes of all items so far. */
  get transferredBytes(): number {
    return this.#totalBytes;
  }

  start({ item, title, expectedBytes, expectedIs }: MeteredItem): void {
    const atMs = this.#clock.nowMs();
    const count = { doneBytes: 0, expected: { expectedBytes, expectedIs }, sampledAtMs: atMs };
    // An item that begins anew has nothing yet.
    this.#totalBytes -= this.#items.get(item)?.doneBytes ?? 0;
    this.#items.set(item, count);
    this.#emit({ type: 'item-started', item, title, progress: progressOf(count), atMs });
  }

  /** A better idea of what is to come, with the next sample. */
  expect(item: string, expected: Expected): void {
    this.#count(item).expected = expected;
  }

  /** `bytes` more of an item. Cheap enough to be called for every piece. */
  add(item: string, bytes: number): void {
    const count = this.#count(item);
    count.doneBytes += bytes;
    this.#totalBytes += bytes;
    const atMs = this.#clock.nowMs();
    if (atMs - count.sampledAtMs >= this.#intervalMs) this.#sample(item, count, atMs);
  }

  /** The item is on the medium. Its last sample is sent whatever the time; what it had is now exact. */
  complete(item: string, result: { readonly bytes: number; readonly sha256: string }): void {
    const count = this.#count(item);
    this.#totalBytes += result.bytes - count.doneBytes;
    count.doneBytes = result.bytes;
    count.expected = { expectedBytes: result.bytes, expectedIs: 'exact' };
    const atMs = this.#clock.nowMs();
    this.#sample(item, count, atMs);
    this.#emit({ type: 'item-completed', item, bytes: result.bytes, sha256: result.sha256, atMs });
  }

  #sample(item: string, count: ItemCount, atMs: number): void {
    count.sampledAtMs = atMs;
    this.#emit({ type: 'progress', item, itemProgress: progressOf(count), totalProgress: this.#total(), atMs });
  }

  #total(): ByteProgress {
    const expected = this.#expectedTotal ?? sumOf([...this.#items.values()].map((count) => count.expected));
    return { doneBytes: this.#totalBytes, ...expected };
  }

  #count(item: string): ItemCount {
    const count = this.#items.get(item);
    if (count === undefined) throw new BackupError('INTERNAL', `Progress of an item that was not started: ${item}.`);
    return count;
  }
}

function progressOf({ doneBytes, expected }: ItemCount): ByteProgress {
  return { doneBytes, ...expected };
}

/** A sum is as sure as its least sure part. */
function sumOf(parts: readonly Expected[]): Expected {
  let expectedBytes = 0;
  let expectedIs: ByteExpectation = 'exact';
  for (const part of parts) {
    if (part.expectedBytes === undefined) return { expectedBytes: undefined, expectedIs: 'unknown' };
    expectedBytes += part.expectedBytes;
    if (part.expectedIs !== 'exact') expectedIs = 'estimate';
  }
  return { expectedBytes, expectedIs };
}
