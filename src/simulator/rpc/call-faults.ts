import { type FaultAction } from '../faults.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type Arguments, type CallContext } from './method.js';

/** What goes wrong before the work of a call. Rejects with what the call has to fail with. */
export async function applyToCall(
  actions: readonly FaultAction[],
  { pool, signal }: CallContext,
  args: Arguments,
): Promise<void> {
  for (const action of actions) {
    if ('delayMs' in action) await pool.clock.sleep(action.delayMs, signal);
    if ('failWith' in action) {
      const [code, ...params] = action.failWith;
      const filled = params.map((param) => param.replace(/\{(\d+)\}/g, (_all, place) => args.text(Number(place) - 1)));
      throw new SimulatedFailure(code, filled);
    }
    if ('stall' in action) await aborted(signal);
  }
}

/** What goes wrong after the work of a call that is no task. */
export function applyToAnswer(actions: readonly FaultAction[]): void {
  for (const action of actions) {
    if (!('taskFailure' in action)) continue;
    const [code, ...params] = action.taskFailure;
    throw new SimulatedFailure(code, params);
  }
}

async function aborted(signal: AbortSignal): Promise<never> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
  });
  throw toSimulatedFailure(signal.reason);
}
