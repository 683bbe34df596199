import { inject, injectable } from 'inversify';
import { resolveMachine } from '../browser/source-name.js';
import { PoolConnection } from '../session/pool-connection.js';
import { isNullRef, NULL_REF, type RefOf } from '../xapi/xapi-records.js';
import { type DiskRestoreWish } from './disk-restore-options.js';
import { assertTakesDisk, type DiskHolder, type DiskRestorePlan, planDiskRestore } from './disk-restore-plan.js';
import { freshStorage } from './fresh-storage.js';

/** Looks at the pool and plans the restore of one disk. Changes nothing but the freshness of the storage's numbers. */
@injectable()
export class DiskRestoreSurvey {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  /** @throws {BackupError} every refusal of such a restore, before any byte has moved. */
  async plan(wish: DiskRestoreWish, signal?: AbortSignal): Promise<DiskRestorePlan> {
    const options = signal === undefined ? {} : { signal };
    const holder = wish.attachTo === undefined ? undefined : await this.#holder(wish.attachTo, signal);
    const [storages, plugs, pools] = await Promise.all([
      this.pool.allRecords('SR', options),
      this.pool.allRecords('PBD', options),
      this.pool.allRecords('pool', options),
    ]);
    const host = await this.#hostOf(holder, signal);
    const seen = [...plugs.values()].filter(
      (plug) => plug.currently_attached && (host === undefined || plug.host === host.ref),
    );
    const [pool] = [...pools.values()];
    const situation = await freshStorage(
      this.pool,
      { disks: [wish.disk], rules: [], storage: wish.storage },
      {
        storages,
        attached: new Set(seen.map(({ SR }) => SR)),
        defaultStorage: pool?.default_SR ?? (NULL_REF as RefOf<'SR'>),
        hostName: host?.name,
      },
      signal,
    );
    return planDiskRestore(wish, holder, situation);
  }

  async #holder(name: string, signal?: AbortSignal): Promise<DiskHolder> {
    const options = signal === undefined ? {} : { signal };
    const machines = await this.pool.allRecords('VM', options);
    const record = resolveMachine(name, machines.values());
    const [ref] = [...machines].find(([, one]) => one.uuid === record.uuid) ?? [NULL_REF as RefOf<'VM'>];
    const holder = { ref, record };
    assertTakesDisk(holder, await this.pool.call<readonly string[]>('VM.get_allowed_VBD_devices', [ref], options));
    return holder;
  }

  /** A disk for a machine that runs must be where the machine is. */
  async #hostOf(
    holder: DiskHolder | undefined,
    signal?: AbortSignal,
  ): Promise<{ readonly ref: RefOf<'host'>; readonly name: string } | undefined> {
    const ref = holder?.record.resident_on ?? (NULL_REF as RefOf<'host'>);
    if (holder?.record.power_state !== 'Running' || isNullRef(ref)) return undefined;
    const { name_label: name } = await this.pool.record('host', ref, signal === undefined ? {} : { signal });
    return { ref, name };
  }
}
