import { inject, injectable } from 'inversify';
import { loadMachine } from '../browser/machine.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type HostRecord, NULL_REF, type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { freshStorage } from './fresh-storage.js';
import { chooseHost } from './host-choice.js';
import { type KnownRelease } from './release-order.js';
import { type RestoreWish } from './restore-options.js';
import { doublesOf, isAwake, type MachineRestorePlan, planRestore } from './restore-plan.js';
import { planTarget } from './restore-target.js';

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
    const storageSituation = await freshStorage(
      this.pool,
      { ...wish, rules: wish.storages },
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
      release: releaseOf(pool === undefined ? undefined : hosts.get(pool.master)),
      existing: existing === undefined ? undefined : await loadMachine(this.pool, existing, options),
    });
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

function releaseOf(coordinator: HostRecord | undefined): KnownRelease {
  const { product_brand: brand = '', product_version: version = '' } = coordinator?.software_version ?? {};
  return { brand, version };
}
