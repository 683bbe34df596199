import { inject, injectable } from 'inversify';
import { repeatLostStep } from '../session/lost-step.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type PowerState, type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { BackupError } from '../contract/index.js';
import { isXapiError } from '../xapi/xapi-error.js';

/** XAPI gives a guest 20 minutes to shut down (facts 3.1). */
const STOP_TIMEOUT_MS = 25 * 60_000;
const START_TIMEOUT_MS = 10 * 60_000;

/** Stops and starts machines, and looks whether they did. */
@injectable()
export class PowerSwitch {
  constructor(@inject(PoolConnection) private readonly pool: PoolConnection) {}

  async stop(ref: RefOf<'VM'>, how: 'clean' | 'hard', signal: AbortSignal): Promise<void> {
    const method = how === 'clean' ? 'VM.clean_shutdown' : 'VM.hard_shutdown';
    try {
      await repeatLostStep(this.pool, { signal }, () =>
        this.pool.callTask(method, [ref], { signal, timeoutMs: STOP_TIMEOUT_MS }),
      );
    } catch (error) {
      // It is down: by an attempt whose answer was lost, or by itself.
      if (!isXapiError(error, 'VM_BAD_POWER_STATE') || (await this.#record(ref)).power_state !== 'Halted') throw error;
    }
    await this.#assertState(ref, 'Halted');
  }

  /** Starts a machine unless it runs already; one that is suspended goes on where it was. On a host, if one is named. */
  async start(ref: RefOf<'VM'>, host?: RefOf<'host'>): Promise<void> {
    await repeatLostStep(this.pool, {}, () => this.#start(ref, host));
  }

  async #start(ref: RefOf<'VM'>, host: RefOf<'host'> | undefined): Promise<void> {
    const { power_state: state } = await this.#record(ref);
    if (state === 'Running') return;
    const verb = state === 'Suspended' ? 'VM.resume' : 'VM.start';
    const [method, args] = host === undefined ? [verb, [ref]] : [`${verb}_on`, [ref, host]];
    await this.pool.callTask(method, [...args, false, false], { timeoutMs: START_TIMEOUT_MS });
    await this.#assertState(ref, 'Running');
  }

  async #assertState(ref: RefOf<'VM'>, wanted: PowerState): Promise<void> {
    const { power_state: state, name_label: name } = await this.#record(ref);
    if (state === wanted) return;
    throw new BackupError(
      'RESTORE_FAILED',
      `The machine "${name}" is ${state.toLowerCase()}, not ${wanted.toLowerCase()}.`,
      {
        hint: 'Look at the log of the pool.',
      },
    );
  }

  async #record(ref: RefOf<'VM'>): Promise<VmRecord> {
    return await this.pool.record('VM', ref);
  }
}
