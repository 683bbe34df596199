import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type HostLogger, type SavesetRecord } from '../contract/index.js';
import { ActiveRuns } from '../session/active-runs.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { RedactedLogger } from '../session/redact.js';
import { SourceIdentity } from '../session/source-identity.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type BaseSet, findBases, isHalfMade, isOfMachine, type Records, whyUseless } from './base-inventory.js';
import { chainOf } from './saveset-history.js';

/** Keeps what increments build on: moves the base when a saveset is stored, and never before. */
@injectable()
export class BaseKeeper {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'bases' });
  }

  /**
   * The host's word on a saveset. Repeating it does nothing, and what is gone already is fine. A saveset that left no base
   * is none of its business.
   */
  async settle(record: SavesetRecord, outcome: 'stored' | 'discarded', signal: AbortSignal): Promise<void> {
    const chain = chainOf(record);
    if (chain === undefined) return;
    const { sets, disks } = await this.#own(signal);
    const own = sets.filter(({ savesetId }) => savesetId === record.savesetId);
    if (outcome === 'discarded') {
      for (const set of own) await this.discard(set);
      return;
    }
    for (const set of own) await this.keep(set);
    // Only when the new base is safe do the old ones go.
    if (own.length === 0) return;
    for (const set of sets) {
      if (chain.supersedes.includes(set.savesetId)) await this.discard(set);
      else if (chain.ancestors.includes(set.savesetId)) await this.#prune(set, disks);
    }
  }

  /** Of what is kept for later: bases of disks that are gone, as after a restore over the machine. */
  async #prune({ savesetId, disks: bases }: BaseSet, disks: Records<'VDI'>): Promise<void> {
    for (const base of bases) {
      const why = whyUseless(base, disks);
      if (why === undefined) continue;
      this.#logger.info('A base is removed that nothing can build on.', { saveset: savesetId, why });
      await this.own.destroyDisk(base.ref);
    }
  }

  /**
   * Ends what a crash has left half done for a machine: a base whose saveset is among the stored ones is settled, one that
   * is not and whose host had its time goes.
   */
  async finish(
    machine: RefOf<'VM'>,
    disks: ReadonlySet<string>,
    history: readonly SavesetRecord[],
    signal: AbortSignal,
  ): Promise<void> {
    for (const set of (await this.#own(signal)).sets) {
      if (!isOfMachine(set, machine, disks)) continue;
      const record = history.find(({ savesetId }) => savesetId === set.savesetId);
      if (record !== undefined) {
        if (!set.isSettled || isHalfMade(set)) {
          this.#logger.info('A base is settled late.', { saveset: set.savesetId });
          await this.settle(record, 'stored', signal);
        }
      } else if (!set.isSettled && !this.isPending(set)) {
        this.#logger.info('A base whose saveset was never stored is removed.', { saveset: set.savesetId });
        await this.discard(set);
      }
    }
  }

  /** True while the host may still say what became of the saveset. */
  isPending({ savesetId, aliveUntilMs }: BaseSet): boolean {
    return this.runs.stateOf(savesetId) === 'running' || aliveUntilMs > this.clock.nowMs();
  }

  /** Makes a base out of a snapshot: what can be had again by a full goes, the bitmap or the snapshot's disk stays. */
  async keep({ savesetId, snapshot, disks }: BaseSet): Promise<void> {
    for (const { ref } of disks) await this.own.markSettled(ref, savesetId);
    if (snapshot !== undefined) {
      const others = await this.own.ownDisks(snapshot.record);
      const kept = new Set<string>(disks.map(({ ref }) => ref));
      for (const ref of others) if (!kept.has(ref)) await this.own.destroyDisk(ref);
      await this.own.destroyRecord(snapshot.ref);
    }
    for (const { ref, keep } of disks) if (keep === 'metadata') await this.own.destroyData(ref);
  }

  /** Removes a base with all that belongs to it. */
  async discard({ snapshot, disks }: BaseSet): Promise<void> {
    if (snapshot !== undefined) await this.own.destroyMachine(snapshot.ref);
    for (const { ref } of disks) await this.own.destroyDisk(ref);
  }

  /** The bases that this host has left in the pool, and all disks. */
  async #own(signal: AbortSignal): Promise<{ readonly sets: readonly BaseSet[]; readonly disks: Records<'VDI'> }> {
    const [machines, disks] = await Promise.all([
      this.pool.allRecords('VM', { signal }),
      this.pool.allRecords('VDI', { signal }),
    ]);
    return { sets: findBases(machines, disks).filter(({ host }) => host === this.identity.hostId), disks };
  }
}
