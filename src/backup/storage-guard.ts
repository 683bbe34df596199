import { inject, injectable } from 'inversify';
import { disksOf, type Machine } from '../browser/machine.js';
import { Clock } from '../common/clock.js';
import { BackupError } from '../contract/index.js';
import { PoolConnection } from '../session/pool-connection.js';
import { StorageScans } from '../session/storage-scans.js';
import { isNullRef, NULL_REF, type RefOf } from '../xapi/xapi-records.js';
import { type BackupOptions } from './backup-options.js';
import { chainsOf, chainTrouble, hasChain } from './disk-chain.js';
import { type MachineBackupPlan } from './machine-backup-plan.js';
import { noRoom, type RoomNeed, snapshotNeeds, unmetNeed } from './storage-room.js';

/** How often a chain that is too long is looked at again. */
const CHAIN_POLL_MS = 15_000;

type GuardOptions = Pick<BackupOptions, 'space' | 'chain' | 'chainTimeoutMs'>;
type Warn = (code: string, message: string) => void;

/** Looks at the storages of a machine before a snapshot is made there, so that none is begun that can't end well. */
@injectable()
export class StorageGuard {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(StorageScans) private readonly scans: StorageScans,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Resolves when a snapshot may be made.
   * @throws {BackupError} STORAGE_FULL with the numbers; SOURCE_BUSY for chains that are too long.
   */
  async admit(
    machine: Machine,
    plan: MachineBackupPlan,
    options: GuardOptions,
    warn: Warn,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#chains(machine, options, warn, signal);
    if (options.space === 'check') await this.#room(machine, plan, warn, signal);
  }

  async #room(machine: Machine, plan: MachineBackupPlan, warn: Warn, signal: AbortSignal): Promise<void> {
    const memory = plan.method === 'checkpoint' ? await this.#memoryNeed(machine, signal) : undefined;
    const needs = snapshotNeeds(machine, memory);
    await Promise.all(needs.map(({ storage }) => this.#scan(storage, machine, warn, signal)));
    const fresh = await this.pool.records(
      needs.map(({ storage }) => ({ cls: 'SR', ref: storage }) as const),
      { signal },
    );
    const unmet = unmetNeed(needs, fresh);
    if (unmet !== undefined) throw await this.#refusal(machine, unmet, signal);
  }

  /** Numbers that can't be made fresh are old, not wrong: the backup goes on with them. */
  async #scan(storage: RefOf<'SR'>, machine: Machine, warn: Warn, signal: AbortSignal): Promise<void> {
    try {
      await this.scans.refresh(storage, signal);
    } catch (error) {
      signal.throwIfAborted();
      const name = machine.storages.get(storage)?.name_label ?? 'for memory';
      const reason = error instanceof Error ? error.message : 'unknown';
      warn(
        'STORAGE_NOT_SCANNED',
        `The storage "${name}" could not be scanned; its free space may be out of date: ${reason}`,
      );
    }
  }

  /** Memory goes to the machine's own storage for it, else to the pool's. */
  async #memoryNeed(
    { record }: Machine,
    signal: AbortSignal,
  ): Promise<{ readonly storage: RefOf<'SR'>; readonly bytes: number } | undefined> {
    const { pool } = await this.pool.poolAndHosts({ signal });
    const wanted = [record.suspend_SR, pool?.suspend_image_SR, pool?.default_SR];
    const storage = wanted.find((ref) => ref !== undefined && !isNullRef(ref)) ?? (NULL_REF as RefOf<'SR'>);
    return isNullRef(storage) ? undefined : { storage, bytes: record.memory_static_max };
  }

  async #refusal(
    { record }: Machine,
    unmet: RoomNeed & { readonly freeBytes: number },
    signal: AbortSignal,
  ): Promise<BackupError> {
    const [storages, plugs] = await Promise.all([
      this.pool.allRecords('SR', { signal }),
      this.pool.allRecords('PBD', { signal }),
    ]);
    const attached = new Set([...plugs.values()].filter((plug) => plug.currently_attached).map(({ SR }) => SR));
    return noRoom(record.name_label, unmet, { storages, attached });
  }

  async #chains(
    machine: Machine,
    { chain, chainTimeoutMs }: GuardOptions,
    warn: Warn,
    signal: AbortSignal,
  ): Promise<void> {
    if (!disksOf(machine).some(({ medium }) => hasChain(medium.record))) return;
    let trouble = await this.#chainTrouble(machine, signal);
    const looks = chain === 'wait' ? Math.ceil(chainTimeoutMs / CHAIN_POLL_MS) : 0;
    for (let look = 0; look < looks && trouble !== undefined; look += 1) {
      await this.clock.sleep(CHAIN_POLL_MS, signal);
      trouble = await this.#chainTrouble(machine, signal);
    }
    if (trouble === undefined) return;
    if (chain === 'force') {
      warn('CHAIN_TOO_LONG', `${trouble} The snapshot is made all the same.`);
      return;
    }
    const waited = chain === 'wait' ? ` It stayed so for ${chainTimeoutMs / 1000} s.` : '';
    throw new BackupError(
      'SOURCE_BUSY',
      `${trouble}${waited} "${machine.record.name_label}" is left out of this run.`,
      {
        hint: 'Give the storage time to coalesce, delete snapshots that are not needed, or use chain=force.',
        isRetriable: true,
      },
    );
  }

  /** Read anew each time: merging changes the images, and which disk builds on which. */
  async #chainTrouble(machine: Machine, signal: AbortSignal): Promise<string | undefined> {
    const storages = [...new Set(disksOf(machine).map(({ medium }) => medium.record.SR))];
    const fresh = await this.pool.records(
      storages.map((ref) => ({ cls: 'SR', ref }) as const),
      { signal },
    );
    const refs = [...fresh.values()].flatMap(({ VDIs }) => VDIs);
    const images = await this.pool.records(
      refs.map((ref) => ({ cls: 'VDI', ref }) as const),
      { signal },
    );
    const disks = disksOf(machine).map(({ medium }) => images.get(medium.ref) ?? medium.record);
    return chainTrouble(chainsOf(disks, images.values()));
  }
}
