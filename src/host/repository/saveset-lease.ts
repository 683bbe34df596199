import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock } from '../../common/clock.js';
import { isProcessAlive, ownProcess, type ProcessIdentity } from '../../common/process-identity.js';
import { writeDurably } from './durable-file.js';

/**
 * A file in the folder of a running backup that says which process writes it. On the same machine the process itself
 * answers whether it lives; from another machine (a shared repository) only the file's age can tell, so it is
 * touched while the backup runs.
 */
export const LEASE_FILE = '.lease';
const TOUCH_EVERY_MS = 30_000;
/** A lease of another machine that was not touched for so long is dead. */
const SILENT_MS = 15 * 60_000;
/** A folder without a lease is given so long: another process may be between making it and writing the lease. */
const UNCLAIMED_MS = 10 * 60_000;

/** Takes the lease of a folder and keeps it fresh. The returned function stops that. */
export async function holdLease(folder: string, clock: Clock): Promise<() => void> {
  const path = join(folder, LEASE_FILE);
  await writeDurably(path, JSON.stringify(ownProcess()));
  const stopping = new AbortController();
  void keepFresh(path, clock, stopping.signal);
  return () => {
    stopping.abort();
  };
}

/**
 * True when nobody can be writing this unfinished saveset any more. Finished items without a lease are no remnant of a
 * run, which has its lease to the end: they are a saveset whose record went missing, and are never taken for abandoned.
 */
export async function isAbandoned(folder: string, nowMs: number): Promise<boolean> {
  const path = join(folder, LEASE_FILE);
  const lease = await readLease(path);
  if (lease === undefined) {
    const names = await readdir(folder);
    const isItem = (name: string): boolean => !name.startsWith('.') && !name.endsWith('.partial');
    const hasLostRecord = !names.includes(LEASE_FILE) && names.some(isItem);
    return !hasLostRecord && nowMs - (await stat(folder)).mtimeMs > UNCLAIMED_MS;
  }
  return await isDead(path, lease, nowMs);
}

/** Removes the lease of a finished saveset when its run died before it could. One that can't be removed does no harm. */
export async function dropDeadLease(folder: string, nowMs: number): Promise<void> {
  const path = join(folder, LEASE_FILE);
  try {
    if (await isDead(path, await readLease(path), nowMs)) await rm(path);
  } catch {
    // There is none, as it should be, or it is gone in this moment.
  }
}

/** A lease of another machine, or one that can't be read, has only its age. */
async function isDead(path: string, lease: ProcessIdentity | undefined, nowMs: number): Promise<boolean> {
  const isAlive = lease === undefined ? undefined : isProcessAlive(lease);
  if (isAlive !== undefined) return !isAlive;
  return nowMs - (await stat(path)).mtimeMs > SILENT_MS;
}

async function keepFresh(path: string, clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(TOUCH_EVERY_MS, signal);
      const now = new Date(clock.nowMs());
      await utimes(path, now, now);
    }
  } catch {
    // Stopped, or the folder is gone: in both cases there is nothing left to keep.
  }
}

async function readLease(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const { machine, pid, processStart } = JSON.parse(await readFile(path, 'utf8')) as Partial<ProcessIdentity>;
    if (machine === undefined || pid === undefined || processStart === undefined) return undefined;
    return { machine, pid, processStart };
  } catch {
    return undefined;
  }
}
