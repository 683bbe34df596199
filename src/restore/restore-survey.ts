import { inject, injectable } from 'inversify';
import { loadMachine } from '../browser/machine.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { NULL_REF, type RefOf, type SrRecord, type VmRecord } from '../xapi/xapi-records.js';
import { storagesInQuestion } from './disk-places.js';
import { chooseHost } from './host-choice.js';
import { type RestoreWish } from './restore-options.js';
import { doublesOf, isAwake, type MachineRestorePlan, planRestore } from './restore-plan.js';
import { planTarget } from './restore-target.js';
import { chooseStorage, type StorageSituation } from './storage-choice.js';

/** Looks at the pool and makes the plan. Changes nothing but the freshness of the storage's numbers. */
@injectable()
export class RestoreSurvey {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  /** @throws {BackupError} every refusal of a restore, before any byte has moved. */
  async plan(wish: RestoreWish, signal?: AbortSignal): Promise<MachineRestorePlan> {
    const options = signal === undefined ? {} : { signal };
    const [machines, storages, plugs, pools, networks, interfaces, cards, hosts] = await Promise.all([
      this.pool.allRecords('VM', options),
      this.pool.allRecords('SR', options),
      this.pool.allRecords('PBD', options),
      this.pool.allRecords('pool', options),
      this.pool.allRecords('network', options),
      this.pool.allRecords('VIF', options),
      this.pool.allRecords('PIF', options),
      this.pool.allRecords('host', options),
    ]);
    const target = planTarget(wish, machines);
    const host = wish.host === undefined ? undefined : chooseHost(wish.host, { hosts, cards });
    const [pool] = [...pools.values()];
    const plugged = [...plugs.values()].filter((plug) => plug.currently_attached);
    const seen = plugged.filter((plug) => host === undefined || plug.host === host.ref);
    const attached = new Set(seen.map(({ SR }) => SR));
    const defaultStorage = pool?.default_SR ?? (NULL_REF as RefOf<'SR'>);
    const storageSituation = await this.#scanned(
      wish,
      { storages, attached, defaultStorage, hostName: host?.record.name_label },
      signal,
    );
    const { existing } = target;
    return planRestore(wish, target, {
      ...storageSituation,
      machines,
      networks,
      interfaces,
      cards,
      host,
      existing:
        existing === undefined ? undefined : await loadMachine(this.pool, existing.ref, existing.record, options),
    });
  }

  /**
   * The numbers of a storage are as old as its last scan (facts 8). A storage that nobody named and that can't be scanned
   * is no choice.
   */
  async #scanned(wish: RestoreWish, situation: StorageSituation, signal?: AbortSignal): Promise<StorageSituation> {
    const options = signal === undefined ? {} : { signal };
    const named = new Set([
      ...wish.storages.map(({ to }) => to),
      ...(wish.storage === undefined ? [] : [wish.storage]),
    ]);
    const wanted = new Set([...named].map((name) => chooseStorage(name, situation).ref));
    const asked = [...storagesInQuestion({ ...wish, rules: wish.storages }, situation)];
    const attached = new Set(situation.attached);
    const fresh = await Promise.all(
      asked.map(async (ref): Promise<readonly [RefOf<'SR'>, SrRecord][]> => {
        try {
          await this.pool.callTask('SR.scan', [ref], options);
          return [[ref, await this.pool.record('SR', ref, options)]];
        } catch (error) {
          const isOnlyOriginal = !wanted.has(ref) && ref !== situation.defaultStorage;
          if (!isXapiError(error) || !isOnlyOriginal) throw error;
          attached.delete(ref);
          return [];
        }
      }),
    );
    return { ...situation, attached, storages: new Map([...situation.storages, ...fresh.flat()]) };
  }

  /** A machine that is awake and has a MAC address of this one: both on a network would harm each other. */
  async awakeDouble(ref: RefOf<'VM'>, signal?: AbortSignal): Promise<VmRecord | undefined> {
    const options = signal === undefined ? {} : { signal };
    const [machines, interfaces] = await Promise.all([
      this.pool.allRecords('VM', options),
      this.pool.allRecords('VIF', options),
    ]);
    const own = [...interfaces.values()].filter(({ VM }) => VM === ref).map(({ MAC }) => ({ mac: MAC }));
    return doublesOf(own, ref, { machines, interfaces }).find(isAwake);
  }
}
