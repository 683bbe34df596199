import { inject, injectable } from 'inversify';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import { BackupError } from '../contract/index.js';
import { ActiveRuns } from '../session/active-runs.js';
import { repeatLostStep } from '../session/lost-step.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type RunIdentity, temporaryName } from '../session/run-marks.js';
import { rivalOf } from './rival-run.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf, type VmRecord } from '../xapi/xapi-records.js';

/** Refusals of this storage that mean nothing but "no snapshot here" (facts 8); the others have meanings of their own. */
const SNAPSHOT_REFUSALS =
  /^(UNIMPLEMENTED_IN_SM_BACKEND|SR_OPERATION_NOT_SUPPORTED|SR_BACKEND_FAILURE_(?!(40|44|46|47|109|459|460)$)\d+)$/;

/** A snapshot can wait in the pool for another operation on the machine (facts 3.3: up to two hours). */
const SNAPSHOT_TIMEOUT_MS = 30 * 60_000;

/** Which call makes a snapshot of each kind. */
const CALLS = { snapshot: 'VM.snapshot', quiesced: 'VM.snapshot_with_quiesce', checkpoint: 'VM.checkpoint' } as const;

export type SnapshotKind = keyof typeof CALLS;

/** A snapshot of ours while its backup runs. */
interface Made {
  ref?: RefOf<'VM'>;
  disks?: readonly RefOf<'VDI'>[];
  readonly alive: AbortController;
  /** Ends when the lease is no longer renewed. */
  renewing?: Promise<void>;
  /** It stays: others see to it from now on. */
  isHandedOver: boolean;
}

/** Makes the snapshot that a backup reads, and sees to it that it goes away whatever happens. */
@injectable()
export class SnapshotKeeper {
  readonly #made = new Map<RefOf<'VM'>, Made>();

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(ActiveRuns) private readonly runs: ActiveRuns,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Snapshots a machine and marks the snapshot. Its removal is on `cleanup` before the pool is asked for it: a snapshot
   * that comes to be while we are cancelled or cut off is found by its name. The disks in `excluded` are not in it.
   * @throws {BackupError} SNAPSHOT_FAILED; or what the pool or the connection said when it isn't about the snapshot.
   */
  async create(
    machine: VmRecord,
    vm: RefOf<'VM'>,
    kind: SnapshotKind,
    run: RunIdentity,
    cleanup: CleanupStack,
    signal: AbortSignal,
    excluded: readonly RefOf<'VDI'>[] = [],
  ): Promise<RefOf<'VM'>> {
    const name = temporaryName(run.runId, machine.name_label);
    await this.#refuseRival(machine.snapshots, machine, run, undefined, signal);
    const alive = new AbortController();
    const made: Made = { alive, isHandedOver: false };
    cleanup.add(`snapshot "${name}"`, () => this.#release(name, vm, made));
    const undo = (): Promise<void> => this.#release(name, vm, made);
    const snapshot = await repeatLostStep(this.pool, { signal, undo }, () =>
      this.#snapshot(kind, vm, name, machine, excluded, signal),
    );
    made.ref = snapshot;
    this.#made.set(snapshot, made);
    cleanup.add('lease of the snapshot', () => {
      alive.abort();
    });
    await this.own.mark('VM', snapshot, run, 'snapshot', signal);
    const seen = await this.pool.records(
      [vm, snapshot].map((ref) => ({ cls: 'VM', ref }) as const),
      { signal },
    );
    const since = (seen.get(vm)?.snapshots ?? []).filter((ref) => !machine.snapshots.includes(ref));
    await this.#refuseRival(since, machine, run, snapshot, signal);
    made.renewing = this.own.keepAlive('VM', snapshot, run, 'snapshot', alive.signal);
    await this.#makeOrdinary(snapshot, signal);
    if (excluded.length > 0) await this.#dropExcluded(snapshot, new Set<string>(excluded), signal);
    const known = excluded.length > 0 ? undefined : seen.get(snapshot);
    made.disks = await this.#disksOf(known ?? (await this.pool.record('VM', snapshot, { signal })), signal);
    return snapshot;
  }

  /**
   * One backup of a machine at a time, whoever runs it: two would move each other's bases. Looked at before the pool
   * works for us, and once more when our own snapshot can be seen by others.
   */
  async #refuseRival(
    refs: readonly RefOf<'VM'>[],
    { name_label: machineName }: VmRecord,
    { runId }: RunIdentity,
    own: RefOf<'VM'> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (refs.every((ref) => ref === own)) return;
    const records = await this.pool.records(
      refs.map((ref) => ({ cls: 'VM', ref }) as const),
      { signal },
    );
    const rival = rivalOf({
      runId,
      own: own === undefined ? undefined : records.get(own),
      snapshots: [...records.values()],
      nowMs: this.clock.nowMs(),
      stateOf: (run) => this.runs.stateOf(run),
    });
    if (rival === undefined) return;
    throw new BackupError('SOURCE_BUSY', `Another backup of "${machineName}" is under way.`, {
      hint: 'Wait until it has ended. If it has died, this passes within a quarter of an hour.',
      isRetriable: true,
      context: { run: rival.runId, host: rival.hostId },
    });
  }

