import { BackupError, isBackupError } from '../contract/backup-error.js';

/** What an aborted signal means: its reason when that is a `BackupError`, else CANCELLED. */
export function cancellation(signal: AbortSignal): BackupError {
  const cause: unknown = signal.reason;
  if (isBackupError(cause)) return cause;
  return new BackupError('CANCELLED', 'The operation was cancelled.', { cause });
}
