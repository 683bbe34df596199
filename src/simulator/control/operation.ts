import { type z } from 'zod';
import { type SimulatedPool } from '../simulated-pool.js';

/** What an operation works on: a pool that runs. */
export interface ControlledPool {
  readonly pool: SimulatedPool;
  /** Connections of clients that are open. */
  readonly connectionCount: number;
  close(): Promise<void>;
}

/** One thing that a test may do to a pool. Its input is data, and so is what it gives. */
export interface Operation {
  readonly summary: string;
  /** Strict: an unknown key is refused. */
  readonly input: z.ZodType;
  /** `input` has been checked. Throws SimulatedFailure. */
  readonly run: (target: ControlledPool, input: unknown) => unknown;
}

/** Ties the type of the input to the work. */
export function operation<Schema extends z.ZodType>(
  summary: string,
  input: Schema,
  run: (target: ControlledPool, input: z.output<Schema>) => unknown,
): Operation {
  return { summary, input, run: (target, value) => run(target, input.parse(value)) };
}
