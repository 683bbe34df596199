import {
  type AdvisedBackup,
  type BackupSource,
  type BackupSourceProvider,
  type CheckLine,
  isBackupError,
  type ResolvedSource,
  type SavesetRecord,
} from '../contract/index.js';

const HOUR_MS = 60 * 60_000;

/**
 * What a provider advises to save regularly, against what the repository has. Something that the source does not have
 * is no finding.
 */
export async function adviceFindings(
  { id, capabilities }: BackupSourceProvider,
  source: BackupSource,
  records: readonly SavesetRecord[],
  nowMs: number,
  signal: AbortSignal,
): Promise<readonly CheckLine[]> {
  const lines: CheckLine[] = [];
  for (const advice of capabilities.advisedBackups ?? []) {
    try {
      const resolved = await source.resolve([advice.source], signal);
      const ofProvider = records.filter(({ providerId }) => providerId === id);
      lines.push(...resolved.map((one) => adviceFinding(advice, one, ofProvider, nowMs)));
    } catch (error) {
      if (!isBackupError(error) || error.code !== 'OBJECT_NOT_FOUND') throw error;
    }
  }
  return lines;
}

/** How old the newest saveset of one source is, and whether that is too old. */
export function adviceFinding(
  { source, everyHours, why }: AdvisedBackup,
  { kind, id, displayName }: Pick<ResolvedSource, 'kind' | 'id' | 'displayName'>,
  records: readonly SavesetRecord[],
  nowMs: number,
): CheckLine {
  const times = records
    .filter((record) => record.source.kind === kind && record.source.id === id)
    .map(({ createdAt }) => Date.parse(createdAt));
  const hint = `Save it at least every ${everyHours} hours: xen-backup backup ${source}. ${why}`;
  if (times.length === 0) {
    return { status: 'warning', check: 'saved', message: `"${displayName}" has never been saved here.`, hint };
  }
  const ageHours = Math.floor((nowMs - Math.max(...times)) / HOUR_MS);
  const age = ageHours < 1 ? 'less than an hour' : ageHours === 1 ? 'an hour' : `${ageHours} hours`;
  const message = `"${displayName}" was saved ${age} ago.`;
  return ageHours >= everyHours
    ? { status: 'warning', check: 'saved', message, hint }
    : { status: 'ok', check: 'saved', message };
}
