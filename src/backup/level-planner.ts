import { inject, injectable } from 'inversify';
import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { type HostLogger, type SavesetRecord } from '../contract/index.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { PoolConnection } from '../session/pool-connection.js';
import { messageNamesSince } from '../session/pool-messages.js';
import { RedactedLogger } from '../session/redact.js';
import { changedExtents } from '../transfer/disk-extents.js';
import { carriesNbd } from '../xapi/nbd-endpoint.js';
import { CHANGE_TRACKING } from '../xapi/storage-features.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, NULL_REF, type PoolRecord, type RefOf, type VdiRecord, xapiDateMs } from '../xapi/xapi-records.js';
import {
  type BaseDisk,
  chooseGround,
  type DiskLevel,
  type DiskNow,
  type LevelPlan,
  type LevelWish,
  planLevels,
} from './level-plan.js';
import { type BackupSubject, readHistory, type StoredForm } from './saveset-history.js';

/** What a plan of levels is made for. */
export interface LevelQuestion {
  /** Without the disks that are left out. */
  readonly machine: Machine;
  readonly subject: BackupSubject;
  readonly wish: LevelWish;
  readonly history: readonly SavesetRecord[];
  readonly pool: PoolRecord | undefined;
  readonly forceHttps: boolean;
}

/** The plan, and what it was decided from as far as later steps need it. */
export interface PlannedLevels {
  readonly plan: LevelPlan;
  /** Ids of all savesets of the history. */
  readonly historyIds: ReadonlySet<string>;
  readonly hasNbd: boolean;
  readonly isTrackingLicensed: boolean;
}

