import { z } from 'zod';

/** The key in `other_config` under which every object that we create in a pool says so. */
export const RUN_MARK_KEY = 'xen-backup:run';

/** How long after its last sign of life a run counts as alive, in milliseconds. */
export const LEASE_MS = 15 * 60_000;

/** How long a host may take to say what became of a saveset: its medium may be a tape that is still to be changed. */
export const PENDING_BASE_LEASE_MS = 24 * 60 * 60_000;

/** The key that says that the saveset of a base was stored, beside the mark; its value is the saveset's id. */
export const SETTLED_KEY = 'xen-backup:settled';

/** How often a run that is alive says so. */
export const LEASE_REFRESH_MS = 5 * 60_000;

const markSchema = z.strictObject({
  /** Id of the run: the saveset's id for a backup, an id of our own for a restore. */
  run: z.string().min(1).max(200),
  /** The host installation that runs it. */
  host: z.string().max(256),
  /** Start of the run, milliseconds since the epoch by that host's clock. */
  sinceMs: z.number(),
  /** Until when the run counts as alive if nothing more is heard of it. */
  aliveUntilMs: z.number(),
  /**
   * `snapshot`: made for a backup. `import`: a machine or disk that a restore is making. `overwrite`: the journal of an
   * overwrite is beside this mark. `offline`: a machine that was shut down for its backup and is to run again. `base`: a
   * disk's snapshot that increments build on, or the snapshot machine that still holds it.
   */
  role: z.enum(['snapshot', 'import', 'overwrite', 'offline', 'base']),
  /** Of a machine that was shut down: its UUID, for a copy of it has a copy of the mark. */
  machine: z.string().exactOptional(),
  /** Of a base: its own UUID. A mark that a copy or a snapshot of it has inherited says nothing of that one. */
  object: z.string().max(64).exactOptional(),
  /** The process that runs it, for those on the same machine. */
  process: z.string().max(100).exactOptional(),
  /** Of a base's disk: what is kept of it once its saveset is stored. */
  keep: z.enum(['metadata', 'snapshot']).exactOptional(),
});

/** What an object of ours in the pool says of its run. */
export type RunMark = z.infer<typeof markSchema>;

export interface RunIdentity {
  readonly runId: string;
  readonly hostId: string;
  readonly startedAtMs: number;
  /** Which process runs it. */
  readonly process?: string;
  /** UUID of the machine that a mark is put on, where a copy must be told from it. */
  readonly machine?: string;
}

/** What only the mark of a base says. */
export interface BaseMark {
  readonly object: string;
  readonly keep?: NonNullable<RunMark['keep']>;
}

/** The mark as text for `other_config`. */
export function runMark(run: RunIdentity, role: RunMark['role'], nowMs: number, base?: BaseMark): string {
  // The disks are marked before they are read; the snapshot that holds them, when all of it is on the medium.
  const isWaiting = role === 'base' && base?.keep === undefined;
  const mark: RunMark = {
    run: run.runId,
    host: run.hostId,
    sinceMs: run.startedAtMs,
    aliveUntilMs: nowMs + (isWaiting ? PENDING_BASE_LEASE_MS : LEASE_MS),
    role,
    // A base waits for its host, which may be another process by then.
    ...(role === 'base' || run.process === undefined ? {} : { process: run.process }),
    ...(run.machine === undefined ? {} : { machine: run.machine }),
    ...base,
  };
  return JSON.stringify(mark);
}

/** The mark in an `other_config`; undefined when there is none or it isn't one of ours. */
export function readRunMark(otherConfig: Readonly<Record<string, string>>): RunMark | undefined {
  const text = otherConfig[RUN_MARK_KEY];
  if (text === undefined) return undefined;
  try {
    const parsed = markSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

const OWN_NAME = /^\[xen-backup ([A-Za-z0-9][A-Za-z0-9._-]{0,127})\] /;

/** Name of an object that lives only as long as a run: it tells a person whose it is even without the mark. */
export function temporaryName(runId: string, name: string): string {
  return `[xen-backup ${runId}] ${name}`;
}

/** The run id in a name that `temporaryName` made. */
export function runOfTemporaryName(name: string): string | undefined {
  return OWN_NAME.exec(name)?.[1];
}
