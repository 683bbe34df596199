import { inject, injectable } from 'inversify';
import { BaseKeeper } from '../backup/base-keeper.js';
import { Clock } from '../common/clock.js';
import { type HostLogger, type ReconcileReport } from '../contract/index.js';
import { Overwriter } from '../restore/overwriter.js';
import { PowerSwitch } from '../restore/power-switch.js';
import { JOURNAL_DONE_KEY } from '../restore/machine-state.js';
import { ActiveRuns } from '../session/active-runs.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { messageNamesSince } from '../session/pool-messages.js';
import { RedactedLogger } from '../session/redact.js';
import { runsOfLivingProcesses } from '../session/run-process.js';
import { SourceIdentity } from '../session/source-identity.js';
import { planBases } from './reconcile-bases.js';
import { type AbandonedMachine, planOffline } from './reconcile-offline.js';
import { type Finding, planOverwrites, planRemovals, type ReconcileSituation } from './reconcile-plan.js';

interface Ledger {
  readonly removed: Finding[];
  readonly repaired: Finding[];
  readonly kept: Finding[];
}

/** Takes away what runs of this host have left behind, and nothing else. */
@injectable()
export class Reconciler {
  readonly #logger: HostLogger;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(Overwriter) private readonly overwriter: Overwriter,
    @inject(PowerSwitch) private readonly power: PowerSwitch,
    @inject(BaseKeeper) private readonly bases: BaseKeeper,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(SourceIdentity) private readonly identity: SourceIdentity,
    @inject(Clock) private readonly clock: Clock,
    @inject(RedactedLogger) logger: HostLogger,
  ) {
    this.#logger = logger.child({ part: 'reconcile' });
  }

  /** How many objects a run would remove or repair. Changes nothing. */
  async countLeftovers(signal: AbortSignal): Promise<number> {
    const situation = await this.#look(signal);
    const { interrupted, strayKeys, keptRuns } = planOverwrites(situation);
    const { machines, disks, staleMarks } = planRemovals(situation, keptRuns);
    const { discarded, unfinished, useless } = planBases(situation);
    const { starts, marks } = planOffline(situation);
    const lists = [interrupted, strayKeys, machines, disks, staleMarks, discarded, unfinished, useless, starts, marks];
    return lists.reduce((sum, { length }) => sum + length, 0);
  }

  /** What can't be removed now is reported as kept, with the reason; the rest goes on. */
  async run(signal: AbortSignal): Promise<ReconcileReport> {
    const ledger: Ledger = { removed: [], repaired: [], kept: [] };
    const overwrites = planOverwrites(await this.#look(signal));
    ledger.kept.push(...overwrites.kept);
    const keptRuns = new Set(overwrites.keptRuns);
    for (const { overwrite, finding } of overwrites.interrupted) {
      const isRepaired = await this.#try(ledger, 'repaired', finding, signal, () =>
        overwrite.isDone ? this.overwriter.finish(overwrite) : this.overwriter.rollBack(overwrite),
      );
      if (!isRepaired) keptRuns.add(overwrite.journal.run);
    }
    for (const { ref, finding } of overwrites.strayKeys) {
      await this.#try(ledger, 'repaired', finding, signal, () =>
        this.pool.call('VM.remove_from_other_config', [ref, JOURNAL_DONE_KEY], { isIdempotent: true }),
      );
    }
    // Only now: an undone overwrite has given its disks free.
    const removals = planRemovals(await this.#look(signal), keptRuns);
    ledger.kept.push(...removals.kept);
    for (const { ref, finding } of removals.machines) {
      await this.#try(ledger, 'removed', finding, signal, () => this.own.destroyMachine(ref));
    }
    for (const { ref, finding } of removals.disks) {
      await this.#try(ledger, 'removed', finding, signal, () => this.own.destroyDisk(ref));
    }
    for (const { ref, finding } of removals.staleMarks) {
      await this.#try(ledger, 'repaired', finding, signal, () => this.own.unmark('VDI', ref));
    }
    await this.#bases(ledger, signal);
    await this.#offline(ledger, signal);
    return ledger;
  }

  /** Last: by now the disks of such a machine are free of what broken-off runs had hung on them. */
  async #offline(ledger: Ledger, signal: AbortSignal): Promise<void> {
    const { starts, marks, kept } = planOffline(await this.#look(signal));
    ledger.kept.push(...kept);
    for (const machine of starts) {
      if (await this.#wasStartedSince(machine, signal)) {
        const why = 'was started and stopped again since its backup broke off; it stays as it is';
        await this.#try(ledger, 'repaired', { ...machine.finding, why }, signal, () =>
          this.own.unmark('VM', machine.ref),
        );
      } else {
        await this.#try(ledger, 'repaired', machine.finding, signal, async () => {
          await this.power.start(machine.ref);
          await this.own.unmark('VM', machine.ref);
        });
      }
    }
    for (const { ref, finding } of marks) {
      await this.#try(ledger, 'repaired', finding, signal, () => this.own.unmark('VM', ref));
    }
  }

  /** The pool notes every start of a machine; by its clock and ours, which may differ a little. */
  async #wasStartedSince({ record, sinceMs }: AbandonedMachine, signal: AbortSignal): Promise<boolean> {
    const names = await messageNamesSince(this.pool, { cls: 'VM', uuid: record.uuid }, sinceMs, signal);
    return names.some((name) => /^VM_(STARTED|RESUMED)$/.test(name));
  }

  /** Looked at anew: what broken-off runs had marked is gone by now. */
  async #bases(ledger: Ledger, signal: AbortSignal): Promise<void> {
    const { discarded, unfinished, useless, kept } = planBases(await this.#look(signal));
    ledger.kept.push(...kept);
    for (const { set, finding } of discarded) {
      await this.#try(ledger, 'removed', finding, signal, () => this.bases.discard(set));
    }
    for (const { set, finding } of unfinished) {
      await this.#try(ledger, 'repaired', finding, signal, () => this.bases.keep(set));
    }
    for (const { base, finding } of useless) {
      await this.#try(ledger, 'removed', finding, signal, () => this.own.destroyDisk(base.ref));
    }
  }

  async #look(signal: AbortSignal): Promise<ReconcileSituation> {
    const [machines, disks] = await Promise.all([
      this.pool.allRecords('VM', { signal }),
      this.pool.allRecords('VDI', { signal }),
    ]);
    // A lease is as good as the clocks; a process that lives is no matter of clocks.
    const living = runsOfLivingProcesses([...machines.values(), ...disks.values()]);
    return {
      machines,
      disks,
      hostId: this.identity.hostId,
      nowMs: this.clock.nowMs(),
      stateOf: (run) => (living.has(run) ? 'running' : this.runs.stateOf(run)),
    };
  }

  async #try(
    ledger: Ledger,
    list: 'removed' | 'repaired',
    finding: Finding,
    signal: AbortSignal,
    work: () => Promise<unknown>,
  ): Promise<boolean> {
    signal.throwIfAborted();
    try {
      await work();
      ledger[list].push(finding);
      this.#logger.info(`${list}: ${finding.kind} ${finding.id}`, { name: finding.name, why: finding.why });
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      ledger.kept.push({ ...finding, why: `${finding.why}; but it failed: ${reason}` });
      this.#logger.warn(`kept: ${finding.kind} ${finding.id}`, { name: finding.name, reason });
      return false;
    }
  }
}
