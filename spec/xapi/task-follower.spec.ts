import { expect } from 'chai';
import { followTask, removeTask, seeTask, TASK_LOST, type TaskCall } from '../../src/xapi/task-follower.js';
import { XapiError } from '../../src/xapi/xapi-error.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { failureOf } from '../support/failure-of.js';
import { ManualClock } from '../support/manual-clock.js';

const REF = 'OpaqueRef:task' as RefOf<'task'>;
type Step = (method: string, args: readonly unknown[]) => unknown;

/** The pool's side of the calls, step by step; each step answers one call. */
function script(...steps: readonly Step[]): { call: TaskCall; calls: string[] } {
  const calls: string[] = [];
  const call: TaskCall = (method, args) => {
    const step = steps[calls.length];
    calls.push(`${method} ${JSON.stringify(args.slice(1))}`);
    return Promise.resolve().then(() => step?.(method, args) ?? failure('SCRIPT_OVER')(method, args));
  };
  return { call, calls };
}
const failure = (code: string, ...params: string[]): Step => {
  return () => {
    throw new XapiError(code, params);
  };
};
const batch = (token: string, ...events: readonly object[]): Step => {
  return () => ({ token, events, valid_ref_counts: { task: 1 } });
};
const seen = (record: object, token = '1,0', operation = 'add'): Step =>
  batch(token, {
    class: 'task',
    ref: REF,
    operation,
    snapshot: { uuid: 'u', status: 'pending', progress: 0, ...record },
  });
const follow = (call: TaskCall, onProgress?: (fraction: number) => void): Promise<string> =>
  followTask(REF, { call, clock: new ManualClock(), onProgress });

describe('task-follower', () => {
  describe('followTask', () => {
    it('needs one call for a task that is already over', async () => {
      const { call, calls } = script(seen({ status: 'success', result: '<value></value>' }));
      expect(await follow(call)).to.equal('<value></value>');
      expect(calls).to.deep.equal(['event.from ["",0]']);
    });

    it('waits by events with the token of the look before, and passes progress on', async () => {
      const { call, calls } = script(
        seen({ progress: 0.25 }, 'a'),
        seen({ progress: 7 }, 'b', 'mod'),
        seen({ status: 'success', result: 'r' }, 'c', 'mod'),
      );
      const progress: number[] = [];
      expect(await follow(call, (fraction) => progress.push(fraction))).to.equal('r');
      expect(progress).to.deep.equal([0.25, 1]);
      expect(calls).to.deep.equal(['event.from ["",0]', 'event.from ["a",30.1]', 'event.from ["b",30.1]']);
    });

    it('looks afresh when nothing came: the token may be of another coordinator', async () => {
      const { call, calls } = script(seen({}, 'a'), batch('a'), seen({ status: 'success', result: 'r' }));
      expect(await follow(call)).to.equal('r');
      expect(calls[2]).to.equal('event.from ["",0]');
    });

    it('looks afresh when events were lost', async () => {
      for (const code of ['EVENTS_LOST', 'EVENT_FROM_TOKEN_PARSE_FAILURE']) {
        const { call } = script(seen({}), failure(code), seen({ status: 'success', result: code }));
        expect(await follow(call)).to.equal(code);
      }
    });

    it("rejects with the task's error and its UUID", async () => {
      const failed = script(seen({ status: 'failure', error_info: ['VDI_IN_USE', 'x'] }));
      expect(await failureOf(follow(failed.call))).to.deep.include({
        code: 'VDI_IN_USE',
        params: ['x'],
        taskUuid: 'u',
      });
      const cancelled = script(seen({ status: 'cancelled', error_info: [] }));
      expect(await failureOf(follow(cancelled.call))).to.include({ code: 'TASK_CANCELLED', taskUuid: 'u' });
    });

    it('knows a task that vanished: by its del event, and by its missing record', async () => {
      const deleted = script(seen({}), batch('b', { class: 'task', ref: REF, operation: 'del' }));
      expect(await failureOf(follow(deleted.call))).to.include({ code: TASK_LOST });
      const missing = script(batch('b'), failure('HANDLE_INVALID', 'task', REF));
      expect(await failureOf(follow(missing.call))).to.include({ code: TASK_LOST });
    });

    it('passes every other error on', async () => {
      expect(await failureOf(follow(script(failure('TOO_BUSY')).call))).to.include({ code: 'TOO_BUSY' });
      expect(await failureOf(follow(script(batch('b'), failure('TOO_BUSY')).call))).to.include({ code: 'TOO_BUSY' });
      expect(await failureOf(follow(script(seen({}), failure('TOO_BUSY')).call))).to.include({ code: 'TOO_BUSY' });
    });

    it('looks every two seconds on a release without such events', async () => {
      const refused = failure('EVENT_SUBSCRIPTION_PARSE_FAILURE', 'task/x');
      const { call, calls } = script(
        refused,
        () => ({ uuid: 'u', status: 'pending', progress: '0.5' }),
        refused,
        () => ({ uuid: 'u', status: 'success', result: 'r' }),
      );
      const clock = new ManualClock();
      const result = followTask(REF, { call, clock });
      while (clock.sleeping === 0) await clock.advance(0);
      expect(calls).to.have.lengthOf(2);
      await clock.advance(2_000);
      expect(await result).to.equal('r');
    });

    it('goes on from an earlier look without repeating it', async () => {
      const { call, calls } = script(seen({}), seen({ status: 'success', result: 'r' }));
      const from = await seeTask(REF, call);
      expect(await followTask(REF, { call, clock: new ManualClock(), from })).to.equal('r');
      expect(calls).to.have.lengthOf(2);
    });
  });

  describe('removeTask', () => {
    it('only destroys a task that ended', async () => {
      const { call, calls } = script(() => '');
      await removeTask(REF, call, false);
      expect(calls).to.deep.equal(['task.destroy []']);
    });

    it('cancels and ends a pending one first, and goes on when a step fails', async () => {
      const { call, calls } = script(
        failure('MAP_DUPLICATE_KEY'),
        failure('HANDLE_INVALID'),
        failure('HANDLE_INVALID'),
      );
      await removeTask(REF, call, true);
      expect(calls).to.deep.equal(['task.cancel []', 'task.set_status ["failure"]', 'task.destroy []']);
    });
  });
});
