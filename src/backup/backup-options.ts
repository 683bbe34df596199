import { z } from 'zod';
import { BackupError, type BackupRequest } from '../contract/index.js';

const optionsSchema = z.strictObject({
  /** `https`: the data of this task goes over https whatever the client's setting says. */
  http: z.literal('https').optional(),
});

export interface BackupOptions {
  readonly forceHttps: boolean;
}

/**
 * Checks what a request asks for beyond its source.
 * @throws {BackupError} REQUEST_INVALID for a level that isn't offered, an unknown option or a bad saveset id.
 */
export function parseBackupOptions(request: BackupRequest): BackupOptions {
  const { level = 'full', options = {}, savesetId } = request;
  if (level !== 'full' && level !== 'auto') {
    throw new BackupError('REQUEST_INVALID', `The level "${level}" is not offered.`, {
      hint: 'Ask for a full backup, or for auto.',
    });
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(savesetId)) {
    throw new BackupError('REQUEST_INVALID', `"${savesetId}" can't be the id of a saveset.`, {
      hint: 'Use letters, digits, dot, dash and underscore, at most 128 of them.',
    });
  }
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new BackupError('REQUEST_INVALID', `The options are not valid: ${z.prettifyError(parsed.error)}`, {
      hint: 'Backups know the option http=https.',
    });
  }
  return { forceHttps: parsed.data.http === 'https' };
}
