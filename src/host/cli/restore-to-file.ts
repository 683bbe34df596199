import { resolve } from 'node:path';
import { formatBytes } from '../../common/byte-size.js';
import { type BackupSourceProvider, type RestoreReport, type SavesetRecord } from '../../contract/index.js';
import { restoreDiskToFile } from '../disk-file.js';
import { planFiles, restoreToFiles } from '../file-restore.js';
import { type DirectoryRepository } from '../repository/directory-repository.js';
import { type CliContext } from './cli-context.js';
import { viewFor } from './operation-view.js';

export interface FileOrder {
  readonly repository: DirectoryRepository;
  readonly record: SavesetRecord;
  /** As typed. */
  readonly path: string;
}

/** Says which files would be written. */
export async function sayFilePlan({ output, workingFolder }: CliContext, { record, path }: FileOrder): Promise<void> {
  const { files, folder, freeBytes, neededBytes } = await planFiles(record, resolve(workingFolder, path));
  output.json({
    type: 'file-plan',
    savesetId: record.savesetId,
    neededBytes,
    freeBytes,
    files: files.map(({ item, path: file }) => ({ item: item.name, path: file, bytes: item.bytes })),
  });
  output.line(`Only the data of ${record.savesetId}: no pool is asked, nothing is registered.`);
  output.line(`Folder: ${folder} (${formatBytes(neededBytes)} needed, ${formatBytes(freeBytes)} free)`);
  output.line();
  const rows = files.map(({ item, path: file }) => [item.name, formatBytes(item.bytes), file]);
  output.table(['ITEM', 'SIZE', 'FILE'], rows, { right: [1] });
}

/** Writes the files with progress. */
export async function writeFiles(
  { output, workingFolder, signal }: CliContext,
  { repository, record, path }: FileOrder,
): Promise<RestoreReport> {
  const media = await repository.openMedia(record.savesetId);
  const labels = { source: record.source.path, savesetId: record.savesetId };
  const view = viewFor(output, record.source.displayName, labels);
  try {
    return await restoreToFiles({
      media,
      path: resolve(workingFolder, path),
      signal,
      onEvent: (event) => {
        view.onEvent(event);
      },
    });
  } finally {
    view.close();
  }
}

export interface DiskOrder extends FileOrder {
  /** By position, name or id. */
  readonly disk: string;
  readonly format: string;
}

/** Says what a disk would become. */
export function sayDiskPlan({ output, workingFolder }: CliContext, { record, path, disk, format }: DiskOrder): void {
  const file = resolve(workingFolder, path);
  output.json({ type: 'disk-plan', savesetId: record.savesetId, disk, format, path: file, disks: record.disks });
  output.line(`Only the disk ${disk} of ${record.savesetId}, as ${format}: no pool is asked, nothing is registered.`);
  output.line(`File: ${file}`);
  output.line();
  const rows = record.disks.map(({ position, name, sizeBytes, id }) => [position, name, formatBytes(sizeBytes), id]);
  output.table(['DISK', 'NAME', 'SIZE', 'ID'], rows, { right: [2] });
}

/** Writes one disk with progress. */
export async function writeDisk(
  { output, workingFolder, signal }: CliContext,
  { repository, record, path, provider, disk, format }: DiskOrder & { readonly provider: BackupSourceProvider },
): Promise<RestoreReport> {
  const media = await repository.openMedia(record.savesetId);
  const labels = { source: record.source.path, savesetId: record.savesetId };
  const view = viewFor(output, record.source.displayName, labels);
  try {
    return await restoreDiskToFile({
      provider,
      media,
      disk,
      format,
      path: resolve(workingFolder, path),
      signal,
      onEvent: (event) => {
        view.onEvent(event);
      },
    });
  } finally {
    view.close();
  }
}
