import { inject, injectable } from 'inversify';
import { PoolConnection } from '../session/pool-connection.js';
import { NULL_REF, type RefOf } from '../xapi/xapi-records.js';
import { type RestoreWish } from './restore-options.js';
import { type MachineRestorePlan, planRestore, planTarget } from './restore-plan.js';
import { chooseStorage } from './storage-choice.js';

/** Looks at the pool and makes the plan. Changes nothing but the freshness of the storage's numbers. */
@injectable()
export class RestoreSurvey {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  /** @throws {BackupError} every refusal of a restore, before any byte has moved. */
  async plan(wish: RestoreWish, signal?: AbortSignal): Promise<MachineRestorePlan> {
    const options = signal === undefined ? {} : { signal };
    const [machines, storages, plugs, pools, networks, interfaces] = await Promise.all([
      this.pool.allRecords('VM', options),
      this.pool.allRecords('SR', options),
      this.pool.allRecords('PBD', options),
      this.pool.allRecords('pool', options),
      this.pool.allRecords('network', options),
      this.pool.allRecords('VIF', options),
    ]);
    const target = planTarget(wish, machines);
    const [pool] = [...pools.values()];
    const attached = new Set([...plugs.values()].filter((plug) => plug.currently_attached).map(({ SR }) => SR));
    const defaultStorage = pool?.default_SR ?? (NULL_REF as RefOf<'SR'>);
    const { ref } = chooseStorage(wish.storage, { storages, attached, defaultStorage });
    // The numbers of a storage are as old as its last scan (facts 8).
    await this.pool.callTask('SR.scan', [ref], options);
    const record = await this.pool.record('SR', ref, options);
    return planRestore(wish, target, { machines, networks, interfaces, storage: { ref, record } });
  }
}
