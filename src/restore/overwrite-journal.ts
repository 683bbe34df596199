import { z } from 'zod';
import { type RefOf } from '../xapi/xapi-records.js';
import { JOURNAL_KEY, machineStateSchema } from './machine-state.js';

const journalSchema = z.strictObject({
  version: z.literal(1),
  run: z.string(),
  host: z.string(),
  sinceMs: z.number(),
  aliveUntilMs: z.number(),
  /** UUID of the machine that the journal is of: a copy of the machine copies the journal too, and is none of ours. */
  machine: z.string(),
  /** UUID of the machine that was imported beside it. */
  imported: z.string(),
  /** How the machine was before. */
  before: machineStateSchema,
  /** UUIDs of the disks that go once the machine has its new ones. */
  oldDisks: z.array(z.string()),
  /** UUIDs of the disks that take their place. */
  newDisks: z.array(z.string()),
});

/**
 * What an overwrite leaves in the machine's `other_config` while it swaps, so that another process can finish what a
 * crash has interrupted. Until `JOURNAL_DONE_KEY` stands beside it the old state is the one that counts, afterwards
 * the new one.
 */
export type OverwriteJournal = z.infer<typeof journalSchema>;

/** The journal in an `other_config`; undefined when there is none that we understand. */
export function readJournal(otherConfig: Readonly<Record<string, string>>): OverwriteJournal | undefined {
  const text = otherConfig[JOURNAL_KEY];
  if (text === undefined) return undefined;
  try {
    const parsed = journalSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** A machine with the journal of an overwrite that was interrupted. */
export interface InterruptedOverwrite {
  readonly ref: RefOf<'VM'>;
  readonly journal: OverwriteJournal;
  readonly isDone: boolean;
}
