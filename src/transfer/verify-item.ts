import { Writable } from 'node:stream';
import { type Clock } from '../common/clock.js';
import { type OpenedItem } from '../contract/media.js';
import { type SavesetItem } from '../contract/saveset-record.js';
import { type XvaReader, type XvaSummary } from '../format/xva-reader.js';
import { itemDamaged, recordMismatch } from './data-damaged.js';
import { mediumReadError } from './medium-error.js';
import { pump, type PumpResult } from './pump.js';

const DEFAULT_IDLE_TIMEOUT_MS = 300_000;

export interface VerifyItemOptions {
  readonly item: OpenedItem;
  /** What the saveset record says of it. */
  readonly expected: SavesetItem;
  /** Checks the content as well, when the item is an archive. */
  readonly reader?: XvaReader;
  /** Where the bytes go, as stored; it is ended only when they are right, else destroyed. Default: nowhere. */
  readonly sink?: Writable;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Longest silence of the medium. Default 5 min. */
  readonly idleTimeoutMs?: number;
  readonly onBytes?: (bytes: number) => void;
}

export interface VerifiedItem extends PumpResult {
  /** Undefined when no reader was given. */
  readonly summary: XvaSummary | undefined;
}

/**
 * Reads a stored item to its end, checks it against the saveset record (and its content with `reader`), and copies it to
 * `sink` meanwhile.
 * @throws {BackupError} DATA_DAMAGED, MEDIUM_FAILED, MEDIUM_FULL, TRANSFER_STALLED, CANCELLED.
 */
export async function verifyItem(options: VerifyItemOptions): Promise<VerifiedItem> {
  const { item, expected, reader, signal, onBytes, clock, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = options;
  let summary: XvaSummary | undefined;
  const check = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      throw itemDamaged(expected.name, error);
    }
  };
  const result = await pump({
    source: item.stream,
    sink: options.sink ?? nowhere(),
    signal,
    firstByteTimeoutMs: idleTimeoutMs,
    idleTimeoutMs,
    taps: [
      (chunk) => {
        check(() => reader?.push(chunk));
      },
    ],
    beforeEnd: ({ bytes, sha256 }) => {
      if (bytes !== expected.bytes) throw recordMismatch(expected.name, 'length', expected.bytes, bytes);
      if (sha256 !== expected.sha256) throw recordMismatch(expected.name, 'SHA-256', expected.sha256, sha256);
      check(() => {
        summary = reader?.end();
      });
      return Promise.resolve();
    },
    toSourceError: (cause) => mediumReadError(cause, expected.name),
    ...(clock === undefined ? {} : { clock }),
    ...(onBytes === undefined ? {} : { onBytes }),
  });
  return { ...result, summary };
}

function nowhere(): Writable {
  return new Writable({
    write(_chunk, _encoding, callback) {
      callback();
    },
  });
}
