import { type ReconcileReport } from '../contract/index.js';
import { type InterruptedOverwrite, readJournal } from '../restore/overwrite-journal.js';
import { JOURNAL_DONE_KEY, JOURNAL_KEY } from '../restore/machine-state.js';
import { LEASE_MS, readRunMark, runOfTemporaryName } from '../session/run-marks.js';
import { type RefOf, type VdiRecord, type VmRecord, xapiDateMs } from '../xapi/xapi-records.js';

/** A snapshot with our name but without our mark is left alone for as long as its run may still be marking it. */
const UNMARKED_GRACE_MS = 4 * LEASE_MS;

export type Finding = ReconcileReport['removed'][number];

export interface ReconcileSituation {
  readonly machines: ReadonlyMap<RefOf<'VM'>, VmRecord>;
  readonly disks: ReadonlyMap<RefOf<'VDI'>, VdiRecord>;
  readonly hostId: string;
  readonly nowMs: number;
  /** What this process knows of a run. */
  readonly stateOf: (runId: string) => 'running' | 'ended' | 'unknown';
}

export interface OverwritePlan {
  readonly interrupted: readonly { readonly overwrite: InterruptedOverwrite; readonly finding: Finding }[];
  /** Machines with the word "done" and no journal: the last line of a finished overwrite. */
  readonly strayKeys: readonly { readonly ref: RefOf<'VM'>; readonly finding: Finding }[];
  readonly kept: readonly Finding[];
  /** Runs whose imports must stay because their overwrite stays as it is. */
  readonly keptRuns: ReadonlySet<string>;
}

export interface RemovalPlan {
  readonly machines: readonly { readonly ref: RefOf<'VM'>; readonly finding: Finding }[];
  readonly disks: readonly { readonly ref: RefOf<'VDI'>; readonly finding: Finding }[];
  /** Disks that a machine uses and that still carry the mark of their import. */
  readonly staleMarks: readonly { readonly ref: RefOf<'VDI'>; readonly finding: Finding }[];
  readonly kept: readonly Finding[];
}

/** Which interrupted overwrites are to be finished or undone. Pure. */
export function planOverwrites(situation: ReconcileSituation): OverwritePlan {
  const isAlive = livenessOf(situation);
  const interrupted: OverwritePlan['interrupted'][number][] = [];
  const strayKeys: OverwritePlan['strayKeys'][number][] = [];
  const kept: Finding[] = [];
  const keptRuns = new Set<string>();
  for (const [ref, machine] of situation.machines) {
    if (machine.is_a_snapshot) continue;
    const journal = readJournal(machine.other_config);
    const isDone = JOURNAL_DONE_KEY in machine.other_config;
    if (journal?.machine !== machine.uuid) {
      if (JOURNAL_KEY in machine.other_config) kept.push(ofMachine(machine, 'carries the journal of another machine'));
      else if (isDone) strayKeys.push({ ref, finding: ofMachine(machine, 'its overwrite had ended') });
      continue;
    }
    const reason =
      whyKept(journal, situation, isAlive) ??
      (isDone || machine.power_state === 'Halted'
        ? undefined
        : 'its overwrite was interrupted, but it runs; shut it down first');
    if (reason === undefined) {
      const why = isDone ? 'its interrupted overwrite was finished' : 'its interrupted overwrite was undone';
      interrupted.push({ overwrite: { ref, journal, isDone }, finding: ofMachine(machine, why) });
    } else {
      kept.push(ofMachine(machine, reason));
      keptRuns.add(journal.run);
    }
  }
  return { interrupted, strayKeys, kept, keptRuns };
}

