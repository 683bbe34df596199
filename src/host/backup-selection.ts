import { BackupError, type BackupSource, isBackupError, type ResolvedSource } from '../contract/index.js';

/** What a task is about: what it saves, and what it leaves out although it was selected. */
export interface BackupSelection {
  readonly targets: readonly ResolvedSource[];
  readonly skipped: readonly (ResolvedSource & { readonly skipReason: string })[];
  /** Exclusions that fit nothing: no harm, but perhaps a mistake. */
  readonly idleExclusions: readonly string[];
}

/**
 * Looks up names and patterns as they stand now. Two names for one thing make one backup; who is named by itself is saved
 * although a pattern would leave it out.
 * @throws {BackupError} what the source says to a name; OBJECT_NOT_FOUND when the exclusions leave nothing.
 */
export async function resolveSelection(
  source: BackupSource,
  names: readonly string[],
  exclusions: readonly string[],
  signal: AbortSignal,
): Promise<BackupSelection> {
  const chosen = new Map<string, ResolvedSource>();
  for (const found of await source.resolve(names, signal)) {
    if (chosen.get(found.path)?.skipReason !== undefined || !chosen.has(found.path)) chosen.set(found.path, found);
  }
  const idleExclusions: string[] = [];
  for (const exclusion of exclusions) {
    const excluded = await resolveIfAny(source, exclusion, signal);
    if (excluded.length === 0) idleExclusions.push(exclusion);
    for (const { path } of excluded) chosen.delete(path);
  }
  if (chosen.size === 0) {
    throw new BackupError('OBJECT_NOT_FOUND', 'The exclusions leave nothing to save.', {
      hint: 'See what a selection stands for with --dry-run.',
    });
  }
  const all = [...chosen.values()];
  return {
    targets: all.filter(({ skipReason }) => skipReason === undefined),
    skipped: all.flatMap((one) => (one.skipReason === undefined ? [] : [{ ...one, skipReason: one.skipReason }])),
    idleExclusions,
  };
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
