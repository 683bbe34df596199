import { expect } from 'chai';
import { Readable } from 'node:stream';
import { type Clock } from '../../src/common/clock.js';
import { type ConnectionSettings } from '../../src/session/connection-settings.js';
import { Credentials } from '../../src/session/credentials.js';
import { type HandlerTask } from '../../src/session/pool-connection.js';
import { Redactor } from '../../src/session/redact.js';
import { XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { XenApiClient } from '../../src/xapi/xen-api-client.js';
import { failureOf } from '../support/failure-of.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { type RpcAnswer, type RpcCall, type RpcHost, type RpcHosts, startRpcHosts } from '../support/rpc-hosts.js';

/** Time that passes by itself whenever somebody waits. */
class EagerClock implements Clock {
  #nowMs = 0;
  nowMs(): number {
    return this.#nowMs;
  }
  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#nowMs += delayMs;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
}

/** A pool of three that knows log-in, log-out and its members; the rest a spec says. */
class FakePool {
  readonly sessions = new Set<string>();
  coordinator = '127.0.0.1';
  /** What hosts say to other calls. */
  other: (call: RpcCall, host: RpcHost) => RpcAnswer = () => ({ result: 'done' });
  /** What hosts say to a log-in, when not what they ought to. */
  /** Addresses as the pool itself knows them, where they differ from ours (NAT). */
  readonly ownAddress = new Map<string, string>();
  login: ((host: RpcHost) => RpcAnswer | undefined) | undefined;
  #count = 0;

  constructor(readonly rpc: RpcHosts) {
    for (const host of rpc.hosts) host.answer = (call) => this.#answer(call, host);
  }

  #answer(call: RpcCall, host: RpcHost): RpcAnswer {
    if (call.method === 'session.login_with_password') {
      const odd = this.login?.(host);
      if (odd !== undefined) return odd;
      if (host.address !== this.coordinator) return { error: ['HOST_IS_SLAVE', this.coordinator] };
      this.#count += 1;
      this.sessions.add(`OpaqueRef:session-${this.#count}`);
      return { result: `OpaqueRef:session-${this.#count}` };
    }
    const session = String(call.params[0]);
    if (!this.sessions.has(session)) return { error: ['SESSION_INVALID', session] };
    if (host.address !== this.coordinator) return { error: ['HOST_IS_SLAVE', this.coordinator] };
    if (call.method === 'session.logout') {
      this.sessions.delete(session);
      return { result: '' };
    }
    if (call.method === 'event.from' && JSON.stringify(call.params[1]) === '["pool","host"]')
      return { result: this.#members() };
    return this.other(call, host);
  }

  #members(): object {
    const ref = (address: string): string => `OpaqueRef:host-${address}`;
    const hosts = this.rpc.hosts.map(({ address }) => ({
      class: 'host',
      ref: ref(address),
      operation: 'add',
      snapshot: { uuid: address, name_label: address, address: this.ownAddress.get(address) ?? address },
    }));
    const pool = {
      class: 'pool',
      ref: 'OpaqueRef:pool',
      operation: 'add',
      snapshot: { master: ref(this.coordinator) },
    };
    return { token: 't', events: [pool, ...hosts] };
  }
}

const cut: RpcAnswer = {
  byHand: (request) => {
    request.socket.destroy();
  },
};