/** Which snapshots, machines and disks of dead runs are to go. Pure. */
export function planRemovals(situation: ReconcileSituation, keptRuns: ReadonlySet<string>): RemovalPlan {
  const isAlive = livenessOf(situation);
  const kept: Finding[] = [];
  const machines: RemovalPlan['machines'][number][] = [];
  for (const [ref, machine] of situation.machines) {
    const verdict = judgeMachine(machine, situation, isAlive, keptRuns);
    if (verdict === undefined) continue;
    if (verdict.isRemoved) machines.push({ ref, finding: ofMachine(machine, verdict.why) });
    else kept.push(ofMachine(machine, verdict.why));
  }
  // The control domain holds a disk while the pool copies it or reads it.
  const busy = new Set(
    [...situation.machines.values()].filter((machine) => machine.is_control_domain).flatMap(({ VBDs }) => VBDs),
  );
  const going = new Set(machines.flatMap(({ ref }) => situation.machines.get(ref)?.VBDs ?? []));
  const disks: RemovalPlan['disks'][number][] = [];
  const staleMarks: RemovalPlan['staleMarks'][number][] = [];
  for (const [ref, disk] of situation.disks) {
    const mark = readRunMark(disk.other_config);
    if (mark?.role !== 'import' || disk.is_a_snapshot) continue;
    const holders = disk.VBDs.filter((device) => !going.has(device));
    const reason = keptRuns.has(mark.run)
      ? 'belongs to an overwrite that is left as it is'
      : whyKept(mark, situation, isAlive);
    if (reason !== undefined) kept.push(ofDisk(disk, reason));
    else if (holders.some((device) => busy.has(device))) kept.push(ofDisk(disk, 'the pool still works on it'));
    else if (holders.length > 0)
      staleMarks.push({ ref, finding: ofDisk(disk, 'a machine uses it; only its mark was removed') });
    // What hangs on a machine that goes, goes with it.
    else if (disk.VBDs.length === 0) disks.push({ ref, finding: ofDisk(disk, `left by run ${mark.run}`) });
  }
  return { machines, disks, staleMarks, kept };
}

export type Liveness = (runId: string) => boolean;

/** A run lives when this process runs it, or when it may be another's and one of its marks has been renewed lately. */
export function livenessOf({ machines, disks, nowMs, stateOf }: ReconcileSituation): Liveness {
  const aliveUntilMs = new Map<string, number>();
  const note = (run: string, untilMs: number): void => {
    aliveUntilMs.set(run, Math.max(untilMs, aliveUntilMs.get(run) ?? 0));
  };
  for (const { other_config: config } of [...machines.values(), ...disks.values()]) {
    const mark = readRunMark(config);
    if (mark !== undefined) note(mark.run, mark.aliveUntilMs);
    const journal = readJournal(config);
    if (journal !== undefined) note(journal.run, journal.aliveUntilMs);
  }
  return (run) => {
    const state = stateOf(run);
    return state === 'unknown' ? (aliveUntilMs.get(run) ?? 0) > nowMs : state === 'running';
  };
}

export function whyKept(
  { run, host }: { readonly run: string; readonly host: string },
  { hostId }: ReconcileSituation,
  isAlive: Liveness,
): string | undefined {
  if (host !== hostId) return `belongs to the host ${host}`;
  return isAlive(run) ? `its run ${run} may still be alive` : undefined;
}

function judgeMachine(
  machine: VmRecord,
  situation: ReconcileSituation,
  isAlive: Liveness,
  keptRuns: ReadonlySet<string>,
): { readonly isRemoved: boolean; readonly why: string } | undefined {
  const mark = readRunMark(machine.other_config);
  const namedRun = runOfTemporaryName(machine.name_label);
  if (mark === undefined) {
    if (namedRun === undefined || !machine.is_a_snapshot) return undefined;
    const isYoung = situation.nowMs - xapiDateMs(machine.snapshot_time) < UNMARKED_GRACE_MS;
    if (isAlive(namedRun) || isYoung) return { isRemoved: false, why: `its run ${namedRun} may still be alive` };
    return { isRemoved: true, why: `left by run ${namedRun} before it was marked` };
  }
  // The bases of increments are judged by themselves.
  if (mark.role === 'base' && machine.is_a_snapshot) return undefined;
  // Neither are machines that were shut down: they are started, not removed.
  if (mark.role === 'offline' && !machine.is_a_snapshot) return undefined;
  const isWhatItSays =
    mark.role === 'snapshot'
      ? machine.is_a_snapshot && namedRun === mark.run
      : mark.role === 'import' && !machine.is_a_snapshot;
  if (!isWhatItSays) return { isRemoved: false, why: 'a copy of something of ours, or renamed' };
  if (keptRuns.has(mark.run)) return { isRemoved: false, why: 'belongs to an overwrite that is left as it is' };
  const reason = whyKept(mark, situation, isAlive);
  return reason === undefined ? { isRemoved: true, why: `left by run ${mark.run}` } : { isRemoved: false, why: reason };
}

export function ofMachine(machine: VmRecord, why: string): Finding {
  return { kind: machine.is_a_snapshot ? 'snapshot' : 'machine', id: machine.uuid, name: machine.name_label, why };
}

function ofDisk(disk: VdiRecord, why: string): Finding {
  return { kind: 'disk', id: disk.uuid, name: disk.name_label, why };
}
