import { z } from 'zod';
import { type DataPathSettings } from '../handlers/data-path-settings.js';
import { defaultTimings } from '../timings.js';

const ms = z.number().nonnegative().optional();

/** How transfers behave. */
const ofTransfers = {
  keepAliveAfterMs: ms,
  keepAliveChunks: z.array(z.int().nonnegative()).optional(),
  progressIntervalMs: ms,
  detachDelayMs: ms,
} satisfies Readonly<Record<keyof DataPathSettings, z.ZodType>>;

/** Any of the timings of a pool and of its transfers. */
export const timingsSchema = z.strictObject({
  ...Object.fromEntries(Object.keys(defaultTimings()).map((name) => [name, ms])),
  ...ofTransfers,
});