describe('SessionKeeper and the calls above it, when a pool fails', () => {
  let rpc: RpcHosts;
  let pool: FakePool;
  let connection: XapiPoolConnection;

  beforeEach(async () => {
    rpc = await startRpcHosts(3);
    pool = new FakePool(rpc);
    connection = connect();
  });
  afterEach(async () => {
    await connection.close();
    await rpc.close();
  });

  const connect = (parts: Partial<ConnectionSettings> = {}): XapiPoolConnection => {
    const settings: ConnectionSettings = {
      endpoint: { protocol: 'http:', host: '127.0.0.1', port: rpc.port },
      credentials: new Credentials('root', 'hunter22'),
      trust: { mode: 'system' },
      dataTransport: 'https',
      httpPort: 80,
      connectTimeoutMs: 1000,
      callTimeoutMs: 2000,
      firstByteTimeoutMs: 1000,
      idleTimeoutMs: 1000,
      reconnectTimeoutMs: 20_000,
      ...parts,
    };
    return new XapiPoolConnection(
      settings,
      (endpoint) => new XenApiClient({ endpoint, trust: settings.trust, connectTimeoutMs: settings.connectTimeoutMs }),
      new EagerClock(),
      new RecordingLogger(),
      new Redactor(),
    );
  };
  const host = (index: number): RpcHost => rpc.hosts[index]!;
  const callsOf = (method: string): string[] =>
    rpc.hosts.flatMap(({ calls, address }) => calls.filter((call) => call.method === method).map(() => address));

  describe('at log-in', () => {
    it('needs three calls in all: log-in, members, log-out', async () => {
      await connection.open();
      await connection.close();
      expect(host(0).calls.map(({ method }) => method)).to.deep.equal([
        'session.login_with_password',
        'event.from',
        'session.logout',
      ]);
      expect(pool.sessions.size).to.equal(0);
    });

    it('follows a chain of HOST_IS_SLAVE to its end', async () => {
      pool.coordinator = '127.0.0.3';
      pool.login = ({ address }) => (address === '127.0.0.1' ? { error: ['HOST_IS_SLAVE', '127.0.0.2'] } : undefined);
      await connection.open();
      expect(connection.coordinatorAddress).to.equal('127.0.0.3');
      expect(connection.members[0]!.address).to.equal('127.0.0.3');
      expect(callsOf('session.login_with_password')).to.deep.equal(['127.0.0.1', '127.0.0.2', '127.0.0.3']);
    });

    it('does not run in circles', async () => {
      pool.login = ({ address }) => ({ error: ['HOST_IS_SLAVE', address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'] });
      expect(await failureOf(connection.open())).to.include({ code: 'HOST_IS_SLAVE' });
      expect(callsOf('session.login_with_password')).to.deep.equal(['127.0.0.1', '127.0.0.2']);
    });

    it('fails when a member names no coordinator, or one that is gone', async () => {
      pool.login = () => ({ error: ['HOST_IS_SLAVE'] });
      expect(await failureOf(connection.open())).to.include({ code: 'HOST_IS_SLAVE' });
      pool.login = undefined;
      pool.coordinator = '127.0.0.2';
      await host(1).stop();
      connection = connect();
      expect(await failureOf(connection.open())).to.include({ kind: 'unreachable' });
    });

    it('asks for pool and hosts by table where events are not to be had', async () => {
      pool.other = ({ method }) => {
        if (method === 'pool.get_all_records') return { result: { 'OpaqueRef:p': { master: 'OpaqueRef:b' } } };
        return { result: { 'OpaqueRef:a': { name_label: 'a' }, 'OpaqueRef:b': { name_label: 'b' } } };
      };
      const answer = host(0).answer;
      host(0).answer = (call) =>
        call.method === 'event.from' ? { error: ['MESSAGE_METHOD_UNKNOWN', 'event.from'] } : answer(call);
      await connection.open();
      expect(connection.members.map(({ name }) => name)).to.deep.equal(['b', 'a']);
    });
  });

  describe('in a live session', () => {
    beforeEach(async () => {
      await connection.open();
    });

    it('finds the new coordinator among the members when the old one is gone', async () => {
      await host(0).stop();
      pool.coordinator = '127.0.0.3';
      expect(await connection.call('VM.get_all')).to.equal('done');
      expect(connection.coordinatorAddress).to.equal('127.0.0.3');
    });

    it('ends the session of the old coordinator at the new one', async () => {
      await host(0).stop();
      pool.coordinator = '127.0.0.2';
      await connection.call('VM.get_all');
      expect([...pool.sessions]).to.deep.equal(['OpaqueRef:session-2']);
      await connection.close();
      expect(pool.sessions.size).to.equal(0);
    });

    it('waits for a coordinator while members have none', async () => {
      await host(0).stop();
      let tries = 0;
      pool.login = ({ address }) => {
        tries += 1;
        if (tries === 5) pool.coordinator = '127.0.0.2';
        if (tries >= 5) return undefined;
        return address === '127.0.0.2' ? { error: ['HOST_IS_SLAVE', '127.0.0.1'] } : { error: ['HOST_STILL_BOOTING'] };
      };
      expect(await connection.call('VM.get_all')).to.equal('done');
    });

    it('gives up after the configured time, with the last reason', async () => {
      await host(0).stop();
      pool.login = () => ({ error: ['HOST_STILL_BOOTING'] });
      const error = await failureOf(connection.call('VM.get_all'));
      expect(['HOST_STILL_BOOTING', undefined]).to.include((error as Error & { code?: string }).code);
      expect(callsOf('session.login_with_password').length).to.be.greaterThan(4);
    });

    it('never repeats a log-in that was refused for its password', async () => {
      await host(0).stop();
      pool.login = () => ({ error: ['SESSION_AUTHENTICATION_FAILED', 'root', 'no'] });
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'SESSION_AUTHENTICATION_FAILED' });
      expect(callsOf('session.login_with_password')).to.have.lengthOf(2);
    });

    it('does not repeat a call that may have been executed', async () => {
      pool.other = () => cut;
      expect(await failureOf(connection.call('VM.snapshot', ['x', 'y']))).to.include({
        kind: 'interrupted',
        call: 'VM.snapshot',
      });
      expect(callsOf('VM.snapshot')).to.have.lengthOf(1);
    });

    it('repeats a broken call that only reads, or that the caller says may be repeated', async () => {
      for (const [method, isIdempotent] of [
        ['VM.get_all', undefined],
        ['VDI.destroy', true],
      ] as const) {
        let isFirst = true;
        pool.other = () => {
          if (!isFirst) return { result: 'second' };
          isFirst = false;
          return cut;
        };
        const options = isIdempotent === undefined ? {} : { isIdempotent };
        expect(await connection.call(method, [], options)).to.equal('second');
        expect(callsOf(method)).to.have.lengthOf(2);
      }
    });

    it('makes a call again that was certainly not executed, whatever it does', async () => {
      pool.other = (_call, { address }) => {
        if (address !== '127.0.0.1') return { result: 'done' };
        pool.coordinator = '127.0.0.2';
        return { error: ['HOST_STILL_BOOTING'] };
      };
      expect(await connection.call('VM.snapshot', ['x', 'y'])).to.equal('done');
      expect(callsOf('VM.snapshot')).to.deep.equal(['127.0.0.1', '127.0.0.2']);
    });

    it('logs in again only once for one call', async () => {
      pool.other = ({ params }) => ({ error: ['SESSION_INVALID', String(params[0])] });
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'SESSION_INVALID' });
      expect(callsOf('session.login_with_password')).to.have.lengthOf(2);
    });

    it('does not follow HOST_IS_SLAVE in circles', async () => {
      const wander = ({ method }: RpcCall, at: RpcHost): RpcAnswer =>
        method === 'VM.get_all'
          ? { error: ['HOST_IS_SLAVE', at.address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'] }
          : { result: '' };
      for (const one of [host(0), host(1)]) one.answer = (call) => wander(call, one);
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'HOST_IS_SLAVE' });
      expect(callsOf('VM.get_all')).to.have.lengthOf(4);
    });

    it('lets a caller go whose signal aborts while a coordinator is looked for', async () => {
      await host(0).stop();
      const controller = new AbortController();
      const reason = new Error('enough');
      pool.login = () => {
        controller.abort(reason);
        return { error: ['HOST_STILL_BOOTING'] };
      };
      expect(await failureOf(connection.call('VM.get_all', [], { signal: controller.signal }))).to.equal(reason);
    });

    it('stops looking when it is closed', async () => {
      await host(0).stop();
      let closing: Promise<void> | undefined;
      pool.login = () => {
        closing ??= connection.close();
        return { error: ['HOST_STILL_BOOTING'] };
      };
      await failureOf(connection.call('VM.get_all'));
      await closing;
      expect(callsOf('session.login_with_password').length).to.be.lessThan(6);
    });

    it('closes without an error when the pool is gone', async () => {
      await rpc.close();
      await connection.close();
    });

    it('takes a session that ended by itself as logged out', async () => {
      pool.sessions.clear();
      await connection.close();
      expect(callsOf('session.logout')).to.have.lengthOf(1);
    });
  });

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
      expect(callsOf('event.from')).to.have.lengthOf(2);
      expect(callsOf('VDI.get_record')).to.have.lengthOf(4);
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
      expect(callsOf('event.from')).to.have.lengthOf(2);
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
      expect(callsOf('task.destroy')).to.have.lengthOf(1);
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
      expect(callsOf('task.cancel')).to.have.lengthOf(1);
    });

    it('does not start what is cancelled already', async () => {
      const reason = new Error('enough');
      expect(
        await failureOf(connection.callTask('VM.snapshot', ['x'], { signal: AbortSignal.abort(reason) })),
      ).to.equal(reason);
      expect(callsOf('Async.VM.snapshot')).to.deep.equal([]);
    });
  });

  describe('createTask', () => {
    it('removes the task when it cannot be followed', async () => {
      await connection.open();
      pool.other = ({ method }) => (method === 'event.from' ? { error: ['TOO_BUSY'] } : { result: 'OpaqueRef:t' });
      expect(await failureOf(connection.createTask('a', 'b'))).to.include({ code: 'TOO_BUSY' });
      expect(['task.cancel', 'task.set_status', 'task.destroy'].flatMap(callsOf)).to.have.lengthOf(3);
    });
  });

  describe('transfers', () => {
    const task: HandlerTask = {
      ref: 'OpaqueRef:t' as RefOf<'task'>,
      uuid: 'u',
      verdict: new Promise(() => undefined),
      settled: () => Promise.resolve(),
      release: () => Promise.resolve(),
    };
    const signal = new AbortController().signal;
    const query = {};
    /** Every call of a transfer at these hosts is a GET or PUT without a JSON body. */
    const transferAt = (index: number, status: number, headers: Record<string, string>, body = ''): void => {
      const before = host(index).answer;
      host(index).answer = (call) =>
        call.method === 'xml'
          ? {
              byHand: (_request, response) => {
                response.writeHead(status, { connection: 'close', ...headers }).end(body);
              },
            }
          : before(call);
    };

    beforeEach(async () => {
      await connection.open();
    });

    it('go to a member that a redirect names, at the port of the pool', async () => {
      transferAt(0, 302, { location: 'https://127.0.0.2/export?ref=x' });
      transferAt(1, 200, {}, 'data');
      const body = await connection.download({ path: '/export', query, task, signal });
      expect(String(await Readable.from(body).toArray())).to.equal('data');
    });

    it('go to no host outside the pool, after asking once more who belongs to it', async () => {
      transferAt(0, 302, { location: 'https://127.0.0.99/export' });
      const asked = callsOf('event.from').length;
      expect(await failureOf(connection.download({ path: '/export', query, task, signal }))).to.include({
        kind: 'untrusted',
      });
      expect(callsOf('event.from')).to.have.lengthOf(asked + 1);
    });

    it('go to the coordinator under the address by which we reach it', async () => {
      pool.ownAddress.set('127.0.0.1', '10.9.9.9');
      let isFirst = true;
      const before = host(0).answer;
      host(0).answer = (call) => {
        if (call.method !== 'xml') return before(call);
        const [status, headers] = isFirst ? [302, { location: 'https://10.9.9.9/export' }] : [200, {}];
        isFirst = false;
        return {
          byHand: (_request, response) => {
            response.writeHead(status, { connection: 'close', ...(headers as object) }).end('data');
          },
        };
      };
      const body = await connection.download({ path: '/export', query, task, signal });
      expect(String(await Readable.from(body).toArray())).to.equal('data');
    });

    it('refuse a redirect to nowhere', async () => {
      transferAt(0, 302, { location: '/relative' });
      expect(await failureOf(connection.download({ path: '/export', query, task, signal }))).to.include({
        kind: 'protocol',
      });
    });

    it('are tried once more with a new session after a 401, not for ever', async () => {
      transferAt(0, 401, {});
      expect(await failureOf(connection.download({ path: '/export', query, task, signal }))).to.include({
        httpStatus: 401,
      });
      expect(callsOf('session.login_with_password')).to.have.lengthOf(2);
      expect(callsOf('xml')).to.have.lengthOf(2);
    });

    it('do not begin when they are cancelled already, or after close', async () => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      expect(await failureOf(connection.download({ path: '/export', query, task, signal: aborted }))).to.equal(reason);
      await connection.close();
      expect(await failureOf(connection.download({ path: '/export', query, task, signal }))).to.include({
        code: 'REQUEST_INVALID',
      });
    });
  });
});
