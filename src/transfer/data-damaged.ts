import { BackupError, isBackupError } from '../contract/backup-error.js';
import { FormatError } from '../format/format-error.js';

/** What a check's failure means to the reader of a backup; every other error is passed on as it is. */
export function toTransferError(error: unknown): unknown {
  if (!(error instanceof FormatError) || isBackupError(error)) return error;
  const { offsetBytes, expected, found, xapiError } = error;
  return new BackupError('DATA_DAMAGED', `The data is damaged: ${error.message}.`, {
    hint:
      xapiError === undefined
        ? 'Read it again. If it fails at the same byte, the disk or the storage behind it is damaged.'
        : 'The pool stopped sending data because of an error of its own. Mend that and try again.',
    context: { offsetBytes, expected, found, xapiCode: xapiError?.code, xapiParams: xapiError?.params },
    cause: error,
  });
}

/** What arrived is not what the saveset record says. */
export function recordMismatch(
  item: string,
  what: string,
  expected: string | number,
  found: string | number,
): BackupError {
  return new BackupError('DATA_DAMAGED', `Item ${item} is damaged: its ${what} is not what the saveset record says.`, {
    hint: 'The stored item changed after the backup. Use a copy of this saveset, or another saveset.',
    context: { item, expected, found },
  });
}

/** What a check found in a stored item; an error that is no `FormatError` is passed on as it is. */
export function itemDamaged(item: string, error: unknown): Error {
  if (!(error instanceof FormatError)) return error as Error;
  const { offsetBytes, expected, found } = error;
  return new BackupError('DATA_DAMAGED', `Item ${item} is damaged: ${error.message}.`, {
    hint: 'The stored item is not a complete archive. Use a copy of this saveset, or another saveset.',
    context: { item, offsetBytes, expected, found },
    cause: error,
  });
}
