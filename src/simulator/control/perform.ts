import { z } from 'zod';
import { toSimulatedFailure } from '../simulated-failure.js';
import { type ControlledPool } from './operation.js';
import { OPERATIONS } from './operations.js';

/** Why an operation was not done, and what to do about it. */
export class ControlFailure extends Error {
  /** HTTP status. */
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.name = 'ControlFailure';
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** Whatever was thrown. Errors of the pool keep their code. */
  static from(thrown: unknown): ControlFailure {
    if (thrown instanceof ControlFailure) return thrown;
    const { code, params } = toSimulatedFailure(thrown);
    const hint = HINTS[code] ?? 'The pool refused it, as it would refuse the API call; see the state operation.';
    return new ControlFailure(409, code, [code, ...params].join(' '), hint);
  }
}

const HINTS: Readonly<Record<string, string>> = {
  UUID_INVALID: 'There is no such object: give its uuid, its name or its reference. The state operation lists all.',
  INVALID_VALUE: 'Give the uuid where the name does not tell which one is meant.',
  HANDLE_INVALID: 'There is none with that id or reference any more.',
  VDI_IO_ERROR: 'The bytes must lie within the disk, and its storage must have room.',
  NOT_IMPLEMENTED: 'Start the pool without a clock of your own.',
};

/** Does one operation: checks its input and returns what it gives. Throws ControlFailure. */
export async function perform(target: ControlledPool, name: string, input: unknown): Promise<unknown> {
  const found = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
  if (found === undefined) {
    const known = Object.keys(OPERATIONS).join(', ');
    throw new ControlFailure(404, 'UNKNOWN_OPERATION', `There is no operation "${name}".`, `Known: ${known}.`);
  }
  const checked = found.input.safeParse(input);
  if (!checked.success) {
    const mistakes = z.prettifyError(checked.error);
    throw new ControlFailure(400, 'INVALID_VALUE', mistakes, `GET / tells what "${name}" takes.`);
  }
  try {
    return await found.run(target, input);
  } catch (thrown) {
    throw ControlFailure.from(thrown);
  }
}
