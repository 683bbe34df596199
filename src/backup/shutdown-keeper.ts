import { inject, injectable } from 'inversify';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { Clock } from '../common/clock.js';
import { BackupError } from '../contract/index.js';
import { repeatLostStep } from '../session/lost-step.js';
import { OwnObjects } from '../session/own-objects.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type RunIdentity } from '../session/run-marks.js';
import { isTransportError } from '../xapi/transport-error.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { type ShutdownPolicy } from './consistency-plan.js';

/** What a guest that does not obey makes the pool say (facts 3.3, 10). */
const NOT_OBEYED = [
  'VM_SHUTDOWN_TIMEOUT',
  'VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT',
  'VM_LACKS_FEATURE',
  'VM_MISSING_PV_DRIVERS',
  'VM_OLD_PV_DRIVERS',
] as const;
/** A guest that was asked may still go down after the pool has given up on it. */
const LATE_LOOKS = 6;
const LATE_PAUSE_MS = 10_000;
/** What a transfer held is free a moment after its end. */
const START_ATTEMPTS = 10;
const START_PAUSE_MS = 3_000;
const START_TIMEOUT_MS = 10 * 60_000;

export interface ShutdownOrder {
  readonly machine: VmRecord;
  readonly ref: RefOf<'VM'>;
  /** Switched off without being asked. */
  readonly isForced: boolean;
  readonly policy: ShutdownPolicy;
  readonly timeoutMs: number;
  readonly run: RunIdentity;
  readonly warn: (code: string, message: string) => void;
}

export interface ShutDown {
  /** `clean`: it has shut down. `forced`: it was switched off. `refused`: it still runs, and the policy is a snapshot. */
  readonly outcome: 'clean' | 'forced' | 'refused';
  /** Starts it again now and not when all is over. Never rejects: what fails is a warning. */
  readonly startAgain: () => Promise<void>;
}

/** Takes a machine down for its backup, and sees to it that it runs again whatever happens. */
@injectable()
export class ShutdownKeeper {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(OwnObjects) private readonly own: OwnObjects,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Its start is on `cleanup` before it is asked; the mark on it lets a later reconcile start it when this process dies.
   * @throws {BackupError} SOURCE_FAILED when it does not obey and the policy is to fail.
   */
  async shutDown(order: ShutdownOrder, cleanup: CleanupStack, signal: AbortSignal): Promise<ShutDown> {
    const { machine, ref } = order;
    const run = { ...order.run, machine: machine.uuid };
    const asked = { isInDoubt: false };
    const forgetStart = cleanup.add(`start of "${machine.name_label}"`, () => this.#startAgain(order, asked.isInDoubt));
    const alive = new AbortController();
    const forgetLease = cleanup.add('lease of the machine', () => {
      alive.abort();
    });
    await this.own.mark('VM', ref, run, 'offline', signal);
    void this.own.keepAlive('VM', ref, run, 'offline', alive.signal);
    const outcome = await this.#takeDown(order, asked, signal);
    return {
      outcome,
      startAgain: async () => {
        forgetLease();
        alive.abort();
        forgetStart();
        await this.#startAgain(order, asked.isInDoubt);
      },
    };
  }

  async #takeDown(
    { machine, ref, isForced, policy, timeoutMs, warn }: ShutdownOrder,
    asked: { isInDoubt: boolean },
    signal: AbortSignal,
  ): Promise<ShutDown['outcome']> {
    if (isForced) return await this.#switchOff(ref, signal);
    asked.isInDoubt = true;
    const reason = await this.#ask(ref, timeoutMs, signal);
    asked.isInDoubt = reason !== undefined;
    if (reason === undefined) return 'clean';
    const message = `"${machine.name_label}" did not shut down: ${reason}.`;
    if (policy === 'force') {
      warn('SHUTDOWN_FORCED', `${message} It was switched off for the backup.`);
      return await this.#switchOff(ref, signal);
    }
    if (policy === 'snapshot') return 'refused';
    throw new BackupError('SOURCE_FAILED', message, {
      hint: 'Look at the guest, or use shutdown=force to switch it off, or shutdown=snapshot to save it as it runs.',
      isRetriable: true,
      context: { machine: machine.uuid, timeoutMs },
    });
  }

  /** Undefined when it went down; else why it did not. */
  async #ask(ref: RefOf<'VM'>, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
    try {
      await repeatLostStep(this.pool, { signal }, () =>
        this.pool.callTask('VM.clean_shutdown', [ref], { signal, timeoutMs }),
      );
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      // It is down: by an attempt whose answer was lost, or by itself.
      if (isXapiError(error, 'VM_BAD_POWER_STATE') && (await this.#stateOf(ref)) === 'Halted') return undefined;
      if (isTransportError(error, 'timeout')) return `it took longer than ${timeoutMs / 1000} s`;
      if (isXapiError(error, ...NOT_OBEYED)) return error.code;
      throw error;
    }
  }

  async #switchOff(ref: RefOf<'VM'>, signal: AbortSignal): Promise<'forced'> {
    try {
      await repeatLostStep(this.pool, { signal }, () => this.pool.callTask('VM.hard_shutdown', [ref], { signal }));
    } catch (error) {
      // It went down by itself in the meantime.
      if (!isXapiError(error, 'VM_BAD_POWER_STATE') || (await this.#stateOf(ref)) !== 'Halted') throw error;
    }
    return 'forced';
  }

  /** Never rejects: a machine that stays down is a warning of its own, and its mark stays for reconcile. */
  async #startAgain({ machine, ref, warn }: ShutdownOrder, isInDoubt: boolean): Promise<void> {
    try {
      let state = await this.#stateOf(ref);
      for (let look = 0; isInDoubt && state !== 'Halted' && look < LATE_LOOKS; look += 1) {
        await this.clock.sleep(LATE_PAUSE_MS);
        state = await this.#stateOf(ref);
      }
      if (state === 'Halted') await this.#start(ref, machine.power_state === 'Paused');
      await this.own.unmark('VM', ref);
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      const name = machine.name_label;
      warn('MACHINE_NOT_STARTED', `"${name}" was shut down for the backup and could not be started again: ${reason}`);
    }
  }

  async #start(ref: RefOf<'VM'>, isPaused: boolean): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await repeatLostStep(this.pool, {}, () =>
          this.pool.callTask('VM.start', [ref, isPaused, false], { timeoutMs: START_TIMEOUT_MS }),
        );
        return;
      } catch (error) {
        // Somebody else was faster.
        if (isXapiError(error, 'VM_BAD_POWER_STATE') && (await this.#stateOf(ref)) !== 'Halted') return;
        const isBusy = isXapiError(error, 'OTHER_OPERATION_IN_PROGRESS', 'VDI_IN_USE');
        if (!isBusy || attempt === START_ATTEMPTS) throw error;
      }
      await this.clock.sleep(START_PAUSE_MS);
    }
  }

  async #stateOf(ref: RefOf<'VM'>): Promise<VmRecord['power_state']> {
    return (await this.pool.record('VM', ref)).power_state;
  }
}
