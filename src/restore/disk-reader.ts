import {
  BackupError,
  type DiskReadRequest,
  type OpenedItem,
  type RestoreMedia,
  type SavesetDisk,
} from '../contract/index.js';
import { openArchiveDisk } from '../transfer/archive-disk.js';
import { openChainDisk } from '../transfer/chain-disk.js';
import { findSavedDisk } from './disk-selection.js';

interface DiskReading {
  readonly media: RestoreMedia;
  readonly disk: SavesetDisk;
  readonly format: 'raw' | 'vhd';
  readonly signal?: AbortSignal;
}

/** Who reads a disk, by the media type of the item that holds it. */
const READERS: Readonly<Record<string, (reading: DiskReading) => Promise<OpenedItem>>> = {
  'application/x-xva': openArchiveDisk,
  'application/x-vhd': openChainDisk,
};

/**
 * One disk of a saveset as a file's bytes, without a pool. The stream ends only when all that it was made of has proved
 * right.
 * @throws {BackupError} REQUEST_INVALID and OBJECT_AMBIGUOUS with the saveset's disks, OBJECT_NOT_SUPPORTED, and what the
 *   readers throw; DATA_DAMAGED, CHAIN_BROKEN, MEDIUM_FAILED and CANCELLED also from the stream.
 */
export async function readSavedDisk(
  { disk: wanted, format, signal }: DiskReadRequest,
  media: RestoreMedia,
): Promise<OpenedItem> {
  const { record } = media;
  const { disk } = findSavedDisk(
    wanted,
    record.disks.map((one) => ({ position: one.position, name: one.name, uuid: one.id.toLowerCase(), disk: one })),
  );
  const item = record.items.find(({ name }) => name === disk.item);
  const read = READERS[item?.mediaType ?? ''];
  if (format !== 'raw' && format !== 'vhd') {
    throw new BackupError('REQUEST_INVALID', `A disk cannot be given as "${format}".`, {
      hint: 'There are the formats raw and vhd.',
    });
  }
  if (read !== undefined) return await read({ media, disk, format, ...(signal === undefined ? {} : { signal }) });
  throw new BackupError(
    'OBJECT_NOT_SUPPORTED',
    `The disk ${disk.position} is stored in a form that is not known here.`,
    {
      hint: 'The saveset was written by a newer version.',
      context: { saveset: record.savesetId, item: disk.item },
    },
  );
}
