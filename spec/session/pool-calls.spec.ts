import { expect } from 'chai';
import { type XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { failureOf } from '../support/failure-of.js';
import { type FakePool, startFakePool } from './support/fake-pool.js';
import { type RpcAnswer, type RpcCall } from '../support/rpc-hosts.js';

describe('the calls of a connection, when a pool fails', () => {
  let pool: FakePool;
  let connection: XapiPoolConnection;

  beforeEach(async () => {
    ({ pool, connection } = await startFakePool());
  });
  afterEach(() => pool.close());

  describe('records', () => {
    const VDI = 'OpaqueRef:vdi' as RefOf<'VDI'>;
    const GONE = 'OpaqueRef:gone' as RefOf<'VDI'>;
    const wanted = [
      { cls: 'VDI' as const, ref: VDI },
      { cls: 'VDI' as const, ref: GONE },
    ];
    const byCalls = ({ method, params }: RpcCall): RpcAnswer | undefined => {
      if (method !== 'VDI.get_record') return undefined;
      return params[1] === VDI ? { result: { uuid: 'v' } } : { error: ['HANDLE_INVALID', 'VDI', GONE] };
    };

    beforeEach(async () => {
      await connection.open();
    });

    it('are asked for one by one where a release refuses events of single objects, and from then on', async () => {
      pool.other = (call) => byCalls(call) ?? { error: ['EVENT_SUBSCRIPTION_PARSE_FAILURE', 'VDI/x'] };
      for (let time = 0; time < 2; time += 1) {
        expect([...(await connection.records(wanted)).keys()]).to.deep.equal([VDI]);
      }
      expect(pool.callsOf('event.from')).to.have.lengthOf(2);
      expect(pool.callsOf('VDI.get_record')).to.have.lengthOf(4);
    });

    it('are asked for one by one where a release matches nothing', async () => {
      pool.other = (call) => byCalls(call) ?? { result: { token: 't', events: [] } };
      expect([...(await connection.records(wanted)).keys()]).to.deep.equal([VDI]);
    });

    it('are one call, whatever their number, and strangers among the events are left out', async () => {
      pool.other = () => ({
        result: {
          token: 't',
          events: [
            { class: 'vdi', ref: VDI, operation: 'add', snapshot: { uuid: 'v' } },
            { class: 'vdi', ref: 'OpaqueRef:strange', operation: 'add', snapshot: {} },
            { class: 'vdi', ref: GONE, operation: 'del' },
          ],
        },
      });
      expect([...(await connection.records(wanted)).keys()]).to.deep.equal([VDI]);
      expect(pool.callsOf('event.from')).to.have.lengthOf(2);
    });

    it('pass other errors on', async () => {
      pool.other = () => ({ error: ['TOO_BUSY'] });
      expect(await failureOf(connection.records(wanted))).to.include({ code: 'TOO_BUSY' });
      pool.other = ({ method }) => (method === 'event.from' ? { result: {} } : { error: ['TOO_BUSY'] });
      expect(await failureOf(connection.records(wanted))).to.include({ code: 'TOO_BUSY' });
    });
  });

  describe('callTask', () => {
    const task = (fields: object): RpcAnswer => ({
      result: {
        token: 't',
        events: [
          {
            class: 'task',
            ref: 'OpaqueRef:t',
            operation: 'mod',
            snapshot: { uuid: 'u', status: 'pending', ...fields },
          },
        ],
      },
    });
    let cancelled: boolean;
    let atEnd: object;

    beforeEach(async () => {
      await connection.open();
      cancelled = false;
      pool.other = ({ method }) => {
        if (method === 'Async.VM.snapshot') return { result: 'OpaqueRef:t' };
        if (method === 'task.cancel') {
          cancelled = true;
          return { result: '' };
        }
        if (method === 'event.from') return task(cancelled ? atEnd : {});
        return { result: '' };
      };
    });

    it('cancels the task when the signal aborts, waits for its end, and rejects with the reason', async () => {
      atEnd = { status: 'cancelled' };
      const controller = new AbortController();
      const reason = new Error('enough');
      const work = connection.callTask('VM.snapshot', ['x'], {
        signal: controller.signal,
        onProgress: () => {
          controller.abort(reason);
        },
      });
      expect(await failureOf(work)).to.equal(reason);
      expect(pool.callsOf('task.destroy')).to.have.lengthOf(1);
    });

    it('gives the result of a task that made it all the same: only the caller can undo it', async () => {
      atEnd = { status: 'success', result: '<value>OpaqueRef:snapshot</value>' };
      const controller = new AbortController();
      const work = connection.callTask('VM.snapshot', ['x'], {
        signal: controller.signal,
        onProgress: () => {
          controller.abort(new Error('enough'));
        },
      });
      expect(await work).to.equal('OpaqueRef:snapshot');
    });

    it('cancels the task when the time is over', async () => {
      atEnd = { status: 'failure', error_info: ['TASK_CANCELLED', 'OpaqueRef:t'] };
      expect(await failureOf(connection.callTask('VM.snapshot', ['x'], { timeoutMs: 50 }))).to.include({
        kind: 'timeout',
      });
      expect(pool.callsOf('task.cancel')).to.have.lengthOf(1);
    });

    it('does not start what is cancelled already', async () => {
      const reason = new Error('enough');
      expect(
        await failureOf(connection.callTask('VM.snapshot', ['x'], { signal: AbortSignal.abort(reason) })),
      ).to.equal(reason);
      expect(pool.callsOf('Async.VM.snapshot')).to.deep.equal([]);
    });
  });

  describe('createTask', () => {
    it('removes the task when it cannot be followed', async () => {
      await connection.open();
      pool.other = ({ method }) => (method === 'event.from' ? { error: ['TOO_BUSY'] } : { result: 'OpaqueRef:t' });
      expect(await failureOf(connection.createTask('a', 'b'))).to.include({ code: 'TOO_BUSY' });
      expect(
        ['task.cancel', 'task.set_status', 'task.destroy'].flatMap((method) => pool.callsOf(method)),
      ).to.have.lengthOf(3);
    });
  });
});
