import { BackupError, type BackupLevel } from '../contract/index.js';
import { FULL_BECAUSE, type LevelReason } from '../format/level-reason.js';
import { type MachineChainDisk } from '../format/machine-details.js';
import { type VdiRecord } from '../xapi/xapi-records.js';
import { type ChainMember, newestOf, rootOf, type SavesetHistory, type StoredForm } from './saveset-history.js';

export type WantedLevel = BackupLevel | 'auto';
export type FullFallback = 'allow' | 'warn' | 'fail';

export interface LevelWish {
  readonly level: WantedLevel;
  /** Absent: `disks` for what goes on with a chain, also when an archive was saved in between; an archive otherwise. */
  readonly form?: StoredForm | undefined;
  /** Most savesets in a chain, its full counted. */
  readonly maxChain: number;
}

/** A disk of the machine as it is now. */
export interface DiskNow {
  readonly id: string;
  readonly ref: string;
  readonly name: string;
  readonly position: string;
  readonly sizeBytes: number;
  readonly isTracked: boolean;
  /** Its storage can track changes. */
  readonly canBeTracked: boolean;
  /** The pool says that it gave up tracking since the base; otherwise a disk that is not tracked was switched off. */
  readonly hasLostTrack?: boolean;
}

/** What is in the pool under the uuid of a base. */
export type BaseDisk = Pick<VdiRecord, 'type' | 'cbt_enabled' | 'snapshot_of' | 'snapshot_time'>;

export interface LevelFacts {
  readonly disks: readonly DiskNow[];
  readonly history: SavesetHistory;
  /** Bases of the history that the pool still has, by uuid. */
  readonly bases: ReadonlyMap<string, BaseDisk>;
  /** The pool's licence includes changed-block tracking. */
  readonly isTrackingLicensed: boolean;
  /** Some network of the pool carries NBD over TLS. */
  readonly hasNbd: boolean;
}

export interface DiskLevel {
  readonly disk: DiskNow;
  readonly level: BackupLevel;
  readonly reason: LevelReason;
  /** What it builds on; absent for a full. */
  readonly parent?: { readonly savesetId: string; readonly disk: MachineChainDisk; readonly baseId: string };
}

export interface LevelPlan {
  readonly form: StoredForm;
  /** Of the saveset. */
  readonly level: BackupLevel;
  readonly parent: ChainMember | undefined;
  /** Ids of what it builds on, the full first. */
  readonly ancestors: readonly string[];
  readonly disks: readonly DiskLevel[];
}

/** What is to be decided from: which saveset a new one builds on, before any disk is looked at. */
export interface LevelGround {
  readonly form: StoredForm;
  readonly wanted: 'full' | 'copy' | 'incremental' | 'differential';
  readonly parent: ChainMember | undefined;
  /** Why there is no parent. */
  readonly reason: LevelReason;
}

/**
 * Which saveset is built upon, if any. Pure.
 * @throws {BackupError} REQUEST_INVALID when the form can't carry the level.
 */
export function chooseGround({ level, form, maxChain }: LevelWish, history: SavesetHistory): LevelGround {
  const buildsOn = level === 'incremental' || level === 'differential';
  if (buildsOn && form === 'xva') {
    throw new BackupError('REQUEST_INVALID', `The level "${level}" needs format=disks; format=xva holds fulls only.`, {
      hint: 'Leave format out, or ask for a full.',
    });
  }
  const chosen = form ?? (buildsOn ? 'disks' : level === 'auto' && history.hasChain ? 'disks' : 'xva');
  if (level === 'full' || level === 'copy') {
    return { form: chosen, wanted: level, parent: undefined, reason: 'POLICY' };
  }
  if (chosen === 'xva') return { form: 'xva', wanted: 'full', parent: undefined, reason: 'POLICY' };
  const wanted = level === 'auto' ? 'incremental' : level;
  const newest = newestOf(history);
  const parent = newest === undefined || wanted === 'incremental' ? newest : rootOf(newest, history);
  if (parent === undefined) {
    // A chain's beginning is nobody's fault, unless something else was asked for.
    const reason = level === 'auto' && !history.hasChain ? 'POLICY' : 'BASE_MISSING';
    return { form: chosen, wanted, parent, reason };
  }
  const isLong = parent.chain.ancestors.length + 2 > maxChain;
  return isLong
    ? { form: chosen, wanted: 'full', parent: undefined, reason: 'POLICY' }
    : { form: chosen, wanted, parent, reason: 'POLICY' };
}

