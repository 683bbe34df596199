import { readRunMark } from '../session/run-marks.js';
import { type RefOf, type VmRecord } from '../xapi/xapi-records.js';
import { type Finding, livenessOf, ofMachine, type ReconcileSituation, whyKept } from './reconcile-plan.js';

/** A machine with the mark of a backup that had shut it down and is dead. */
export interface AbandonedMachine {
  readonly ref: RefOf<'VM'>;
  readonly record: VmRecord;
  /** When the run began that had shut it down. */
  readonly sinceMs: number;
  readonly finding: Finding;
}

export interface OfflinePlan {
  /** To be started, unless somebody has done so since. */
  readonly starts: readonly AbandonedMachine[];
  /** They run again: only their mark goes. */
  readonly marks: readonly AbandonedMachine[];
  readonly kept: readonly Finding[];
}

/**
 * What becomes of machines that a dead run had shut down for its backup. Started is only the very machine that the run had
 * marked, not a copy, which carries the mark too; and only when it is down and the pool does nothing with it. Pure.
 */
export function planOffline(situation: ReconcileSituation): OfflinePlan {
  const isAlive = livenessOf(situation);
  const starts: AbandonedMachine[] = [];
  const marks: AbandonedMachine[] = [];
  const kept: Finding[] = [];
  for (const [ref, record] of situation.machines) {
    const mark = readRunMark(record.other_config);
    if (mark?.role !== 'offline' || record.is_a_snapshot) continue;
    const found = (why: string): AbandonedMachine => ({
      ref,
      record,
      sinceMs: mark.sinceMs,
      finding: ofMachine(record, why),
    });
    const isSame = mark.machine === record.uuid && !record.is_a_template;
    const reason =
      whyKept(mark, situation, isAlive) ??
      (isSame
        ? undefined
        : 'carries the mark of a machine that was shut down for a backup; a copy of it is not started') ??
      (Object.keys(record.current_operations).length > 0 ? 'the pool works on it at this moment' : undefined);
    if (reason !== undefined) kept.push(ofMachine(record, reason));
    else if (record.power_state === 'Halted')
      starts.push(found('was shut down for a backup that broke off; started again'));
    else marks.push(found('was shut down for a backup that broke off, and runs; only its mark was removed'));
  }
  return { starts, marks, kept };
}
