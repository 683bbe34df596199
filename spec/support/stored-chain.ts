import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type ByteExtent } from '../../src/common/byte-extent.js';
import { type RestoreMedia } from '../../src/contract/media.js';
import { type SavesetDisk, type SavesetItem, type SavesetRecord } from '../../src/contract/saveset-record.js';
import { type VhdWish } from '../../src/format/vhd-plan.js';
import { buildVhd, MADE_AT_MS } from './vhd-builder.js';

/** A moment of a disk: its content, and what changed since the moment before. */
export interface Moment {
  readonly disk: Buffer;
  readonly changed: readonly ByteExtent[];
}

export interface StoredMedia extends RestoreMedia {
  /** Items by `<saveset>/<name>`; may be changed before they are opened. */
  readonly stored: Map<string, Buffer>;
  /** Streams that were opened. */
  readonly opened: Map<string, Readable>;
  /** Bytes of each item whose memory the reader gave back. */
  readonly given: Map<string, number>;
  /** Opens an item otherwise than by its stored bytes. */
  openAs: (key: string, bytes: Buffer) => Readable;
}

/** In pieces as a file gives them. */
export function streamOf(bytes: Buffer, pieceBytes = 65_536): Readable {
  let at = 0;
  return new Readable({
    highWaterMark: pieceBytes,
    read(): void {
      const piece = Buffer.from(bytes.subarray(at, at + pieceBytes));
      at += piece.length;
      this.push(piece.length === 0 ? null : piece);
    },
  });
}

export function itemOf(name: string, kind: string, mediaType: string, bytes: Buffer): SavesetItem {
  return { name, kind, mediaType, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

export function recordOf(
  savesetId: string,
  disks: readonly SavesetDisk[],
  items: readonly SavesetItem[],
  parentSavesetId?: string,
): SavesetRecord {
  return {
    version: 1,
    savesetId,
    providerId: 'xen',
    createdAt: '2026-11-22T00:00:00Z',
    completedAt: '2026-11-22T00:01:00Z',
    source: { path: 'vm/x', kind: 'vm', id: 'x', displayName: 'x', originId: 'p', originName: 'p' },
    level: parentSavesetId === undefined ? 'full' : 'incremental',
    ...(parentSavesetId === undefined ? {} : { parentSavesetId }),
    consistency: 'crash',
    items: [...items],
    disks: [...disks],
    warnings: [],
    moverHost: 'here',
    details: {},
  };
}

export function mediaOf(records: readonly SavesetRecord[], stored: Map<string, Buffer>): StoredMedia {
  const [record, ...ancestors] = records;
  if (record === undefined) throw new TypeError('no record');
  const opened = new Map<string, Readable>();
  const given = new Map<string, number>();
  const media: StoredMedia = {
    record,
    ancestors,
    stored,
    opened,
    given,
    openAs: (_key, bytes) => streamOf(bytes),
    openItem: (name, _signal, savesetId = record.savesetId) => {
      const key = `${savesetId}/${name}`;
      const bytes = stored.get(key);
      if (bytes === undefined) throw new TypeError(`no item ${key}`);
      const stream = media.openAs(key, bytes);
      opened.set(key, stream);
      const giveBack = (piece: Buffer): void => {
        given.set(key, (given.get(key) ?? 0) + piece.length);
        // Something else is read into it.
        piece.fill(0xee);
      };
      return Promise.resolve({ stream, bytes: bytes.length, giveBack });
    },
  };
  return media;
}

export const uuidOf = (saveset: number, disk = 0): string =>
  `${String(saveset).padStart(8, '0')}-${String(disk).padStart(4, '0')}-4000-8000-000000000000`;

/**
 * Savesets `s0` (the full) to `s<n-1>` of machines with the given disks, each a list of moments; the record is that of
 * the newest saveset. `extra` items go with every saveset.
 */
export async function storedChain(
  disks: readonly { readonly position: string; readonly moments: readonly Moment[] }[],
  extra: readonly { readonly item: SavesetItem; readonly bytes: Buffer }[] = [],
  wish: Partial<VhdWish> = {},
): Promise<StoredMedia> {
  const stored = new Map<string, Buffer>();
  const records: SavesetRecord[] = [];
  const count = disks[0]?.moments.length ?? 1;
  for (let at = 0; at < count; at += 1) {
    const [items, entries]: [SavesetItem[], SavesetDisk[]] = [extra.map(({ item }) => item), []];
    for (const { item, bytes } of extra) stored.set(`s${at}/${item.name}`, bytes);
    for (const [index, { position, moments }] of disks.entries()) {
      const { disk, changed } = moments[at]!;
      const name = `disk-${position}.vhd`;
      const parent = { uuid: uuidOf(at - 1, index), name, timestampMs: MADE_AT_MS };
      const { bytes } = await buildVhd(disk, changed, {
        uuid: uuidOf(at, index),
        ...(at === 0 ? {} : { parent }),
        ...wish,
      });
      stored.set(`s${at}/${name}`, bytes);
      items.push(itemOf(name, 'disk', 'application/x-vhd', bytes));
      entries.push({
        id: `disk-${index}`,
        name: `disk ${position}`,
        position,
        sizeBytes: disk.length,
        level: at === 0 ? 'full' : 'incremental',
        reason: 'TEST',
        item: name,
      });
    }
    records.unshift(recordOf(`s${at}`, entries, items, at === 0 ? undefined : `s${at - 1}`));
  }
  return mediaOf(records, stored);
}
