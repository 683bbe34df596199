import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KIB, MIB } from '../src/common/byte-size.js';
import { type CleanupStack } from '../src/common/cleanup-stack.js';

/** Less than the 2 MiB in which a virtual machine reports free memory. */
const PIECE_BYTES = 256 * KIB;
/** Of what is stored: what else writes meanwhile takes some, too. */
const SPARE_BYTES = 256 * MIB;

/**
 * Makes free memory of this file system that stays warm. What a virtual machine has not used for 2 s its host takes away,
 * in pieces of 2 MiB, and the next to need it waits for it: 1.0 to 1.4 s for each GiB, where writing takes 0.35 by itself;
 * who writes fast after another would find it warm, and who takes longer would not. So memory is taken for two files piece by
 * piece in turn, and one of them removed: what is free lies in holes, which no host takes, and who writes fills them first.
 * The other file goes with the cleanups.
 */
export async function layOutWarmMemory(folder: string, sizeBytes: number, cleanups: CleanupStack): Promise<void> {
  const [freed, kept] = [join(folder, 'warm-freed'), join(folder, 'warm-kept')];
  cleanups.add('the memory between what is warm', () => rm(kept, { force: true }));
  const files = [await open(freed, 'wx')];
  try {
    files.push(await open(kept, 'wx'));
    const zeros = Buffer.alloc(PIECE_BYTES);
    for (let at = 0; at < sizeBytes + SPARE_BYTES; at += PIECE_BYTES) {
      for (const file of files) await file.write(zeros);
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
    await rm(freed);
  }
}
