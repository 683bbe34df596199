import { type Readable, type Writable } from 'node:stream';
import { type SavesetRecord } from './saveset-record.js';

/** What the source says of an item before its first byte. */
export interface ItemDescriptor {
  readonly name: string;
  readonly kind: string;
  readonly mediaType: string;
  /** Bytes to come, when known; `exact` promises the number. */
  readonly expectedBytes: number | undefined;
  readonly expectedIs: 'exact' | 'estimate' | 'unknown';
}

/**
 * Where a backup's bytes go. Given by the host, used by the source.
 *
 * For each item: `openItem` once, then writes with back-pressure, then either `end()` (the source waits for `finish`,
 * which means: the medium has it) or `destroy(error)` (the host forgets the item). An error of the stream fails
 * the backup. Nothing that was written counts until the host has stored the saveset record.
 */
export interface BackupSink {
  /** How many items may be open at once: 1 for a tape or a pipe. */
  readonly maxOpenItems: number;
  /**
   * True: an item that was destroyed may be opened once more under its name, and begins anew. Then a source may repeat
   * one transfer that broke off. Absent: false, as for a tape.
   */
  readonly canReopenItems?: boolean;
  /**
   * True: what was written to an item is not looked at any more once its write was called back. Then a source may fill the
   * same memory again, which costs less than new memory. Absent: false; the sink may keep the Buffers that it gets.
   */
  readonly keepsNoBuffers?: boolean;
  openItem(item: ItemDescriptor, signal: AbortSignal): Promise<Writable>;
}

/** An item on its way back. */
export interface OpenedItem {
  readonly stream: Readable;
  /** Exact size in bytes. */
  readonly bytes: number;
  /**
   * Takes a piece that the stream gave, whole, and that nobody looks at any more: its memory may be read into again. Streams
   * may have joined pieces that waited: take only memory that you know. A reader need not call it. Absent: each piece is
   * the reader's for good.
   */
  readonly giveBack?: (piece: Buffer) => void;
}

/** Where a restore's bytes come from: the record first, then its items, each opened at most once at a time. */
export interface RestoreMedia {
  readonly record: SavesetRecord;
  /** What the record builds on: its parent first, the full last. Absent or empty for a full. */
  readonly ancestors?: readonly SavesetRecord[];
  /**
   * @param savesetId one of `ancestors`; absent: the record's own items. A chain is merged from items of all its members
   *   that are open at once.
   */
  openItem(name: string, signal: AbortSignal, savesetId?: string): Promise<OpenedItem>;
}
