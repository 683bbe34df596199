import { z } from 'zod';
import { schemaMistakes } from '../common/schema-mistakes.js';
import {
  BackupError,
  type Options,
  type RestoreRequest,
  type SavesetDisk,
  type SavesetRecord,
} from '../contract/index.js';
import { type MachineDetails } from '../format/machine-details.js';
import { findSavedDisk, type SavedDisk } from './disk-selection.js';

const optionsSchema = z.strictObject({
  /** `https`: the data of this task goes over https whatever the client's setting says. */
  http: z.literal('https').optional(),
  /** `content` (default): the disk is read again and compared with what was sent. `size`: only its size is looked at. */
  check: z.enum(['content', 'size']).optional(),
});

/** A request for one disk that makes sense in itself. */
export interface DiskRestoreWish {
  readonly disk: SavedDisk;
  readonly saved: SavesetDisk;
  /** Name of the new disk. */
  readonly name: string;
  readonly storage: string | undefined;
  /** The machine that gets it, as it was typed. */
  readonly attachTo: string | undefined;
  readonly comparesContent: boolean;
  readonly forceHttps: boolean;
  /** Bytes that the saveset holds of it; with increments at most so many. */
  readonly storedBytes: number;
  /** How many savesets it may be merged from. */
  readonly savesets: number;
  readonly savesetId: string;
}

/**
 * Checks all of a request for one disk that can be checked without the pool.
 * @throws {BackupError} REQUEST_INVALID, OBJECT_AMBIGUOUS with the disks of the saveset, SAVESET_INVALID.
 */
export function parseDiskRestore(
  request: RestoreRequest,
  record: SavesetRecord,
  details: MachineDetails,
): DiskRestoreWish {
  const { disk: wanted, name, storage, attachTo, startAfter = false, options = {} } = request;
  if (wanted === undefined) {
    throw new BackupError('REQUEST_INVALID', 'The request does not say which disk comes back.', {
      hint: 'Name a disk of the backup by its position, name or UUID.',
      context: { candidates: details.disks.map((disk) => `${disk.position} "${disk.name}"`) },
    });
  }
  if (startAfter) {
    throw new BackupError('REQUEST_INVALID', 'A disk is not started.', { hint: 'Leave the start out.' });
  }
  const disk = findSavedDisk(wanted, details.disks);
  const { check, http } = parseOptions(options);
  const saved = record.disks.find(({ position }) => position === disk.position);
  if (saved === undefined) throw notStored(disk, record);
  return {
    disk,
    saved,
    name: name === undefined || name.trim() === '' ? disk.name : name,
    storage,
    attachTo,
    comparesContent: check !== 'size',
    forceHttps: http === 'https',
    storedBytes: storedBytes(saved, record),
    savesets: (details.chain?.ancestors.length ?? 0) + 1,
    savesetId: record.savesetId,
  };
}

function parseOptions(options: Options): z.infer<typeof optionsSchema> {
  const parsed = optionsSchema.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new BackupError('REQUEST_INVALID', `The options are not valid: ${schemaMistakes(parsed.error)}.`, {
    hint: 'A restore of one disk knows the options check=content|size and http=https.',
  });
}

function storedBytes({ item, level, sizeBytes }: SavesetDisk, { items }: SavesetRecord): number {
  const stored = items.find(({ name }) => name === item);
  const isWhole = level === 'full' || level === 'copy';
  return isWhole && stored !== undefined ? Math.min(stored.bytes, sizeBytes) : sizeBytes;
}

function notStored({ position, name }: SavedDisk, { savesetId }: SavesetRecord): BackupError {
  return new BackupError('SAVESET_INVALID', `The saveset has no data of the disk ${position} "${name}".`, {
    hint: 'The record is damaged, or was written by a newer version.',
    context: { saveset: savesetId },
  });
}
