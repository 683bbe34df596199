import {
  BackupError,
  type BackupErrorCode,
  type BackupSource,
  isBackupError,
  type ResolvedSource,
} from '../contract/index.js';

/** A name that stands for nothing that can be saved now: it fails by itself, the others are saved. */
export interface FailedName {
  readonly name: string;
  readonly error: BackupError;
}

/** What a task is about: what it saves, and what it leaves out although it was selected. */
export interface BackupSelection {
  readonly targets: readonly ResolvedSource[];
  readonly failed: readonly FailedName[];
  readonly skipped: readonly (ResolvedSource & { readonly skipReason: string })[];
  /** Exclusions that fit nothing: no harm, but perhaps a mistake. */
  readonly idleExclusions: readonly string[];
}

const TROUBLE_OF_ONE_NAME: readonly BackupErrorCode[] = [
  'OBJECT_NOT_FOUND',
  'OBJECT_AMBIGUOUS',
  'OBJECT_NOT_SUPPORTED',
];

/**
 * Looks up names and patterns as they stand now. Two names for one thing make one backup; who is named by itself is saved
 * although a pattern would leave it out. Of several names, those that stand for nothing are told and stop no other.
 * @throws {BackupError} what the source says to the only name, to one that is not written well, and to an exclusion;
 *   OBJECT_NOT_FOUND when the exclusions leave nothing.
 */
export async function resolveSelection(
  source: BackupSource,
  names: readonly string[],
  exclusions: readonly string[],
  signal: AbortSignal,
): Promise<BackupSelection> {
  const chosen = new Map<string, ResolvedSource>();
  const { found: all, failed } = await resolveEach(source, names, signal);
  for (const found of all) {
    if (chosen.get(found.path)?.skipReason !== undefined || !chosen.has(found.path)) chosen.set(found.path, found);
  }
  const idleExclusions: string[] = [];
  for (const exclusion of exclusions) {
    const excluded = await resolveIfAny(source, exclusion, signal);
    if (excluded.length === 0) idleExclusions.push(exclusion);
    for (const { path } of excluded) chosen.delete(path);
  }
  if (chosen.size === 0 && failed.length === 0) {
    throw new BackupError('OBJECT_NOT_FOUND', 'The exclusions leave nothing to save.', {
      hint: 'See what a selection stands for with --dry-run.',
    });
  }
  const kept = [...chosen.values()];
  return {
    failed,
    targets: kept.filter(({ skipReason }) => skipReason === undefined),
    skipped: kept.flatMap((one) => (one.skipReason === undefined ? [] : [{ ...one, skipReason: one.skipReason }])),
    idleExclusions,
  };
}

/** All names at once; one by one only when a name of several is in trouble. */
async function resolveEach(
  source: BackupSource,
  names: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly found: readonly ResolvedSource[]; readonly failed: readonly FailedName[] }> {
  try {
    return { found: await source.resolve(names, signal), failed: [] };
  } catch (error) {
    if (names.length === 1 || !isTroubleOfOneName(error)) throw error;
  }
  const found: ResolvedSource[] = [];
  const failed: FailedName[] = [];
  for (const name of names) {
    try {
      found.push(...(await source.resolve([name], signal)));
    } catch (error) {
      if (!isTroubleOfOneName(error)) throw error;
      failed.push({ name, error });
    }
  }
  return { found, failed };
}

function isTroubleOfOneName(error: unknown): error is BackupError {
  return isBackupError(error) && TROUBLE_OF_ONE_NAME.includes(error.code);
}

async function resolveIfAny(
  source: BackupSource,
  name: string,
  signal: AbortSignal,
): Promise<readonly ResolvedSource[]> {
  try {
    return await source.resolve([name], signal);
  } catch (error) {
    if (isBackupError(error) && error.code === 'OBJECT_NOT_FOUND') return [];
    throw error;
  }
}
