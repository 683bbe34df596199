import { z } from 'zod';
import { schemaMistakes } from '../common/schema-mistakes.js';
import { BackupError, type BackupRequest, type Consistency } from '../contract/index.js';
import { type ConsistencyWish } from './consistency-plan.js';
import { type ChainPolicy } from './disk-chain.js';
import { type DiskChoice } from './disk-choice.js';
import { type FullFallback, type LevelWish, type WantedLevel } from './level-plan.js';
import { type StoredForm } from './saveset-history.js';

const DAY_SECONDS = 24 * 60 * 60;
const limitSeconds = (defaultSeconds: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(DAY_SECONDS).default(defaultSeconds);

/** Disks by position, uuid or name: a list, or a text with commas. */
const diskNames = z
  .union([z.string(), z.number(), z.array(z.union([z.string(), z.number()]))])
  .transform((value) =>
    (Array.isArray(value) ? value : String(value).split(','))
      .map((name) => String(name).trim())
      .filter((name) => name !== ''),
  );

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
  /**
   * Offline: start the machine again as soon as a snapshot of it was made at rest, or when all of it was saved. Absent:
   * `short` where a snapshot is needed anyway, else `whole`, which takes nothing from the storage.
   */
  offline: z.enum(['short', 'whole']).optional(),
  /** Whether free space is looked at before a snapshot. */
  space: z.enum(['check', 'skip']).default('check'),
  /** What to do about disks whose storage has fallen behind with merging images. */
  chain: z.enum(['wait', 'skip', 'force']).default('wait'),
  chainTimeoutSeconds: limitSeconds(600),
  /** What is stored: one archive, or one VHD a disk. Absent: `auto` goes on with a chain; an archive otherwise. */
  format: z.enum(['xva', 'disks']).optional(),
  /** Most savesets in a chain before `auto` begins a new one, its full counted. */
  maxChain: z.int().min(1).max(1000).default(14),
  /** A disk can't be saved at the level asked for: save it in full silently, with a warning, or fail. */
  onFullFallback: z.enum(['allow', 'warn', 'fail']).default('warn'),
  /** What stays in the pool for the next increment: the bitmap of changes alone, or the whole snapshot. */
  base: z.enum(['metadata', 'snapshot']).default('metadata'),
  /** Only these disks. */
  disks: diskNames.optional(),
  /** All but these disks. */
  excludeDisks: diskNames.optional(),
});

/** How the base of an increment is kept where the pool can do both. */
export type BaseRetention = 'metadata' | 'snapshot';

export interface BackupOptions {
  readonly forceHttps: boolean;
  readonly wish: ConsistencyWish;
  readonly shutdownTimeoutMs: number;
  /** How long a machine stays down for an offline backup. */
  readonly offline: 'short' | 'whole' | undefined;
  readonly space: 'check' | 'skip';
  readonly chain: ChainPolicy;
  readonly chainTimeoutMs: number;
  readonly levels: LevelWish;
  readonly onFullFallback: FullFallback;
  readonly base: BaseRetention;
  readonly choice: DiskChoice;
}

/**
 * Checks what a request asks for beyond its source.
 * @throws {BackupError} REQUEST_INVALID for an unknown option or a bad saveset id.
 */
export function parseBackupOptions(request: BackupRequest): BackupOptions {
  const { level = 'full', options = {}, savesetId } = request;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(savesetId)) {
    throw new BackupError('REQUEST_INVALID', `"${savesetId}" can't be the id of a saveset.`, {
      hint: 'Use letters, digits, dot, dash and underscore, at most 128 of them.',
    });
  }
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    throw new BackupError('REQUEST_INVALID', `The options are not valid: ${schemaMistakes(parsed.error)}.`, {
      hint: `Backups know the options ${Object.keys(optionsSchema.shape).join(', ')}.`,
    });
  }
  const { http, consistency, quiesce, shutdown, space, chain, format, base, ...rest } = parsed.data;
  return {
    forceHttps: http === 'https',
    wish: { consistency, quiesce, shutdown },
    shutdownTimeoutMs: rest.shutdownTimeoutSeconds * 1000,
    offline: rest.offline,
    space,
    chain,
    chainTimeoutMs: rest.chainTimeoutSeconds * 1000,
    levels: { level, form: format ?? formFor(level, consistency), maxChain: rest.maxChain },
    onFullFallback: rest.onFullFallback,
    base,
    choice: { only: rest.disks, except: rest.excludeDisks ?? [] },
  };
}

/** Memory is saved with an archive only: who asks for it gets one, and the chain goes on with the next backup. */
function formFor(level: WantedLevel, consistency: Consistency | undefined): StoredForm | undefined {
  return consistency === 'memory' && (level === 'auto' || level === 'full') ? 'xva' : undefined;
}

/**
 * As `parseBackupOptions`, for a source that knows no levels beyond full.
 * @throws {BackupError} REQUEST_INVALID
 */
export function parseFullOnly(request: BackupRequest): BackupOptions {
  const options = parseBackupOptions(request);
  const { level }: { level: WantedLevel } = options.levels;
  if (level === 'full' || level === 'auto') return options;
  throw new BackupError('REQUEST_INVALID', `The level "${level}" is offered for machines only.`, {
    hint: 'Ask for a full backup, or for auto.',
  });
}
