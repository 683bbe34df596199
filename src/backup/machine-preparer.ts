import { inject, injectable } from 'inversify';
import { type Machine } from '../browser/machine.js';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type RunIdentity } from '../session/run-marks.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf } from '../xapi/xapi-records.js';
import { type BackupOptions } from './backup-options.js';
import { type ConsistencyDecision, fallBack } from './consistency-plan.js';
import { type MachineBackupPlan, replan } from './machine-backup-plan.js';
import { ShutdownKeeper } from './shutdown-keeper.js';
import { SnapshotKeeper, type SnapshotKind } from './snapshot-keeper.js';
import { StorageGuard } from './storage-guard.js';

/** Refusals that say: not by this method. A plain snapshot may well work. */
const NOT_BY_THIS_METHOD =
  /^(VM_SNAPSHOT_WITH_QUIESCE_.*|XEN_VSS_REQ_ERROR_.*|MESSAGE_REMOVED|MESSAGE_METHOD_UNKNOWN|LICENCE_RESTRICTION|FEATURE_RESTRICTED|VM_LACKS_FEATURE|VM_NON_SUSPENDABLE|VM_MISSING_PV_DRIVERS|VM_OLD_PV_DRIVERS|VM_NO_SUSPEND_SR|VM_HAS_PCI_ATTACHED|VM_HAS_VGPU|VM_CHECKPOINT_SUSPEND_FAILED)$/;

/** What a preparation needs of the backup it belongs to. */
export interface PreparationRun {
  readonly identity: RunIdentity;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  readonly warn: (code: string, message: string) => void;
  readonly onSnapshot: () => void;
}

/** What is to be exported, and how it came to be in the end. */
export interface PreparedMachine {
  readonly ref: RefOf<'VM'>;
  readonly plan: MachineBackupPlan;
}

/** A machine that was shut down, or was asked to. */
interface Down {
  readonly plan: MachineBackupPlan;
  /** The room for its snapshot was looked at. */
  readonly isAdmitted: boolean;
  readonly startAgain: () => Promise<void>;
}

/** Brings a machine's data to rest: by shutting it down, by a snapshot of the planned kind, or not at all. */
@injectable()
export class MachinePreparer {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(SnapshotKeeper) private readonly snapshots: SnapshotKeeper,
    @inject(ShutdownKeeper) private readonly shutdowns: ShutdownKeeper,
    @inject(StorageGuard) private readonly guard: StorageGuard,
  ) {}

  async prepare(
    machine: Machine,
    planned: MachineBackupPlan,
    options: BackupOptions,
    run: PreparationRun,
  ): Promise<PreparedMachine> {
    const isDown = planned.method === 'shutdown' || planned.method === 'force-shutdown';
    if (!isDown) return await this.#finish(machine, planned, options, run, undefined);
    // A snapshot of the machine at rest is made in moments; then it may run again while that is read.
    const isShort = options.offline === 'short' || planned.needsSnapshot;
    const wanted: MachineBackupPlan = isShort ? { ...planned, needsSnapshot: true, way: 'snapshot' } : planned;
    // What a snapshot needs is looked at while the machine still runs.
    if (isShort) await this.guard.admit(machine, wanted, options, run.warn, run.signal);
    const down = await this.#shutDown(machine, wanted, options, run);
    return await this.#finish(machine, down.plan, options, run, down);
  }

  async #finish(
    machine: Machine,
    plan: MachineBackupPlan,
    options: BackupOptions,
    run: PreparationRun,
    down: Down | undefined,
  ): Promise<PreparedMachine> {
    if (plan.way === 'direct') return { ref: machine.ref, plan };
    if (down?.isAdmitted !== true) await this.guard.admit(machine, plan, options, run.warn, run.signal);
    run.onSnapshot();
    const prepared = await this.#snapshot(machine, plan, run);
    await down?.startAgain();
    return prepared;
  }

  async #shutDown(
    machine: Machine,
    plan: MachineBackupPlan,
    { wish, shutdownTimeoutMs: timeoutMs }: BackupOptions,
    { identity, cleanup, signal, warn, onSnapshot }: PreparationRun,
  ): Promise<Down> {
    onSnapshot();
    const { record, ref } = machine;
    const isForced = plan.method === 'force-shutdown';
    const order = { machine: record, ref, isForced, policy: wish.shutdown ?? 'fail', timeoutMs, run: identity, warn };
    const { outcome, startAgain } = await this.shutdowns.shutDown(order, cleanup, signal);
    const isAdmitted = plan.way === 'snapshot';
    switch (outcome) {
      case 'clean':
        return { plan, isAdmitted, startAgain };
      case 'forced':
        // The guest's disks are as after a power failure, though nothing writes to them any more.
        return { plan: replan(plan, { ...plan, consistency: 'crash' }), isAdmitted, startAgain };
      case 'refused': {
        const message = `"${record.name_label}" did not shut down in time. A snapshot of it is saved instead.`;
        // It runs, and is looked after until the end: it may still go down.
        const running = this.#downgrade(plan, fallBack('OFFLINE_UNAVAILABLE', message), warn);
        return { plan: running, isAdmitted, startAgain: () => Promise.resolve() };
      }
    }
  }

  async #snapshot(machine: Machine, plan: MachineBackupPlan, run: PreparationRun): Promise<PreparedMachine> {
    const { record } = machine;
    const kind: SnapshotKind = plan.method === 'quiesced' || plan.method === 'checkpoint' ? plan.method : 'snapshot';
    try {
      const { identity, cleanup, signal } = run;
      const ref = await this.snapshots.create(record, machine.ref, kind, identity, cleanup, signal, plan.excluded);
      return { ref, plan: kind === 'checkpoint' ? await this.#withMemory(ref, plan, run) : plan };
    } catch (error) {
      if (!plan.fallsBack || !isXapiError(error) || !NOT_BY_THIS_METHOD.test(error.code)) throw error;
      const [code, what] =
        kind === 'quiesced' ? ['QUIESCE_FAILED', 'could not be quiesced'] : ['MEMORY_UNAVAILABLE', 'gave no memory'];
      const message = `"${record.name_label}" ${what} (${error.code}). It is saved as after a power failure.`;
      return await this.#snapshot(machine, this.#downgrade(plan, fallBack(code, message), run.warn), run);
    }
  }

  /** A paused machine's checkpoint has no memory in it: then it is worth no more than a plain snapshot. */
  async #withMemory(ref: RefOf<'VM'>, plan: MachineBackupPlan, run: PreparationRun): Promise<MachineBackupPlan> {
    const { suspend_VDI: memory, name_label: name } = await this.pool.record('VM', ref, { signal: run.signal });
    if (!isNullRef(memory)) return plan;
    return this.#downgrade(plan, fallBack('MEMORY_UNAVAILABLE', `The pool kept no memory in "${name}".`), run.warn);
  }

  #downgrade(plan: MachineBackupPlan, decision: ConsistencyDecision, warn: PreparationRun['warn']): MachineBackupPlan {
    for (const { code, message } of decision.warnings) warn(code, message);
    return replan(plan, decision);
  }
}
