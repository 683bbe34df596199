import { z } from 'zod';
import { SimulatedFailure } from '../simulated-failure.js';
import { type Fault, type FaultAction, type FaultMatch } from './fault.js';

const failure = z.tuple([z.string().min(1)], z.string()).describe('error code and parameters');
const byte = z.int().nonnegative();
const atByte = byte.optional();
const task = z.enum(['success', 'failure']);

/** What a fault can match: the key of `match`. */
export type FaultTarget = 'call' | 'path' | 'nbd';

interface ActionSchema {
  readonly schema: z.ZodType<FaultAction>;
  /** What it can do something to. */
  readonly on: readonly FaultTarget[];
}

const action = (schema: z.ZodType<FaultAction>, ...on: readonly FaultTarget[]): ActionSchema => ({ on, schema });

/** Every action by the key that tells it from the others. */
export const FAULT_ACTIONS: Readonly<Record<string, ActionSchema>> = {
  failWith: action(z.strictObject({ failWith: failure }), 'call', 'path'),
  httpStatus: action(z.strictObject({ httpStatus: z.int().min(100).max(599) }), 'call', 'path'),
  cutAtByte: action(z.strictObject({ cutAtByte: byte }), 'call', 'path', 'nbd'),
  stall: action(z.strictObject({ stall: z.literal(true), atByte }), 'call', 'path', 'nbd'),
  delayMs: action(z.strictObject({ delayMs: z.int().positive() }), 'call', 'path', 'nbd'),
  expireSession: action(z.strictObject({ expireSession: z.literal(true), atByte }), 'call', 'path'),
  kill: action(
    z.strictObject({
      kill: z.enum(['coordinator', 'host']),
      atByte,
      afterWork: z.boolean().optional(),
      promote: z.string().optional(),
      backAfterMs: z.int().nonnegative().optional(),
    }),
    'call',
    'path',
  ),
  fillStorage: action(z.strictObject({ fillStorage: z.string(), atByte }), 'call', 'path'),
  taskFailure: action(z.strictObject({ taskFailure: failure }), 'call', 'path'),
  vanishTask: action(z.strictObject({ vanishTask: z.literal(true) }), 'call', 'path'),
  corruptAtByte: action(z.strictObject({ corruptAtByte: byte }), 'path', 'nbd'),
  truncateAtByte: action(z.strictObject({ truncateAtByte: byte, task }), 'path'),
  truncateAtMember: action(z.strictObject({ truncateAtMember: z.int().nonnegative(), task }), 'path'),
  bodyError: action(z.strictObject({ bodyError: failure, atByte: byte }), 'path'),
  bytesPerSecond: action(z.strictObject({ bytesPerSecond: z.number().positive(), atByte }), 'path', 'nbd'),
  wrongChecksumAtChunk: action(z.strictObject({ wrongChecksumAtChunk: z.int().nonnegative() }), 'path'),
  duplicateChunk: action(z.strictObject({ duplicateChunk: z.int().nonnegative() }), 'path'),
  swapChunk: action(z.strictObject({ swapChunk: z.int().nonnegative() }), 'path'),
  refuse: action(z.strictObject({ refuse: z.literal(true) }), 'nbd'),
  wrongCertificate: action(z.strictObject({ wrongCertificate: z.literal(true) }), 'nbd'),
};

function targetsOf(match: FaultMatch): readonly FaultTarget[] {
  return (['call', 'path', 'nbd'] as const).filter((target) => match[target] !== undefined);
}

const fields = {
  match: z
    .strictObject({
      call: z.string().min(1).optional().describe('API call, * and ? as in file names'),
      path: z.string().startsWith('/').optional().describe('path of a transfer, * and ? as in file names'),
      method: z.enum(['GET', 'PUT']).optional().describe('of the transfer'),
      nbd: z.enum(['connection', 'read']).optional().describe('over NBD'),
    })
    .refine((match) => targetsOf(match).length === 1, 'needs one of "call", "path" and "nbd"')
    .refine(({ path, method }) => path !== undefined || method === undefined, '"method" goes with "path"'),
  occurrence: z.int().positive().optional(),
  times: z.int().positive().optional(),
  forMs: z.int().positive().optional(),
};

const checkedAction = z.custom<FaultAction>((value) => typeof value === 'object' && value !== null, {
  message: 'must be an object',
});

/** A fault as data. An unknown key, or an action that cannot do anything to what is matched, is refused with its place. */
export const faultSchema: z.ZodType<Fault> = z
  .strictObject({ ...fields, action: checkedAction })
  .superRefine(({ match, action: given }, context) => {
    const refuse = (message: string, path: readonly PropertyKey[] = []): void => {
      context.addIssue({ code: 'custom', message, path: ['action', ...path] });
    };
    const key = Object.keys(FAULT_ACTIONS).find((name) => name in given);
    const found = key === undefined ? undefined : FAULT_ACTIONS[key];
    if (key === undefined || found === undefined) {
      refuse(`must be one of: ${Object.keys(FAULT_ACTIONS).join(', ')}`);
      return;
    }
    const result = found.schema.safeParse(given);
    for (const { message, path } of result.error?.issues ?? []) refuse(message, path);
    if (!targetsOf(match).every((target) => found.on.includes(target))) {
      refuse(`${key} does nothing there: match ${found.on.map((target) => `"${target}"`).join(' or ')}`);
    }
  });

/** The JSON Schema of a list of faults, as a file or the control port takes it. */
export function faultsJsonSchema(): object {
  const [first, ...rest] = Object.values(FAULT_ACTIONS).map(({ schema }) => schema);
  const actions = first === undefined ? z.never() : z.union([first, ...rest]);
  return z.toJSONSchema(z.array(z.strictObject({ ...fields, action: actions })));
}

/** Reads a list of faults. Throws INVALID_VALUE [where, what] with every mistake in it. */
export function readFaults(value: unknown, where: string): readonly Fault[] {
  const result = z.array(faultSchema).safeParse(value);
  if (!result.success) throw new SimulatedFailure('INVALID_VALUE', [where, z.prettifyError(result.error)]);
  return result.data;
}