/** Asks the pool what the levels of a machine's disks depend on, and switches the tracking of changes on. */
@injectable()
export class LevelPlanner {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'levels' });
  }

  /** The form that a backup will have. @throws {BackupError} REQUEST_INVALID */
  formOf({ wish, history, subject }: Pick<LevelQuestion, 'wish' | 'history' | 'subject'>): StoredForm {
    return chooseGround(wish, readHistory(history, subject)).form;
  }

  /**
   * Changes nothing.
   * @throws {BackupError} REQUEST_INVALID when form and level contradict each other.
   */
  async plan(question: LevelQuestion, signal: AbortSignal): Promise<PlannedLevels> {
    const { machine, subject, wish, pool } = question;
    const history = readHistory(question.history, subject);
    const ground = chooseGround(wish, history);
    const isTrackingLicensed = pool?.restrictions.restrict_cbt !== 'true';
    if (ground.form === 'xva') {
      const disks = disksOf(machine).map((disk) => toDiskNow(disk, false));
      const facts = { disks, history, bases: new Map<string, BaseDisk>(), isTrackingLicensed, hasNbd: false };
      return { plan: planLevels(wish, facts), historyIds: history.ids, hasNbd: false, isTrackingLicensed };
    }
    const baseIds = (ground.parent?.chain.disks ?? []).flatMap(({ baseId }) => (baseId === undefined ? [] : [baseId]));
    const [bases, trackable, hasNbd] = await Promise.all([
      this.#bases(baseIds, signal),
      this.#trackableTypes(signal),
      this.#hasNbd(question.forceHttps, signal),
    ]);
    const disks = disksOf(machine).map((disk) => {
      const type = machine.storages.get(disk.medium.record.SR)?.type ?? '';
      return toDiskNow(disk, trackable.has(type));
    });
    const facts = { disks, history, bases, isTrackingLicensed, hasNbd };
    const lost = await this.#lostTrack(planLevels(wish, facts), bases, signal);
    const told = disks.map((disk) => ({ ...disk, hasLostTrack: lost.has(disk.id) }));
    return { plan: planLevels(wish, { ...facts, disks: told }), historyIds: history.ids, hasNbd, isTrackingLicensed };
  }

  /**
   * Switches the tracking of changes on where it is off and can be on. What the pool refuses is no failure: the next backup
   * of that disk says why it is a full.
   * @returns positions of the disks that are tracked from now on.
   */
  async track({ plan, isTrackingLicensed }: PlannedLevels, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const started = new Set<string>();
    if (plan.level === 'copy' || !isTrackingLicensed) return started;
    for (const { disk } of plan.disks) {
      if (disk.isTracked || !disk.canBeTracked) continue;
      try {
        await this.pool.call('VDI.enable_cbt', [disk.ref], { signal, isIdempotent: true });
        started.add(disk.position);
      } catch (error) {
        if (!isXapiError(error)) throw error;
        this.#logger.warn('Changed-block tracking could not be switched on.', { disk: disk.id, code: error.code });
      }
    }
    return started;
  }

  /**
   * How much of each disk would be read, by position, as far as that can be known without a snapshot; undefined where it
   * can't. Changes nothing.
   */
  async costs(
    { plan }: PlannedLevels,
    disks: readonly MachineDisk[],
    history: readonly SavesetRecord[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number | undefined>> {
    const costs = new Map<string, number | undefined>();
    for (const { disk, parent, reason } of plan.disks) {
      const record = disks.find(({ medium }) => medium.ref === disk.ref)?.medium.record;
      const isKnown = parent === undefined && record !== undefined;
      const changed = reason === 'CBT_OK' ? await this.#changedBytes(parent?.baseId, disk, signal) : undefined;
      costs.set(disk.position, isKnown ? allocatedBytes(record) : (changed ?? lastIncrement(parent, history)));
    }
    return costs;
  }

  /** A machine at work has its disks attached: then the pool can't compare them with anything (facts 7.1). */
  async #changedBytes(baseId: string | undefined, disk: DiskNow, signal: AbortSignal): Promise<number | undefined> {
    try {
      const base = await this.baseRef(baseId ?? '', signal);
      const bitmap = await this.pool.call<string>('VDI.list_changed_blocks', [base, disk.ref], { signal });
      return changedExtents(bitmap, disk.sizeBytes).totalBytes;
    } catch (error) {
      if (isXapiError(error)) return undefined;
      throw error;
    }
  }

  /**
   * Disks whose tracking somebody switched off, as it seems, but that the storage gave up by itself: it does so by the same
   * switch, and says so in a message about the disk (facts 7.1).
   */
  async #lostTrack(
    { disks }: LevelPlan,
    bases: ReadonlyMap<string, BaseDisk>,
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const lost = new Set<string>();
    for (const { disk, reason } of disks) {
      const base = [...bases.values()].find(({ snapshot_of: of }) => of === disk.ref);
      if (reason !== 'CBT_DISABLED' || base === undefined) continue;
      // Dates are whole seconds.
      const sinceMs = xapiDateMs(base.snapshot_time) - 1000;
      const names = await messageNamesSince(this.pool, { cls: 'VDI', uuid: disk.id }, sinceMs, signal);
      if (names.some((name) => name.startsWith('VDI_CBT_'))) lost.add(disk.id);
    }
    return lost;
  }

  /** Those that the pool still has; what is gone is left out. */
  async #bases(uuids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, BaseDisk>> {
    const refs = await Promise.all(uuids.map((uuid) => this.baseRef(uuid, signal)));
    const known = refs.filter((ref) => !isNullRef(ref)).map((ref) => ({ cls: 'VDI', ref }) as const);
    const records = await this.pool.records(known, { signal });
    return new Map([...records.values()].map((record) => [record.uuid, record]));
  }

  /** The null reference when the pool has no disk of that uuid. */
  async baseRef(uuid: string, signal: AbortSignal): Promise<RefOf<'VDI'>> {
    try {
      return await this.pool.call<RefOf<'VDI'>>('VDI.get_by_uuid', [uuid], { signal });
    } catch (error) {
      if (isXapiError(error, 'UUID_INVALID', 'HANDLE_INVALID')) return NULL_REF as RefOf<'VDI'>;
      throw error;
    }
  }

  async #trackableTypes(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const drivers = await this.pool.allRecords('SM', { signal });
    return new Set(
      [...drivers.values()]
        .filter(({ capabilities }) => capabilities.includes(CHANGE_TRACKING))
        .map(({ type }) => type),
    );
  }

  async #hasNbd(forceHttps: boolean, signal: AbortSignal): Promise<boolean> {
    const isPlainAllowed = this.settings.dataTransport === 'http' && !forceHttps;
    const networks = await this.pool.allRecords('network', { signal });
    return [...networks.values()].some(({ purpose }) => carriesNbd(purpose, isPlainAllowed));
  }
}

/** Some storages report no use at all; then the size is the best guess. */
export function allocatedBytes({ physical_utilisation: used, virtual_size: size }: VdiRecord): number {
  return used > 0 ? Math.min(used, size) : size;
}

/** What the last increment of the disk took is the best guess for the next one. */
function lastIncrement(parent: DiskLevel['parent'], history: readonly SavesetRecord[]): number | undefined {
  if (parent?.disk.parent === undefined) return undefined;
  const saveset = history.find(({ savesetId }) => savesetId === parent.savesetId);
  return saveset?.items.find(({ name }) => name === parent.disk.item)?.bytes;
}

function toDiskNow({ record: device, medium: { ref, record: disk } }: MachineDisk, canBeTracked: boolean): DiskNow {
  return {
    id: disk.uuid,
    ref,
    name: disk.name_label,
    position: device.userdevice,
    sizeBytes: disk.virtual_size,
    isTracked: disk.cbt_enabled,
    canBeTracked,
  };
}
