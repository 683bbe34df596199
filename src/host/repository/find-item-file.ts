import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../to-host-error.js';
import { COMPRESSIONS, type Compression, FILE_ENDINGS } from './item-compression.js';

export interface FoundItemFile {
  readonly handle: FileHandle;
  readonly compression: Compression;
}

/** Opens the file of an item, however it is packed; links are not followed. Rejects with the system's error, ENOENT for none. */
export async function findItemFile(folder: string, name: string): Promise<FoundItemFile> {
  let missing: unknown;
  for (const compression of COMPRESSIONS) {
    const path = join(folder, `${name}${FILE_ENDINGS[compression]}`);
    try {
      return { handle: await open(path, constants.O_RDONLY | constants.O_NOFOLLOW), compression };
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      missing ??= error;
    }
  }
  throw missing;
}
