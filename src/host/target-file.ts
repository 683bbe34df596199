import { access, link, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { BackupError, isBackupError } from '../contract/index.js';
import { syncFolder } from './repository/durable-file.js';
import { systemCode } from './to-host-error.js';

const FULL: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];
/** What file systems without hard links say. */
const NO_LINKS: readonly (string | undefined)[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/**
 * Gives a finished file its name. A link never takes a name that is taken; where there are no links, the moment between
 * look and rename is short.
 */
export async function publish(path: string, cleanup: CleanupStack): Promise<void> {
  const partial = partialOf(path);
  await onTarget(path, async () => {
    try {
      await link(partial, path);
      await rm(partial);
    } catch (error) {
      if (!NO_LINKS.includes(systemCode(error))) throw error;
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      )
        throw exists(path);
      await rename(partial, path);
    }
    cleanup.add(path, () => rm(path, { force: true }));
    await syncFolder(dirname(path));
  });
}

/** Where a file grows until it has proved right. */
export function partialOf(path: string): string {
  return `${path}.partial`;
}

export async function kindOf(path: string): Promise<'folder' | 'other' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'other';
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw targetError(error, path);
  }
}

export async function freeBytesIn(folder: string): Promise<number> {
  const { bavail, bsize } = await onTarget(folder, () => statfs(folder));
  return bavail * bsize;
}

/** What the file system says becomes a `BackupError`: TARGET_EXISTS, MEDIUM_FULL, MEDIUM_FAILED. */
export async function onTarget<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw targetError(error, path);
  }
}

function targetError(error: unknown, path: string): BackupError {
  if (isBackupError(error)) return error;
  const code = systemCode(error);
  if (code === 'EEXIST') return exists(path);
  const reason = error instanceof Error ? error.message : String(error);
  const isFull = FULL.includes(code);
  return new BackupError(isFull ? 'MEDIUM_FULL' : 'MEDIUM_FAILED', `${path} cannot be written: ${reason}`, {
    hint: isFull ? 'Make room there, or name a file elsewhere.' : 'Name a file in a folder that exists and is yours.',
    context: { path, ...(code === undefined ? {} : { systemCode: code }) },
    cause: error,
  });
}

export function exists(path: string): BackupError {
  return new BackupError('TARGET_EXISTS', `There is already a file ${path}; it is left as it is.`, {
    hint: path.endsWith('.partial')
      ? 'Another restore writes it at this moment, or one was killed; then remove it.'
      : 'Name another file, or move that one away.',
    context: { path },
  });
}
