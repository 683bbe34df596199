import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { isNullRef, type RefOf, type VdiRecord, type VmRecord } from '../xapi/xapi-records.js';
import { PoolConnection } from './pool-connection.js';
import { runProcess } from './run-process.js';
import {
  type BaseMark,
  LEASE_REFRESH_MS,
  readRunMark,
  RUN_MARK_KEY,
  runMark,
  type RunIdentity,
  type RunMark,
  SETTLED_KEY,
} from './run-marks.js';

/** After a transfer the control domain keeps a disk attached for a while; a disk that is in use is asked for again. */
const IN_USE_ATTEMPTS = 10;
const IN_USE_FIRST_PAUSE_MS = 500;
const IN_USE_LONGEST_PAUSE_MS = 15_000;
/** Removing a disk makes some storages work for minutes. */
const DESTROY_TIMEOUT_MS = 30 * 60_000;

/** Marks, finds and removes what our runs create in a pool. Nothing else of ours destroys an object. */
@injectable()
export class OwnObjects {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /** Puts the run's mark on an object, over a mark that it may have inherited from what it was copied from. */
  async mark(
    cls: 'VM' | 'VDI',
    ref: string,
    run: RunIdentity,
    role: RunMark['role'],
    signal?: AbortSignal,
    base?: BaseMark,
  ): Promise<void> {
    // A key that is there already is put again: once more does no harm.
    const options = { isIdempotent: true, ...(signal === undefined ? {} : { signal }) };
    const args = [ref, RUN_MARK_KEY, runMark({ process: runProcess(), ...run }, role, this.clock.nowMs(), base)];
    try {
      await this.pool.call(`${cls}.add_to_other_config`, args, options);
    } catch (error) {
      if (!isXapiError(error, 'MAP_DUPLICATE_KEY')) throw error;
      await this.unmark(cls, ref);
      try {
        await this.pool.call(`${cls}.add_to_other_config`, args, options);
      } catch (again) {
        // It was ours: the answer of the first attempt was lost.
        if (!isXapiError(again, 'MAP_DUPLICATE_KEY')) throw again;
      }
    }
  }

