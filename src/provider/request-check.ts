import { BackupError, type BackupRequest, type RestoreRequest } from '../contract/index.js';

export const OFFERED_LEVELS = ['full', 'incremental', 'differential', 'copy', 'auto'] as const;
export const OFFERED_MODES = ['new', 'overwrite', 'disk'] as const;

/**
 * Refuses what the types forbid but a host written in JavaScript may send all the same: a mistake there must not become
 * another backup, or another restore, than was meant.
 * @throws {BackupError} REQUEST_INVALID
 */
export function assertBackupRequest({ source, savesetId, level }: BackupRequest): void {
  assertText('source', source, 'Name what is saved, as in vm/web-1.');
  assertText('savesetId', savesetId, 'Choose an id that no other saveset has.');
  if (level !== undefined) assertOneOf('level', level, OFFERED_LEVELS);
}

/** The same for a restore, which without a mode would be any of them. */
export function assertRestoreRequest({ mode }: RestoreRequest): void {
  assertOneOf('mode', mode, OFFERED_MODES);
}

function assertText(field: string, value: unknown, hint: string): void {
  if (typeof value === 'string') return;
  throw new BackupError('REQUEST_INVALID', `The request has no ${field}.`, { hint });
}

function assertOneOf(field: string, value: unknown, known: readonly string[]): void {
  if (typeof value === 'string' && known.includes(value)) return;
  const found = typeof value === 'string' ? `the ${field} "${value}", which is not offered` : `no ${field}`;
  throw new BackupError('REQUEST_INVALID', `The request has ${found}.`, { hint: `There are: ${known.join(', ')}.` });
}
