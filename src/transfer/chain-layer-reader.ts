import { createHash } from 'node:crypto';
import { type Readable } from 'node:stream';
import { type ByteRun } from '../common/byte-extent.js';
import { type Clock, systemClock } from '../common/clock.js';
import { BackupError, isBackupError } from '../contract/backup-error.js';
import { type OpenedItem, type RestoreMedia } from '../contract/media.js';
import { FormatError } from '../format/format-error.js';
import { type VhdHead, VhdReader } from '../format/vhd-reader.js';
import { cancellation } from './cancellation.js';
import { type ChainLayer, layerName, openLayer } from './chain-layers.js';
import { itemDamaged, recordMismatch } from './data-damaged.js';
import { InactivityWatch } from './inactivity-watch.js';
import { type LentPieces } from './lent-pieces.js';
import { mediumReadError } from './medium-error.js';

const DEFAULT_IDLE_TIMEOUT_MS = 300_000;

/** How stored items are read. */
export interface ChainReading {
  readonly media: RestoreMedia;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Longest silence of the medium. Default 5 min. */
  readonly idleTimeoutMs?: number;
  /** Where pieces of the medium's memory go that are done with. What is made of the runs must be said to it at once. */
  readonly lent?: LentPieces;
  /** Told of every piece read from the medium: its length and what it belongs to. */
  readonly onBytes?: (bytes: number, item: { readonly savesetId: string; readonly name: string }) => void;
}

/**
 * One item of a chain on its way in, read only as far as it is asked for, and checked as it flows: length and SHA-256
 * against the record, everything that `VhdReader` checks, and the size of the disk.
 */
export class LayerReader {
  readonly layer: ChainLayer;
  readonly #reading: ChainReading;
  readonly #source: Readable;
  readonly #giveBack: OpenedItem['giveBack'];
  readonly #pieces: AsyncIterator<Buffer, undefined>;
  readonly #watch: InactivityWatch;
  readonly #digest = createHash('sha256');
  readonly #reader: VhdReader;
  readonly #onAbort = (): void => {
    if (this.#reading.signal !== undefined) this.#source.destroy(cancellation(this.#reading.signal));
  };
  #head: VhdHead | undefined;
  #runs: ByteRun[] = [];
  #taken = 0;
  /** Whose data the runs are. */
  #piece: Buffer | undefined;
  #readBytes = 0;
  #isOver = false;

  private constructor(layer: ChainLayer, { stream, giveBack }: OpenedItem, reading: ChainReading) {
    this.layer = layer;
    this.#reading = reading;
    this.#source = stream;
    this.#giveBack = giveBack;
    this.#reader = new VhdReader({
      diskSizeBytes: layer.diskSizeBytes,
      onHead: (head) => (this.#head = head),
      onRun: (run) => this.#runs.push(run),
    });
    this.#watch = new InactivityWatch(reading.clock ?? systemClock, (error) => this.#source.destroy(error));
    // An error between two reads is met at the next one.
    this.#source.on('error', () => undefined);
    this.#pieces = this.#source[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    reading.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (reading.signal?.aborted === true) this.#onAbort();
  }

  /**
   * Opens the item and reads on until its blocks are known.
   * @throws {BackupError} DATA_DAMAGED, MEDIUM_FAILED, CANCELLED, or what the host says.
   */
  static async open(layer: ChainLayer, reading: ChainReading): Promise<LayerReader> {
    const signal = reading.signal ?? new AbortController().signal;
    const opened = await openLayer(reading.media, layer, signal).catch((cause: unknown) => {
      throw mediumReadError(cause, layerName(layer));
    });
    const reader = new LayerReader(layer, opened, reading);
    try {
      if (opened.bytes !== layer.item.bytes) {
        throw recordMismatch(layerName(layer), 'length', layer.item.bytes, opened.bytes);
      }
      while (reader.#head === undefined && !reader.#isOver) await reader.#readOn();
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  get head(): VhdHead {
    if (this.#head === undefined)
      throw new BackupError('INTERNAL', 'The head of a VHD was asked for before it was read.');
    return this.#head;
  }

  /**
   * The next stretch of data, ascending; undefined when the item was read to its end and has proved right.
   * @throws {BackupError} DATA_DAMAGED, MEDIUM_FAILED, CANCELLED.
   */
  async next(): Promise<ByteRun | undefined> {
    for (;;) {
      const run = this.#runs[this.#taken];
      if (run !== undefined) {
        this.#taken += 1;
        return run;
      }
      this.#runs = [];
      this.#taken = 0;
      if (this.#isOver) return undefined;
      await this.#readOn();
    }
  }

  /** Closes the item; a `next` under way rejects. */
  close(): void {
    this.#watch.stop();
    this.#reading.signal?.removeEventListener('abort', this.#onAbort);
    this.#source.destroy();
  }

  async #readOn(): Promise<void> {
    const { idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = this.#reading;
    this.#watch.expect(idleTimeoutMs, () => stalledMedium(layerName(this.layer), idleTimeoutMs));
    this.#returnPiece();
    try {
      const piece = await this.#pieces.next();
      this.#piece = piece.value;
      this.#watch.rest();
      if (piece.value === undefined) this.#finish();
      else this.#take(piece.value);
    } catch (error) {
      this.#watch.rest();
      throw this.#meaningOf(error);
    }
  }

  /** All runs of the piece have been taken, and what was made of them before the next run is asked for. */
  #returnPiece(): void {
    if (this.#piece !== undefined && this.#giveBack !== undefined)
      this.#reading.lent?.done(this.#piece, this.#giveBack);
    this.#piece = undefined;
  }

  #take(chunk: Buffer): void {
    const { item, savesetId } = this.layer;
    this.#readBytes += chunk.length;
    if (this.#readBytes > item.bytes) {
      throw recordMismatch(layerName(this.layer), 'length', item.bytes, `${this.#readBytes} or more`);
    }
    this.#digest.update(chunk);
    this.#reader.push(chunk);
    this.#reading.onBytes?.(chunk.length, { savesetId, name: item.name });
  }

  #finish(): void {
    const { item } = this.layer;
    const name = layerName(this.layer);
    if (this.#readBytes !== item.bytes) throw recordMismatch(name, 'length', item.bytes, this.#readBytes);
    const sha256 = this.#digest.digest('hex');
    if (sha256 !== item.sha256) throw recordMismatch(name, 'SHA-256', item.sha256, sha256);
    this.#reader.end();
    this.#isOver = true;
  }

  #meaningOf(error: unknown): Error {
    if (isBackupError(error)) return error;
    if (error instanceof FormatError) return itemDamaged(layerName(this.layer), error);
    return mediumReadError(error, layerName(this.layer));
  }
}

function stalledMedium(item: string, limitMs: number): BackupError {
  return new BackupError('MEDIUM_FAILED', `The medium gave nothing of item ${item} for ${limitMs / 1000} s.`, {
    hint: 'Look at the medium and the log of the backup server.',
    isRetriable: true,
    context: { item, limitMs },
  });
}
