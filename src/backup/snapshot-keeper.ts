import { inject, injectable } from 'inversify';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { BackupError } from '../contract/index.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type RunIdentity, temporaryName } from '../session/run-marks.js';
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

/** Makes the snapshot that a backup reads, and sees to it that it goes away whatever happens. */
@injectable()
export class SnapshotKeeper {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
  ) {}

  /**
   * Snapshots a machine and marks the snapshot. Its removal is on `cleanup` before the pool is asked for it: a snapshot
   * that comes to be while we are cancelled or cut off is found by its name.
   * @throws {BackupError} SNAPSHOT_FAILED; or what the pool or the connection said when it isn't about the snapshot.
   */
  async create(
    machine: VmRecord,
    vm: RefOf<'VM'>,
    kind: SnapshotKind,
    run: RunIdentity,
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<RefOf<'VM'>> {
    const name = temporaryName(run.runId, machine.name_label);
    const found: { ref?: RefOf<'VM'>; disks?: readonly RefOf<'VDI'>[] } = {};
    cleanup.add(`snapshot "${name}"`, () => this.#remove(name, vm, found.ref, found.disks));
    const snapshot = await this.#snapshot(CALLS[kind], vm, name, machine, signal);
    found.ref = snapshot;
    const alive = new AbortController();
    cleanup.add('lease of the snapshot', () => {
      alive.abort();
    });
    await this.own.mark('VM', snapshot, run, 'snapshot', signal);
    void this.own.keepAlive('VM', snapshot, run, 'snapshot', alive.signal);
    await this.#makeOrdinary(snapshot, signal);
    found.disks = await this.#disksOf(snapshot, signal);
    return snapshot;
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
    call: string,
    vm: RefOf<'VM'>,
    name: string,
    machine: VmRecord,
    signal: AbortSignal,
  ): Promise<RefOf<'VM'>> {
    try {
      const options = { signal, timeoutMs: SNAPSHOT_TIMEOUT_MS };
      return (await this.pool.callTask(call, [vm, name], options)) as RefOf<'VM'>;
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
  async #disksOf(snapshot: RefOf<'VM'>, signal: AbortSignal): Promise<readonly RefOf<'VDI'>[]> {
    const { VBDs: devices, suspend_VDI: memory } = await this.pool.record('VM', snapshot, { signal });
    const refs = devices.map((ref) => ({ cls: 'VBD', ref }) as const);
    const records = await this.pool.records(refs, { signal });
    const disks = [...records.values()].filter(({ type }) => type === 'Disk').map(({ VDI }) => VDI);
    return [...disks, memory].filter((ref) => !isNullRef(ref));
  }

  async #remove(name: string, vm: RefOf<'VM'>, ref?: RefOf<'VM'>, disks?: readonly RefOf<'VDI'>[]): Promise<void> {
    if (ref !== undefined) {
      await this.own.destroyMachine(ref, disks);
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
