import { z } from 'zod';
import { BackupError, type BackupRequest } from '../contract/index.js';
import { type ConsistencyWish } from './consistency-plan.js';
import { type ChainPolicy } from './disk-chain.js';

const DAY_SECONDS = 24 * 60 * 60;
const limitSeconds = (defaultSeconds: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(DAY_SECONDS).default(defaultSeconds);

const optionsSchema = z.strictObject({
  /** `https`: the data of this task goes over https whatever the client's setting says. */
  http: z.literal('https').optional(),
  /** What the data's moment shall be worth. Absent: the machine's tags decide, then what its guest offers. */
  consistency: z.enum(['offline', 'crash', 'quiesced', 'memory']).optional(),
  /** Whether a guest that can't be quiesced makes a failure, a warning, or is not asked at all. */
  quiesce: z.enum(['require', 'prefer', 'never']).optional(),
  /** Offline, and the machine does not shut down: fail, switch it off, or save a snapshot of it. */
  shutdown: z.enum(['fail', 'force', 'snapshot']).optional(),
  shutdownTimeoutSeconds: limitSeconds(600),
  /** Whether free space is looked at before a snapshot. */
  space: z.enum(['check', 'skip']).default('check'),
  /** What to do about disks whose storage has fallen behind with merging images. */
  chain: z.enum(['wait', 'skip', 'force']).default('wait'),
  chainTimeoutSeconds: limitSeconds(600),
});

export interface BackupOptions {
  readonly forceHttps: boolean;
  readonly wish: ConsistencyWish;
  readonly shutdownTimeoutMs: number;
  readonly space: 'check' | 'skip';
  readonly chain: ChainPolicy;
  readonly chainTimeoutMs: number;
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
      hint: `Backups know the options ${Object.keys(optionsSchema.shape).join(', ')}.`,
    });
  }
  const { http, consistency, quiesce, shutdown, shutdownTimeoutSeconds, chainTimeoutSeconds, space, chain } =
    parsed.data;
  return {
    forceHttps: http === 'https',
    wish: { consistency, quiesce, shutdown },
    shutdownTimeoutMs: shutdownTimeoutSeconds * 1000,
    space,
    chain,
    chainTimeoutMs: chainTimeoutSeconds * 1000,
  };
}
