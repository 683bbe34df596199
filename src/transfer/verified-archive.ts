import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { MIB } from '../common/byte-size.js';
import { type Clock, systemClock } from '../common/clock.js';
import { BackupError } from '../contract/backup-error.js';
import { type OpenedItem } from '../contract/media.js';
import { type SavesetItem } from '../contract/saveset-record.js';
import { DiskFilter } from '../format/disk-filter.js';
import { archiveDisks, type XvaArchive } from '../format/ova-xml.js';
import { XvaReader, type XvaReaderOptions, type XvaSummary } from '../format/xva-reader.js';
import { rewriteOvaXml } from '../format/xva-head.js';
import { cancellation } from './cancellation.js';
import { itemDamaged, recordMismatch } from './data-damaged.js';
import { InactivityWatch } from './inactivity-watch.js';
import { type LentPieces } from './lent-pieces.js';
import { mediumReadError } from './medium-error.js';

/** Held back until the verdict, so that the archive cannot be complete at the other end before it. */
const HELD_BACK_BYTES = 64 * 1024;
/** So much is read and checked while the other end still takes what came before. */
const AHEAD_BYTES = 4 * MIB;
const DEFAULT_IDLE_TIMEOUT_MS = 300_000;

export interface VerifiedArchiveOptions {
  readonly item: OpenedItem;
  /** What the saveset record says of it. */
  readonly expected: SavesetItem;
  /**
   * Changes the records before they go out; ids and sizes of disks must stay. The data of a disk whose records it takes
   * away is checked and does not go out. Without it, bytes go out as stored.
   */
  readonly editArchive?: (archive: XvaArchive) => void;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Where pieces of the medium's memory go that are done with. */
  readonly lent?: LentPieces;
  /** Longest silence of the medium. Default 5 min. */
  readonly idleTimeoutMs?: number;
  /** Told of every piece read from the medium: its length. */
  readonly onBytes?: (bytes: number) => void;
  readonly reader?: XvaReaderOptions;
}

export interface VerifiedArchive {
  /** Errors with a `BackupError`: DATA_DAMAGED, MEDIUM_FAILED, CANCELLED. Destroying it closes the item. */
  readonly stream: Readable;
  /** How many bytes `stream` will give; known once `ova.xml` was read. Undefined when disks are left out: nobody knows. */
  readonly bytes: Promise<number | undefined>;
  /** The records as they go out. */
  readonly archive: Promise<XvaArchive>;
  /** What was found in the stored archive; resolves when everything was checked. */
  readonly summary: Promise<XvaSummary>;
}

/**
 * A stored archive on its way to the pool: `ova.xml` rewritten if asked for, the stored bytes checked against the
 * record's length and SHA-256 and against the archive's own checksums as they flow. The last 64 KiB leave only after
 * all checks have passed; on damage the stream errors before that, and an import cannot succeed.
 */
