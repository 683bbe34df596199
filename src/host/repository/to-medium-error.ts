import { BackupError, isBackupError } from '../../contract/index.js';
import { systemCode } from '../to-host-error.js';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const FORBIDDEN = new Set(['EACCES', 'EPERM', 'EROFS']);

/** A failure of the file system as an error of the medium; a BackupError stays what it is. */
export function toMediumError(error: unknown, path: string): BackupError {
  if (isBackupError(error)) return error;
  const code = systemCode(error) ?? 'UNKNOWN';
  const context = { path, systemCode: code };
  if (FULL.has(code)) {
    return new BackupError('MEDIUM_FULL', `The repository is full (${code} at ${path}).`, {
      hint: 'Make room, for example with "xen-backup prune --keep-last N", and run the backup again.',
      context,
      cause: error,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new BackupError('MEDIUM_FAILED', `The repository failed at ${path}: ${reason}`, {
    hint: FORBIDDEN.has(code)
      ? 'Give this user the right to read and write the repository, or use another one with --repository.'
      : 'Check the file system of the repository.',
    context,
    cause: error,
  });
}
