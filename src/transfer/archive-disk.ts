import { type ByteExtent, type ByteRun } from '../common/byte-extent.js';
import { type Clock } from '../common/clock.js';
import { BackupError } from '../contract/backup-error.js';
import { type OpenedItem, type RestoreMedia } from '../contract/media.js';
import { type SavesetDisk, type SavesetItem } from '../contract/saveset-record.js';
import { archiveDisks } from '../format/ova-xml.js';
import { XvaReader } from '../format/xva-reader.js';
import { diskFile } from './chain-disk-file.js';
import { verifiedItemStream } from './verified-item.js';

const DEFAULT_IDLE_TIMEOUT_MS = 300_000;
const SECTOR_BYTES = 512;

export interface ArchiveDiskOptions {
  readonly media: RestoreMedia;
  /** One of `media.record.disks`, whose item is an archive of the whole machine. */
  readonly disk: SavesetDisk;
  readonly format: 'raw' | 'vhd';
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Longest silence of the medium. Default 5 min. */
  readonly idleTimeoutMs?: number;
}

/**
 * One disk out of the archive of a machine while it is read. All of the archive is read and checked, as for a restore;
 * the last 64 KiB of the disk come only after that. A VHD begins with a table of what is in it, which is known only once
 * the archive was read: for it the archive is read twice.
 * @throws {BackupError} SAVESET_INVALID, DATA_DAMAGED, MEDIUM_FAILED, CANCELLED; the same from the stream.
 */
export async function openArchiveDisk(options: ArchiveDiskOptions): Promise<OpenedItem> {
  const { media, disk, format, signal } = options;
  const extents = format === 'vhd' ? await extentsOf(options) : [];
  const closed = new AbortController();
  const both = signal === undefined ? closed.signal : AbortSignal.any([signal, closed.signal]);
  return diskFile({
    format,
    sizeBytes: disk.sizeBytes,
    extents: () => extents,
    runs: () => diskRuns({ ...options, signal: both }),
    createdAtMs: Date.parse(media.record.createdAt),
    close: () => {
      closed.abort(new BackupError('CANCELLED', 'The disk was closed before its end.'));
    },
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The stored data of the disk, ascending; ends when the whole archive has proved right. */
async function* diskRuns(options: ArchiveDiskOptions & { readonly signal: AbortSignal }): AsyncGenerator<ByteRun> {
  const { media, disk, signal, clock, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = options;
  const expected = itemOf(options);
  const reader = new XvaReader();
  const runs: ByteRun[] = [];
  let wanted: string | undefined;
  reader.onArchive = (archive) => {
    const found = archiveDisks(archive).find(
      ({ userdevice, isMemoryImage }) => !isMemoryImage && userdevice === disk.position,
    );
    if (found?.sizeBytes !== disk.sizeBytes) throw notInArchive(disk, media.record.savesetId);
    wanted = found.id;
  };
  reader.onDiskData = (id, offsetBytes, data) => {
    if (id === wanted) runs.push({ offsetBytes, data });
  };
  const stream = verifiedItemStream({
    item: await media.openItem(expected.name, signal),
    expected,
    check: reader,
    signal,
    idleTimeoutMs,
    ...(clock === undefined ? {} : { clock }),
  });
  try {
    for await (const piece of stream) if ((piece as Buffer).length > 0) yield* runs.splice(0);
    yield* runs;
  } finally {
    stream.destroy();
  }
}

/** What the archive holds of the disk, in whole sectors, neighbours joined. */
async function extentsOf(options: ArchiveDiskOptions): Promise<readonly ByteExtent[]> {
  const { disk, signal = new AbortController().signal } = options;
  const extents: { offsetBytes: number; lengthBytes: number }[] = [];
  for await (const { offsetBytes, data } of diskRuns({ ...options, signal })) {
    const start = Math.floor(offsetBytes / SECTOR_BYTES) * SECTOR_BYTES;
    const end = Math.min(Math.ceil((offsetBytes + data.length) / SECTOR_BYTES) * SECTOR_BYTES, disk.sizeBytes);
    const last = extents.at(-1);
    if (last !== undefined && start <= last.offsetBytes + last.lengthBytes) last.lengthBytes = end - last.offsetBytes;
    else extents.push({ offsetBytes: start, lengthBytes: end - start });
  }
  return extents;
}

function itemOf({ media: { record }, disk }: ArchiveDiskOptions): SavesetItem {
  const item = record.items.find(({ name }) => name === disk.item);
  if (item !== undefined) return item;
  throw notInArchive(disk, record.savesetId);
}

function notInArchive({ position, name }: SavesetDisk, savesetId: string): BackupError {
  return new BackupError(
    'SAVESET_INVALID',
    `The saveset does not hold the disk ${position} "${name}" as its record says.`,
    {
      hint: 'The record is damaged, or was written by a newer version.',
      context: { saveset: savesetId },
    },
  );
}
