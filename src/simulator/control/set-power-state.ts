import { METHODS } from '../behaviour/method-table.js';
import { Arguments } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { textOf } from '../wire/wire-value.js';

export const POWER_STATES = ['Halted', 'Paused', 'Running', 'Suspended'] as const;
export type PowerState = (typeof POWER_STATES)[number];

/** From a state to another: the calls that lead there, each with what follows the reference of the VM. */
const WAYS: Readonly<Record<PowerState, Readonly<Partial<Record<PowerState, readonly Step[]>>>>> = {
  Halted: {
    Running: [['VM.start', false, false]],
    Paused: [['VM.start', true, false]],
    Suspended: [['VM.start', false, false], ['VM.suspend']],
  },
  Running: { Halted: [['VM.hard_shutdown']], Paused: [['VM.pause']], Suspended: [['VM.suspend']] },
  Paused: {
    Halted: [['VM.hard_shutdown']],
    Running: [['VM.unpause']],
    Suspended: [['VM.unpause'], ['VM.suspend']],
  },
  Suspended: {
    Halted: [['VM.hard_shutdown']],
    Running: [['VM.resume', false, false]],
    Paused: [['VM.resume', true, false]],
  },
};
type Step = readonly [call: string, ...flags: boolean[]];

/** Brings a VM into a power state, by the calls that an administrator would make. Throws what they throw. */
export async function setPowerState(pool: SimulatedPool, vm: string, wanted: PowerState): Promise<void> {
  const now = textOf(pool.store.get('VM', vm), 'power_state');
  const from = POWER_STATES.find((state) => state === now) ?? 'Halted';
  for (const [call, ...flags] of WAYS[from][wanted] ?? []) {
    const method = METHODS[call];
    if (method === undefined) throw new SimulatedFailure('NOT_IMPLEMENTED', [call]);
    const task = `DummyRef:|${pool.passingRandom.uuid()}|${call}`;
    const context = { pool, host: pool.coordinator, session: '', task, isAsync: false, signal: pool.closing.signal };
    await method(context, new Arguments([vm, ...flags]));
  }
}
