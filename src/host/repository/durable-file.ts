import { randomBytes } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from '../to-host-error.js';

/** Makes the entries of a folder survive a power cut. Some file systems cannot sync a folder; then it is left to them. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EPERM'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Writes a small file so that a reader sees all of it or none: temporary file, fsync, rename, fsync of the folder.
 * Mode 0600. With `isNew` it fails with EEXIST when the file is there already.
 */
export async function writeDurably(path: string, text: string, { isNew = false } = {}): Promise<void> {
  const temporary = `${dirname(path)}/.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text, 'utf8');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await (isNew ? link(temporary, path) : rename(temporary, path));
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
}