  /** Says that the saveset of a base was stored. A base that is gone is fine; repeating it does nothing. */
  async markSettled(ref: RefOf<'VDI'>, savesetId: string): Promise<void> {
    const note = (): Promise<unknown> =>
      this.pool.call('VDI.add_to_other_config', [ref, SETTLED_KEY, savesetId], { isIdempotent: true });
    try {
      await note().catch(async (error: unknown) => {
        if (!isXapiError(error, 'MAP_DUPLICATE_KEY')) throw error;
        const { other_config: config } = await this.pool.record('VDI', ref);
        if (config[SETTLED_KEY] === savesetId) return;
        // Inherited: the disk came from a base of ours that somebody made a machine of.
        await this.pool.call('VDI.remove_from_other_config', [ref, SETTLED_KEY], { isIdempotent: true });
        await note();
      });
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Removing a key that isn't there does nothing, so this may be repeated. */
  async unmark(cls: 'VM' | 'VDI', ref: string): Promise<void> {
    await this.pool.call(`${cls}.remove_from_other_config`, [ref, RUN_MARK_KEY], { isIdempotent: true });
  }

  /**
   * Renews the mark again and again, so that nobody takes the run for dead. Ends with the signal. Never rejects: a
   * mark that is not renewed only shortens the protection.
   */
  async keepAlive(
    cls: 'VM' | 'VDI',
    ref: string,
    run: RunIdentity,
    role: RunMark['role'],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      for (;;) {
        await this.clock.sleep(LEASE_REFRESH_MS, signal);
        await this.mark(cls, ref, run, role, signal);
      }
    } catch {
      // The signal has ended it, or the object is gone, or the pool doesn't answer; the work itself will notice.
    }
  }

  /** Removes a disk. One that is gone already is fine. Retries while it is in use. */
  async destroyDisk(ref: RefOf<'VDI'>): Promise<void> {
    await this.#onceFree('VDI.destroy', ref);
  }

  /**
   * Removes the data of a disk's snapshot and leaves the bitmap of changes. One that is gone, or that has lost its bitmap,
   * is left as it is. Retries while it is in use.
   */
  async destroyData(ref: RefOf<'VDI'>): Promise<void> {
    try {
      await this.#onceFree('VDI.data_destroy', ref);
    } catch (error) {
      if (!isXapiError(error, 'VDI_NO_CBT_METADATA')) throw error;
    }
  }

  async #onceFree(method: string, ref: RefOf<'VDI'>): Promise<void> {
    let pauseMs = IN_USE_FIRST_PAUSE_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.pool.call(method, [ref], { timeoutMs: DESTROY_TIMEOUT_MS, isIdempotent: true });
        return;
      } catch (error) {
        if (isGone(error)) return;
        if (!isXapiError(error, 'VDI_IN_USE', 'OTHER_OPERATION_IN_PROGRESS') || attempt === IN_USE_ATTEMPTS)
          throw error;
      }
      await this.clock.sleep(pauseMs);
      pauseMs = Math.min(pauseMs * 2, IN_USE_LONGEST_PAUSE_MS);
    }
  }

  /** Removes the record of a machine and leaves its disks. One that is gone already is fine. */
  async destroyRecord(ref: RefOf<'VM'>): Promise<void> {
    try {
      await this.#destroyUnblocked(ref);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** A machine that was saved with operations blocked has them blocked again when its restore is nearly over. */
  async #destroyUnblocked(ref: RefOf<'VM'>): Promise<void> {
    try {
      await this.pool.call('VM.destroy', [ref], { isIdempotent: true });
    } catch (error) {
      if (!isXapiError(error, 'OPERATION_BLOCKED')) throw error;
      await this.pool.call('VM.set_blocked_operations', [ref, {}], { isIdempotent: true });
      await this.pool.call('VM.destroy', [ref], { isIdempotent: true });
    }
  }

  /** Removes everything that a restore's import has marked: whole machines, and disks that no machine has. */
  async destroyImported(runId: string): Promise<void> {
    const machines = await this.pool.allRecords('VM');
    for (const [ref, machine] of machines) {
      if (isImportOf(runId, machine) && !machine.is_a_snapshot) await this.destroyMachine(ref);
    }
    await this.#destroyFree(runId, machines);
  }

  /** Of that only the disks that no machine has, and that are not among `kept`. */
  async destroyImportedDisks(runId: string, kept: ReadonlySet<string>): Promise<void> {
    await this.#destroyFree(runId, await this.pool.allRecords('VM'), kept);
  }

  async #destroyFree(
    runId: string,
    machines: ReadonlyMap<string, VmRecord>,
    kept: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    // A transfer that broke off leaves its disk with the control domain for a moment: that is nobody's use of it.
    const ofControl = [...machines.values()].filter((one) => one.is_control_domain).flatMap(({ VBDs }) => VBDs);
    const isFree = ({ VBDs }: VdiRecord): boolean => VBDs.every((device) => ofControl.includes(device));
    for (const [ref, disk] of await this.pool.allRecords('VDI')) {
      if (!isImportOf(runId, disk) || disk.is_a_snapshot || kept.has(ref) || !isFree(disk)) continue;
      await this.destroyDisk(ref);
    }
  }

  /**
   * Renews the mark of a machine that an import is making: its reference is known only at the end. Like `keepAlive`.
   */
  async keepImportAlive(name: string, run: RunIdentity, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.clock.sleep(LEASE_REFRESH_MS, signal);
        const refs = await this.pool.call<readonly RefOf<'VM'>[]>('VM.get_by_name_label', [name], { signal });
        const records = await this.pool.records(
          refs.map((ref) => ({ cls: 'VM', ref }) as const),
          { signal },
        );
        for (const ref of refs) {
          const mark = readRunMark(records.get(ref)?.other_config ?? {});
          if (mark?.run === run.runId) await this.mark('VM', ref, run, 'import', signal);
        }
      }
    } catch {
      // As in keepAlive.
    }
  }

  /** The disks of a machine that are its own, its saved memory too: not CDs, not attached to any other machine. */
  async ownDisks(machine: VmRecord): Promise<readonly RefOf<'VDI'>[]> {
    const devices = await this.pool.records(machine.VBDs.map((ref) => ({ cls: 'VBD', ref }) as const));
    const held = [...devices.values()].filter(({ type, VDI }) => type === 'Disk' && !isNullRef(VDI));
    const disks = await this.pool.records(held.map(({ VDI }) => ({ cls: 'VDI', ref: VDI }) as const));
    const own = held
      .map(({ VDI }) => VDI)
      .filter((ref) => disks.get(ref)?.VBDs.every((vbd) => machine.VBDs.includes(vbd)));
    return isNullRef(machine.suspend_VDI) ? own : [...own, machine.suspend_VDI];
  }

  /**
   * Removes a machine with its own disks: the disks first, so that what is left after a crash in between is a machine
   * that says whose it is. One that is gone already is fine.
   */
  async destroyMachine(ref: RefOf<'VM'>, knownDisks?: readonly RefOf<'VDI'>[]): Promise<void> {
    let disks = knownDisks;
    if (disks === undefined) {
      try {
        disks = await this.ownDisks(await this.pool.record('VM', ref));
      } catch (error) {
        if (isGone(error)) return;
        throw error;
      }
    }
    for (const disk of disks) await this.destroyDisk(disk);
    await this.destroyRecord(ref);
  }
}

function isImportOf(runId: string, { other_config: config }: VmRecord | VdiRecord): boolean {
  const mark = readRunMark(config);
  return mark?.run === runId && mark.role === 'import';
}

function isGone(error: unknown): boolean {
  return isXapiError(error, 'HANDLE_INVALID', 'UUID_INVALID');
}
