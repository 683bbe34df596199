import { type RunningPool } from '../../../src/simulator/index.js';

/** The calls that a pool gets from now on, in order, each by its name without `Async.`. */
export function recordCalls(running: RunningPool): readonly string[] {
  const calls: string[] = [];
  onCall(running, (call) => calls.push(call));
  return calls;
}

/** Runs before a pool does a call, with the call's name without `Async.`. */
export function onCall({ pool: { faults } }: RunningPool, look: (call: string) => void): void {
  const forCall = faults.forCall.bind(faults);
  faults.forCall = (call) => {
    look(call.replace(/^Async\./, ''));
    return forCall(call);
  };
}

/**
 * As if the process died at a call: from the first one on of which `diesAt` says so the pool refuses all. It gets the
 * call's name without `Async.` and how many there were before. The returned function ends it.
 */
export function dieAtCall(
  { pool: { faults } }: RunningPool,
  diesAt: (call: string, callsBefore: number) => boolean,
): () => void {
  const forCall = faults.forCall.bind(faults);
  let callsBefore = 0;
  let isDead = false;
  faults.forCall = (call) => {
    isDead ||= diesAt(call.replace(/^Async\./, ''), callsBefore);
    callsBefore += 1;
    return isDead ? [{ failWith: ['INTERNAL_ERROR', 'the process is dead'] }] : forCall(call);
  };
  return () => {
    faults.forCall = forCall;
  };
}