export function verifiedArchive(options: VerifiedArchiveOptions): VerifiedArchive {
  return new ArchiveStream(options).opened;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

class ArchiveStream extends Readable {
  readonly opened: VerifiedArchive;
  readonly #options: VerifiedArchiveOptions;
  readonly #source: Readable;
  readonly #watch: InactivityWatch;
  readonly #reader: XvaReader;
  readonly #digest = createHash('sha256');
  readonly #bytes = deferred<number | undefined>();
  readonly #archive = deferred<XvaArchive>();
  readonly #summary = deferred<XvaSummary>();
  readonly #onAbort = (): void => {
    if (this.#options.signal !== undefined) this.destroy(cancellation(this.#options.signal));
  };
  /** Pieces of the head, until `ova.xml` is complete. */
  #head: Buffer[] | undefined = [];
  /** Set when disks are left out. */
  #filter: DiskFilter | undefined;
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  #readBytes = 0;
  #isSourceOver = false;

  constructor(options: VerifiedArchiveOptions) {
    super({ highWaterMark: AHEAD_BYTES });
    this.#options = options;
    this.#source = options.item.stream;
    this.#reader = new XvaReader(options.reader);
    this.#reader.onArchive = (_archive, headBytes) => {
      this.#releaseHead(headBytes);
    };
    this.#watch = new InactivityWatch(options.clock ?? systemClock, (error) => this.destroy(error));
    this.opened = {
      stream: this,
      bytes: this.#bytes.promise,
      archive: this.#archive.promise,
      summary: this.#summary.promise,
    };
    this.#begin();
  }

  override _read(): void {
    if (this.#isSourceOver || !this.#source.isPaused()) return;
    this.#expectMore();
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#watch.stop();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#source.destroy();
    const reason = error ?? new BackupError('CANCELLED', 'The archive was closed before its end.');
    // After a complete archive these do nothing.
    for (const { reject } of [this.#bytes, this.#archive, this.#summary]) reject(reason);
    callback(error);
  }

  #begin(): void {
    const { item, expected, signal } = this.#options;
    const source = this.#source;
    source.on('error', (cause) => this.destroy(mediumReadError(cause, expected.name)));
    source.on('close', () => {
      if (!this.#isSourceOver) this.destroy(mediumReadError(source.errored ?? undefined, expected.name));
    });
    if (signal?.aborted === true) {
      this.#onAbort();
    } else if (item.bytes !== expected.bytes) {
      this.destroy(recordMismatch(expected.name, 'length', expected.bytes, item.bytes));
    } else {
      signal?.addEventListener('abort', this.#onAbort, { once: true });
      this.#expectMore();
      source.on('data', (chunk: Buffer) => {
        this.#guard(() => {
          this.#take(chunk);
        });
      });
      source.on('end', () => {
        this.#isSourceOver = true;
        this.#guard(() => {
          this.#finish();
        });
      });
      // A source that came paused would never begin: `bytes` is awaited before anybody reads.
      source.resume();
    }
  }

  #take(chunk: Buffer): void {
    const { expected, item, lent, onBytes } = this.#options;
    this.#watch.touch();
    this.#readBytes += chunk.length;
    if (this.#readBytes > expected.bytes) {
      throw recordMismatch(expected.name, 'length', expected.bytes, `${this.#readBytes} or more`);
    }
    this.#digest.update(chunk);
    const wasHead = this.#head;
    wasHead?.push(chunk);
    this.#reader.push(chunk);
    if (wasHead === undefined) {
      this.#holdData(chunk);
      if (item.giveBack !== undefined) lent?.done(chunk, item.giveBack);
    }
    onBytes?.(chunk.length);
  }

  /** `ova.xml` is complete: what was gathered goes on, its records changed if that was asked for. */
  #releaseHead(headBytes: number): void {
    const { item, editArchive } = this.#options;
    const gathered = Buffer.concat(this.#head ?? []);
    this.#head = undefined;
    const rest = gathered.subarray(headBytes);
    const { head, archive } = rewriteOvaXml(gathered.subarray(0, headBytes), editArchive);
    this.#filter = filterBetween(this.#reader.archive ?? archive, archive);
    this.#bytes.resolve(this.#filter === undefined ? item.bytes - headBytes + head.length : undefined);
    this.#archive.resolve(archive);
    this.#hold(head);
    if (rest.length > 0) this.#holdData(rest);
  }

  #holdData(chunk: Buffer): void {
    for (const piece of this.#filter?.push(chunk) ?? [chunk]) this.#hold(piece);
  }

  #hold(piece: Buffer): void {
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    this.#options.lent?.made(piece.length);
    let wantsMore = true;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (this.#heldBytes - first.length < HELD_BACK_BYTES) break;
      this.#held.shift();
      this.#heldBytes -= first.length;
      wantsMore = this.push(first);
    }
    if (wantsMore) return;
    this.#source.pause();
    this.#watch.rest();
  }

  #finish(): void {
    const { expected } = this.#options;
    this.#watch.rest();
    if (this.#readBytes !== expected.bytes)
      throw recordMismatch(expected.name, 'length', expected.bytes, this.#readBytes);
    const sha256 = this.#digest.digest('hex');
    if (sha256 !== expected.sha256) throw recordMismatch(expected.name, 'SHA-256', expected.sha256, sha256);
    this.#summary.resolve(this.#reader.end());
    for (const piece of this.#held.splice(0)) this.push(piece);
    this.push(null);
  }

  #expectMore(): void {
    const { expected, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = this.#options;
    this.#watch.expect(idleTimeoutMs, () =>
      mediumReadError(stalledMedium(expected.name, idleTimeoutMs), expected.name),
    );
  }

  #guard(work: () => void): void {
    if (this.destroyed) return;
    try {
      work();
    } catch (error) {
      this.destroy(itemDamaged(this.#options.expected.name, error));
    }
  }
}

/** For the disks that are in the stored archive and not in the one that goes out. */
function filterBetween(stored: XvaArchive, sent: XvaArchive): DiskFilter | undefined {
  const staying = new Set(archiveDisks(sent).map(({ id }) => id));
  const dropped = archiveDisks(stored).filter(({ id }) => !staying.has(id));
  return dropped.length === 0 ? undefined : new DiskFilter(new Set(dropped.map(({ id }) => id)));
}

function stalledMedium(item: string, limitMs: number): BackupError {
  return new BackupError('MEDIUM_FAILED', `The medium gave nothing of item ${item} for ${limitMs / 1000} s.`, {
    hint: 'Look at the medium and the log of the backup server.',
    isRetriable: true,
    context: { item, limitMs },
  });
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>['resolve'] = () => undefined;
  let reject: Deferred<T>['reject'] = () => undefined;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  // A caller need not look at all of them.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
