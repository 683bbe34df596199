import { z } from 'zod';
import { BackupError } from './backup-error.js';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
const byteCount = z.int().nonnegative();
/** Item names become file names in a repository, so they are kept to what is harmless everywhere. */
const itemName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/i, 'must be letters, digits, dot, dash, underscore');

const itemSchema = z.strictObject({
  name: itemName,
  /** What it is, in the provider's vocabulary: `machine-archive`, `disk`, `metadata`, ... */
  kind: z.string().min(1).max(64),
  mediaType: z.string().min(1).max(128),
  bytes: byteCount,
  sha256,
});

const diskSchema = z.strictObject({
  /** Stable id of the disk at the source. */
  id: z.string().max(256),
  name: z.string().max(1024),
  /** Place of the disk in its machine, as the source counts. */
  position: z.string().max(64),
  sizeBytes: byteCount,
  level: z.enum(['full', 'incremental', 'differential', 'copy']),
  /** Why this level: a word of the provider, for people and for reports. */
  reason: z.string().max(64),
  /** The item that holds its data. */
  item: itemName,
});

const warningSchema = z.strictObject({ code: z.string().max(64), message: z.string().max(4096) });

export const savesetRecordSchema = z.strictObject({
  /** Version of this record's form. */
  version: z.literal(1),
  savesetId: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
  /** The provider that wrote it and can restore it. */
  providerId: z.string().min(1).max(128),
  createdAt: z.iso.datetime(),
  completedAt: z.iso.datetime(),
  source: z.strictObject({
    /** The name under which it can be backed up again: `vm/<uuid>`. */
    path: z.string().min(1).max(1024),
    kind: z.string().min(1).max(64),
    id: z.string().max(256),
    displayName: z.string().max(4096),
    /** Where it lived: the pool or cluster, by id and name. */
    originId: z.string().max(256),
    originName: z.string().max(4096),
  }),
  level: z.enum(['full', 'incremental', 'differential', 'copy']),
  /** The saveset this one builds on; absent for a full. */
  parentSavesetId: z.string().optional(),
  /** What the data's moment is worth, as achieved, not as asked. */
  consistency: z.enum(['offline', 'crash', 'quiesced', 'memory']),
  items: z.array(itemSchema).max(4096),
  disks: z.array(diskSchema).max(4096),
  warnings: z.array(warningSchema).max(1000),
  /** Who moved the data: host name of the machine the plugin ran on. */
  moverHost: z.string().max(256),
  /** What only the provider understands. JSON; the host stores it untouched. */
  details: z.record(z.string(), z.json()),
});

/**
 * All that a restore needs besides the items. It is written last: without a record there is no saveset.
 * JSON, UTF-8. Byte counts are exact; digests are of the item's bytes as stored.
 */
export type SavesetRecord = z.infer<typeof savesetRecordSchema>;
export type SavesetItem = z.infer<typeof itemSchema>;
export type SavesetDisk = z.infer<typeof diskSchema>;
export type BackupLevel = SavesetRecord['level'];
export type Consistency = SavesetRecord['consistency'];

/**
 * Reads a record from its JSON text or from a parsed value.
 * @throws {BackupError} SAVESET_INVALID when it is not a record of a version that we know.
 */
export function parseSavesetRecord(input: unknown): SavesetRecord {
  let value = input;
  if (typeof input === 'string') {
    try {
      value = JSON.parse(input);
    } catch (cause) {
      throw new BackupError('SAVESET_INVALID', 'The saveset record is not JSON.', {
        hint: 'The record file is damaged. Restore it from a copy, or use another saveset.',
        cause,
      });
    }
  }
  const parsed = savesetRecordSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BackupError('SAVESET_INVALID', `The saveset record is not valid: ${z.prettifyError(parsed.error)}`, {
    hint: 'The record is damaged or was written by a newer version of this software.',
  });
}
