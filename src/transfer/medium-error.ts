import { BackupError, isBackupError } from '../contract/backup-error.js';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A failure of the host's medium while writing to it; a `BackupError` of the host's own is kept. */
export function mediumWriteError(cause: unknown): BackupError {
  if (isBackupError(cause)) return cause;
  const code = systemCode(cause);
  if (code !== undefined && FULL.has(code)) {
    return new BackupError('MEDIUM_FULL', 'The backup medium is full.', {
      hint: 'Make room on the medium or use another one, then repeat the backup.',
      context: { systemCode: code },
      cause,
    });
  }
  return new BackupError(
    'MEDIUM_FAILED',
    `Writing to the backup medium failed${code === undefined ? '' : ` (${code})`}.`,
    {
      hint: 'Look at the medium and the log of the backup server.',
      context: { systemCode: code },
      cause,
    },
  );
}

/** A failure of the host's medium while reading from it. */
export function mediumReadError(cause: unknown, item: string): BackupError {
  if (isBackupError(cause)) return cause;
  const code = systemCode(cause);
  return new BackupError('MEDIUM_FAILED', `Reading item ${item} failed${code === undefined ? '' : ` (${code})`}.`, {
    hint: 'Look at the medium and the log of the backup server.',
    isRetriable: true,
    context: { item, systemCode: code },
    cause,
  });
}

function systemCode(cause: unknown): string | undefined {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
