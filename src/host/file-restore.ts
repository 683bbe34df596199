import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatBytes } from '../common/byte-size.js';
import { CleanupStack } from '../common/cleanup-stack.js';
import { type Clock, systemClock } from '../common/clock.js';
import {
  BackupError,
  type RestoreEvent,
  type RestoreMedia,
  type RestoreReport,
  type SavesetItem,
  type SavesetRecord,
} from '../contract/index.js';
import { fileProgress } from './file-progress.js';
import { toMediumError } from './repository/to-medium-error.js';
import { exists, freeBytesIn, kindOf, onTarget, partialOf, publish } from './target-file.js';

/** An item and the file that it becomes. */
export interface PlannedFile {
  readonly item: SavesetItem;
  readonly path: string;
}

export interface FilePlan {
  readonly files: readonly PlannedFile[];
  /** A folder that is made for them. */
  readonly newFolder: string | undefined;
  readonly folder: string;
  readonly freeBytes: number;
  readonly neededBytes: number;
}

export interface FileRestoreJob {
  readonly media: RestoreMedia;
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RestoreEvent) => void;
  readonly clock?: Clock;
}

/**
 * Which files a saveset becomes: one item the file `path` itself, several the files of a new folder `path`; in a folder
 * that exists they go by the items' names. Changes nothing.
 * @throws {BackupError} TARGET_EXISTS, MEDIUM_FULL, MEDIUM_FAILED
 */
export async function planFiles(record: SavesetRecord, path: string): Promise<FilePlan> {
  const found = await kindOf(path);
  if (found === 'other') throw exists(path);
  const isOne = found === undefined && record.items.length === 1;
  const files = record.items.map((item) => ({ item, path: isOne ? path : join(path, item.name) }));
  for (const file of files) if ((await kindOf(file.path)) !== undefined) throw exists(file.path);
  const neededBytes = record.items.reduce((sum, { bytes }) => sum + bytes, 0);
  const folder = found === 'folder' ? path : dirname(path);
  const freeBytes = await freeBytesIn(folder);
  if (freeBytes < neededBytes) {
    throw new BackupError(
      'MEDIUM_FULL',
      `There are ${formatBytes(freeBytes)} free at ${folder}; this takes ${formatBytes(neededBytes)}.`,
      { hint: 'Make room there, or name a file elsewhere.', context: { path: folder, freeBytes, neededBytes } },
    );
  }
  return { files, newFolder: found === undefined && !isOne ? path : undefined, folder, freeBytes, neededBytes };
}

/**
 * Writes the items of a saveset to files, checked against its record. Nothing that exists is touched, and no file has
 * its name before every item has proved right. Only the data: what it means, only its provider knows.
 * @throws {BackupError} as `planFiles`; DATA_DAMAGED, CANCELLED
 */
export async function restoreToFiles({
  media,
  path,
  signal,
  onEvent,
  clock = systemClock,
}: FileRestoreJob): Promise<RestoreReport> {
  const startedAtMs = clock.nowMs();
  const cleanup = new CleanupStack();
  const enter = (phase: 'check' | 'verify'): void => {
    onEvent({ type: 'phase-entered', phase, atMs: clock.nowMs() });
  };
  try {
    enter('check');
    const warnings = warningsOf(media.record);
    for (const warning of warnings) onEvent({ type: 'warning', ...warning, atMs: clock.nowMs() });
    const { files, newFolder, neededBytes } = await planFiles(media.record, path);
    if (newFolder !== undefined) {
      await onTarget(newFolder, () => mkdir(newFolder));
      cleanup.add(newFolder, () => rmdir(newFolder));
    }
    let earlierBytes = 0;
    for (const file of files) {
      await writePartial({ file, media, signal, onEvent, clock, cleanup, earlierBytes, neededBytes });
      earlierBytes += file.item.bytes;
    }
    enter('verify');
    signal.throwIfAborted();
    for (const file of files) await publish(file.path, cleanup);
    const [onlyFile, ...moreFiles] = files;
    const report: RestoreReport = {
      targetId: undefined,
      targetName: onlyFile === undefined || moreFiles.length > 0 ? path : onlyFile.path,
      mode: 'new',
      isRunning: false,
      transferredBytes: neededBytes,
      elapsedMs: clock.nowMs() - startedAtMs,
      warnings,
    };
    onEvent({ type: 'completed', report, atMs: clock.nowMs() });
    return report;
  } catch (error) {
    await cleanup.run();
    signal.throwIfAborted();
    throw error;
  }
}

/** Files of an increment look like a copy of the machine, and are none. */
function warningsOf({ savesetId, parentSavesetId: parent }: SavesetRecord): RestoreReport['warnings'] {
  if (parent === undefined) return [];
  const message = `${savesetId} builds on ${parent}: its files hold only what changed since, and are of no use without those.`;
  return [{ code: 'INCREMENT_ONLY', message }];
}

interface PartialOrder extends Required<Omit<FileRestoreJob, 'path'>> {
  readonly file: PlannedFile;
  readonly cleanup: CleanupStack;
  readonly earlierBytes: number;
  readonly neededBytes: number;
}

async function writePartial(order: PartialOrder): Promise<void> {
  const { file, media, signal, onEvent, clock, cleanup, earlierBytes, neededBytes } = order;
  const { item } = file;
  const partial = partialOf(file.path);
  const handle = await onTarget(partial, () => open(partial, 'wx', 0o600));
  cleanup.add(partial, () => rm(partial, { force: true }));
  const digest = createHash('sha256');
  let doneBytes = 0;
  try {
    const progress = { item: item.name, bytes: item.bytes, earlierBytes, totalBytes: neededBytes };
    const meter = fileProgress({ ...progress, clock, onEvent });
    for await (const chunk of chunksOf(media, item, signal)) {
      digest.update(chunk);
      await onTarget(partial, () => writeAll(handle, chunk));
      doneBytes += chunk.length;
      meter(doneBytes, false);
    }
    await onTarget(partial, () => handle.sync());
    meter(doneBytes, true);
  } finally {
    await handle.close();
  }
  const sha256 = digest.digest('hex');
  if (doneBytes !== item.bytes || sha256 !== item.sha256) throw damaged(item, media.record);
  onEvent({ type: 'item-completed', item: item.name, bytes: doneBytes, sha256, atMs: clock.nowMs() });
}

async function* chunksOf(
  media: RestoreMedia,
  item: SavesetItem,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const { stream } = await media.openItem(item.name, signal);
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw toMediumError(error, item.name);
  } finally {
    stream.destroy();
  }
}

/** `writeFile` of a handle goes on where it is, and writes all. */
async function writeAll(handle: FileHandle, chunk: Buffer): Promise<void> {
  await handle.writeFile(chunk);
}

function damaged({ name }: SavesetItem, { savesetId }: SavesetRecord): BackupError {
  return new BackupError('DATA_DAMAGED', `The bytes of ${name} are not the ones that were saved.`, {
    hint: 'Run "xen-backup verify" and use another saveset.',
    context: { savesetId, item: name },
  });
}
