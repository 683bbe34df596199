import { BackupError, isBackupError } from '../contract/index.js';

/** Whatever was thrown as a `BackupError`; what nobody expected becomes INTERNAL with the cause kept. */
export function toHostError(error: unknown): BackupError {
  if (isBackupError(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new BackupError('INTERNAL', `Something went wrong that nobody foresaw: ${reason}`, {
    hint: 'Run it again with --debug and report what it says.',
    cause: error,
  });
}

/** The code of a Node system error (`ENOENT`, `ENOSPC`, ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  return typeof code === 'string' ? code : undefined;
}