/** The level of each disk, and of the saveset that they make. Pure. One bad disk goes full alone. */
export function planLevels(wish: LevelWish, facts: LevelFacts): LevelPlan {
  const ground = chooseGround(wish, facts.history);
  const { form, wanted, parent } = ground;
  const disks = facts.disks.map((disk) => levelOf(disk, ground, facts));
  const buildsOn = parent !== undefined && disks.some(({ parent: base }) => base !== undefined);
  return {
    form,
    level: wanted === 'copy' ? 'copy' : buildsOn ? wanted : 'full',
    parent: buildsOn ? parent : undefined,
    ancestors: buildsOn ? [...parent.chain.ancestors, parent.record.savesetId] : [],
    disks,
  };
}

/** The same plan with one disk in full after all: the pool's answer came too late for the decision. Pure. */
export function withFull(plan: LevelPlan, position: string, reason: LevelReason): LevelPlan {
  const disks = plan.disks.map((one) =>
    one.disk.position === position ? { disk: one.disk, level: 'full' as const, reason } : one,
  );
  const buildsOn = disks.some(({ parent }) => parent !== undefined);
  return buildsOn ? { ...plan, disks } : { ...plan, disks, level: 'full', parent: undefined, ancestors: [] };
}

/** Disks that are saved in full although less was wanted. A disk that is new has nothing that it could build on. */
export function fallbacksOf({ disks }: Pick<LevelPlan, 'disks'>): readonly DiskLevel[] {
  return disks.filter(({ level, reason }) => level === 'full' && reason !== 'POLICY' && reason !== 'DISK_NEW');
}

/** One sentence for each disk that falls back. */
export function fallbackSentence({ disk, reason }: DiskLevel): string {
  return `The disk "${disk.name}" (${disk.position}) is saved in full: ${FULL_BECAUSE[reason]} (${reason}).`;
}

/** @throws {BackupError} LEVEL_UNAVAILABLE naming each disk and its reason. */
export function refuseFallbacks(machineName: string, fallbacks: readonly DiskLevel[]): never {
  const reasons = fallbacks.map(
    ({ disk, reason }) => `"${disk.name}" (${disk.position}): ${FULL_BECAUSE[reason]} (${reason})`,
  );
  throw new BackupError(
    'LEVEL_UNAVAILABLE',
    `"${machineName}" can't be saved at the level asked for, and onFullFallback=fail rules a full out. ${reasons.join('; ')}.`,
    {
      hint: 'Allow the full once with onFullFallback=warn, or ask for a full.',
      context: { disks: fallbacks.map(({ disk, reason }) => `${disk.position}: ${reason}`) },
    },
  );
}

function levelOf(disk: DiskNow, { wanted, parent, reason }: LevelGround, facts: LevelFacts): DiskLevel {
  if (wanted === 'copy') return { disk, level: 'copy', reason };
  const full = (why: LevelReason): DiskLevel => ({ disk, level: 'full', reason: why });
  if (wanted === 'full' || parent === undefined) return full(reason);
  const saved = parent.chain.disks.find(({ uuid }) => uuid === disk.id);
  if (saved === undefined) return full(whyUnknown(disk, parent));
  if (parent.record.disks.find(({ id }) => id === disk.id)?.sizeBytes !== disk.sizeBytes) return full('DISK_RESIZED');
  const { baseId } = saved;
  const base = baseId === undefined ? undefined : facts.bases.get(baseId);
  if (baseId === undefined || base === undefined) return full('BASE_MISSING');
  const verdict = judgeBase(disk, base, facts);
  if (verdict !== 'CBT_OK' && verdict !== 'SNAPSHOT_DIFFERENCE') return full(verdict);
  return { disk, level: wanted, reason: verdict, parent: { savesetId: parent.record.savesetId, disk: saved, baseId } };
}

/** A revert gives the machine other disks in the places of those it had; anything else is new. */
function whyUnknown(disk: DiskNow, { record }: ChainMember): LevelReason {
  const replaced = record.disks.find(({ position }) => position === disk.position);
  const isAlike = replaced?.name === disk.name && replaced.sizeBytes === disk.sizeBytes;
  return isAlike ? 'DISK_REVERTED' : 'DISK_NEW';
}

function judgeBase(disk: DiskNow, base: BaseDisk, { isTrackingLicensed, hasNbd }: LevelFacts): LevelReason {
  if (base.snapshot_of !== disk.ref) return 'DISK_REVERTED';
  const isBitmapOnly = base.type === 'cbt_metadata';
  if (disk.isTracked && base.cbt_enabled && hasNbd) return 'CBT_OK';
  if (!isBitmapOnly) return 'SNAPSHOT_DIFFERENCE';
  if (!disk.isTracked) {
    if (!disk.canBeTracked) return 'SR_WITHOUT_CBT';
    if (!isTrackingLicensed) return 'NO_LICENCE';
    return disk.hasLostTrack === true ? 'CBT_INVALID' : 'CBT_DISABLED';
  }
  return base.cbt_enabled ? 'NBD_UNAVAILABLE' : 'CBT_INVALID';
}
