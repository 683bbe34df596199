import { isRunProcessAlive } from '../session/run-process.js';
import { readRunMark, runOfTemporaryName } from '../session/run-marks.js';
import { type VmRecord, xapiDateMs } from '../xapi/xapi-records.js';

/** How long a run may take from its snapshot to the mark on it. */
const UNMARKED_MS = 60_000;
/** A lease that seems to last longer comes from a clock that was far ahead; nobody waits for that. */
const LONGEST_LEASE_MS = 24 * 60 * 60_000;

export interface RivalSituation {
  /** The run that asks. */
  readonly runId: string;
  /** Its snapshot, once there is one. */
  readonly own?: VmRecord | undefined;
  /** Snapshots of the machine. */
  readonly snapshots: readonly VmRecord[];
  readonly nowMs: number;
  /** What this process knows of a run. */
  readonly stateOf: (runId: string) => 'running' | 'ended' | 'unknown';
}

export interface Rival {
  readonly runId: string;
  readonly hostId: string | undefined;
}

/**
 * Another backup of the same machine that is under way, whosever it is. Of two that began at the same time the one with
 * the older snapshot goes on.
 */
export function rivalOf({ runId, own, snapshots, nowMs, stateOf }: RivalSituation): Rival | undefined {
  for (const snapshot of snapshots) {
    const run = runOfTemporaryName(snapshot.name_label);
    if (run === undefined || run === runId) continue;
    if (own !== undefined && !isBefore(snapshot, own)) continue;
    const mark = readRunMark(snapshot.other_config);
    const state = stateOf(run);
    const isUnderWay = state === 'unknown' ? seemsUnderWay(snapshot, run, nowMs) : state === 'running';
    // A base waits for its host's word, not for a run.
    if (isUnderWay && mark?.role !== 'base') return { runId: run, hostId: mark?.host };
  }
  return undefined;
}

function seemsUnderWay({ other_config: config, snapshot_time: time }: VmRecord, run: string, nowMs: number): boolean {
  const mark = readRunMark(config);
  // By the pool's clock, so that a wrong one does no more than let both go on.
  if (mark === undefined) return Math.abs(nowMs - xapiDateMs(time)) < UNMARKED_MS;
  if (mark.run !== run) return false;
  const leftMs = mark.aliveUntilMs - nowMs;
  return isRunProcessAlive(mark.process) ?? (leftMs > 0 && leftMs <= LONGEST_LEASE_MS);
}

/** By the pool's word, the same for whoever looks. */
function isBefore(one: VmRecord, other: VmRecord): boolean {
  const [oneAtMs, otherAtMs] = [xapiDateMs(one.snapshot_time), xapiDateMs(other.snapshot_time)];
  return oneAtMs === otherAtMs ? one.uuid < other.uuid : oneAtMs < otherAtMs;
}
