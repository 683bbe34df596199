import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { BackupError } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';
import { syncFolder, writeDurably } from './durable-file.js';

/**
 * <repository>/
 *   repository.json            version of this layout, id of this host installation
 *   savesets/<saveset id>/     one folder a saveset: its items under their own names (.zst or .gz behind when packed), and
 *     saveset.json             the record, written last: no record, no saveset
 *     <item>.partial, .lease   only while a backup runs
 *   .trash-<random>            a saveset on its way out: renamed first, so that nobody sees half of it
 */
export const RECORD_FILE = 'saveset.json';
const REPOSITORY_FILE = 'repository.json';
const SAVESETS_FOLDER = 'savesets';
const TRASH_PREFIX = '.trash-';

const repositorySchema = z.object({ version: z.literal(1), hostId: z.string().min(1).max(128) });
export type RepositoryIdentity = z.infer<typeof repositorySchema>;

const SAVESET_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function isSavesetId(text: string): boolean {
  return SAVESET_ID.test(text);
}

/**
 * Folder of a saveset. An id that could lead anywhere else is refused.
 * @throws {BackupError} REQUEST_INVALID
 */
export function savesetFolder(repositoryPath: string, savesetId: string): string {
  if (isSavesetId(savesetId)) return join(repositoryPath, SAVESETS_FOLDER, savesetId);
  throw new BackupError('REQUEST_INVALID', `"${savesetId}" is not a saveset id.`, {
    hint: 'Use an id from "xen-backup list", or latest:<source>.',
  });
}

export async function savesetIds(repositoryPath: string): Promise<readonly string[]> {
  const entries = await readdir(join(repositoryPath, SAVESETS_FOLDER), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && isSavesetId(entry.name)).map(({ name }) => name);
}

/** The identity of an existing repository; undefined when the folder is not there or holds none. */
export async function readIdentity(repositoryPath: string): Promise<RepositoryIdentity | undefined> {
  let text: string;
  try {
    text = await readFile(join(repositoryPath, REPOSITORY_FILE), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return repositorySchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', `${repositoryPath} is not a repository of a version that is known here.`, {
      hint: `Look at ${REPOSITORY_FILE} in it; it may have been written by a newer version.`,
      cause,
    });
  }
}

/**
 * Makes a repository of a folder that is missing or empty. Two processes may try at once; both get the same identity.
 * @throws {BackupError} CONFIG_INVALID when the folder holds something else.
 */
export async function createRepository(
  repositoryPath: string,
  hostId = randomBytes(8).toString('hex'),
): Promise<RepositoryIdentity> {
  await makeFolder(repositoryPath);
  const others = (await readdir(repositoryPath)).filter((name) => !name.startsWith('.') && name !== SAVESETS_FOLDER);
  const existing = await readIdentity(repositoryPath);
  if (existing !== undefined) return existing;
  if (others.some((name) => name !== REPOSITORY_FILE)) {
    throw new BackupError('CONFIG_INVALID', `The folder ${repositoryPath} is not empty and not a repository.`, {
      hint: 'Name an empty folder, or one that does not exist yet.',
      context: { path: repositoryPath },
    });
  }
  await makeFolder(join(repositoryPath, SAVESETS_FOLDER));
  const identity: RepositoryIdentity = { version: 1, hostId };
  try {
    await writeDurably(join(repositoryPath, REPOSITORY_FILE), `${JSON.stringify(identity)}\n`, { isNew: true });
    return identity;
  } catch (error) {
    const theirs = systemCode(error) === 'EEXIST' ? await readIdentity(repositoryPath) : undefined;
    if (theirs === undefined) throw error;
    return theirs;
  }
}

/**
 * Makes a folder and those above it. Node's own way never ends where a folder that exists takes no new one and says that it
 * is not there, as automounted places and /proc do.
 */
async function makeFolder(path: string, hasFolderAbove = false): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const above = dirname(path);
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (systemCode(error) !== 'ENOENT' || above === path || hasFolderAbove) throw error;
    await makeFolder(above);
    await makeFolder(path, true);
  }
}

/** Takes a saveset's folder out of sight in one step, then removes it. */
export async function removeSavesetFolder(repositoryPath: string, savesetId: string): Promise<void> {
  await rm(await hideSavesetFolder(repositoryPath, savesetId), { recursive: true, force: true });
}

/** The first half of a removal: what is left of it is trash. */
export async function hideSavesetFolder(repositoryPath: string, savesetId: string): Promise<string> {
  const trash = join(repositoryPath, `${TRASH_PREFIX}${randomBytes(6).toString('hex')}`);
  await rename(savesetFolder(repositoryPath, savesetId), trash);
  await syncFolder(join(repositoryPath, SAVESETS_FOLDER));
  return trash;
}

/** Finishes removals that a crash interrupted. */
export async function emptyTrash(repositoryPath: string): Promise<void> {
  for (const name of await readdir(repositoryPath)) {
    if (name.startsWith(TRASH_PREFIX)) await rm(join(repositoryPath, name), { recursive: true, force: true });
  }
}