  /** Marks the snapshot as what later backups build on; from then on the clean-up leaves it where it is. */
  async handOver(snapshot: RefOf<'VM'>, run: RunIdentity, signal: AbortSignal): Promise<void> {
    const made = this.#made.get(snapshot);
    // Its lease must not be renewed under the old name.
    made?.alive.abort();
    await made?.renewing;
    const { uuid: object } = await this.pool.record('VM', snapshot, { signal });
    await this.own.mark('VM', snapshot, run, 'base', signal, { object });
    signal.throwIfAborted();
    if (made !== undefined) made.isHandedOver = true;
  }

  /** Disks that are not saved cost no room: they are the snapshot's own, so nobody misses them. */
  async #dropExcluded(snapshot: RefOf<'VM'>, excluded: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { VBDs: devices } = await this.pool.record('VM', snapshot, { signal });
    const vbds = await this.pool.records(
      devices.map((ref) => ({ cls: 'VBD', ref }) as const),
      { signal },
    );
    const held = [...vbds].filter(([, { type, VDI }]) => type === 'Disk' && !isNullRef(VDI));
    const disks = await this.pool.records(
      held.map(([, { VDI }]) => ({ cls: 'VDI', ref: VDI }) as const),
      { signal },
    );
    for (const [vbd, { VDI: disk }] of held) {
      const record = disks.get(disk);
      if (record?.is_a_snapshot !== true || !excluded.has(record.snapshot_of)) continue;
      await this.pool.call('VBD.destroy', [vbd], { signal, isIdempotent: true });
      await this.own.destroyDisk(disk);
    }
  }

  /**
   * A snapshot is a template until told otherwise, and `xe vm-import` would make one of its archive (facts 3.2). Some licences
   * refuse the change; our own restore puts it right anyway, so that is no reason to fail.
   */
  async #makeOrdinary(snapshot: RefOf<'VM'>, signal: AbortSignal): Promise<void> {
    try {
      await this.pool.call('VM.set_is_a_template', [snapshot, false], { signal, isIdempotent: true });
    } catch (error) {
      if (!isXapiError(error, 'LICENCE_RESTRICTION', 'FEATURE_RESTRICTED')) throw error;
    }
  }

  async #snapshot(
    kind: SnapshotKind,
    vm: RefOf<'VM'>,
    name: string,
    machine: VmRecord,
    excluded: readonly RefOf<'VDI'>[],
    signal: AbortSignal,
  ): Promise<RefOf<'VM'>> {
    const options = { signal, timeoutMs: SNAPSHOT_TIMEOUT_MS };
    const snapshot = async (...more: unknown[]): Promise<RefOf<'VM'>> =>
      (await this.pool.callTask(CALLS[kind], [vm, name, ...more], options)) as RefOf<'VM'>;
    try {
      if (kind !== 'snapshot' || excluded.length === 0) return await snapshot();
      return await snapshot(excluded).catch(async (error: unknown) => {
        // Releases before 8.3 can't leave disks out (facts 3.1).
        if (isXapiError(error, 'MESSAGE_PARAMETER_COUNT_MISMATCH')) return await snapshot();
        throw error;
      });
    } catch (error) {
      if (!isXapiError(error) || !SNAPSHOT_REFUSALS.test(error.code)) throw error;
      throw new BackupError(
        'SNAPSHOT_FAILED',
        `The pool can't make a snapshot of "${machine.name_label}": ${error.code}.`,
        {
          hint: 'Look at the storage of its disks and at /var/log/SMlog on the host, or back the machine up offline.',
          context: { xapiCode: error.code, xapiParams: error.params, taskUuid: error.taskUuid },
          cause: error,
        },
      );
    }
  }

  /** A snapshot's disks are all its own, and so is its memory; what is in its drives is not. */
  async #disksOf(
    { VBDs: devices, suspend_VDI: memory }: VmRecord,
    signal: AbortSignal,
  ): Promise<readonly RefOf<'VDI'>[]> {
    const refs = devices.map((ref) => ({ cls: 'VBD', ref }) as const);
    const records = await this.pool.records(refs, { signal });
    const disks = [...records.values()].filter(({ type }) => type === 'Disk').map(({ VDI }) => VDI);
    return [...disks, memory].filter((ref) => !isNullRef(ref));
  }

  async #release(name: string, vm: RefOf<'VM'>, { ref, disks, isHandedOver }: Made): Promise<void> {
    if (ref !== undefined) {
      this.#made.delete(ref);
      if (!isHandedOver) await this.own.destroyMachine(ref, disks);
      return;
    }
    const sameName = await this.pool.call<readonly RefOf<'VM'>[]>('VM.get_by_name_label', [name]);
    const records = await this.pool.records(sameName.map((candidate) => ({ cls: 'VM', ref: candidate }) as const));
    for (const candidate of sameName) {
      const record = records.get(candidate);
      if (record?.is_a_snapshot === true && record.snapshot_of === vm) await this.own.destroyMachine(candidate);
    }
  }
}
