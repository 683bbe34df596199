import { expect } from 'chai';
import { type XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { failureOf } from '../support/failure-of.js';
import { cut, type FakePool, startFakePool } from './support/fake-pool.js';
import { type RpcAnswer, type RpcCall, type RpcHost } from '../support/rpc-hosts.js';

describe('SessionKeeper and the calls above it, when a pool fails', () => {
  let pool: FakePool;
  let connection: XapiPoolConnection;

  beforeEach(async () => {
    ({ pool, connection } = await startFakePool());
  });
  afterEach(() => pool.close());

  describe('at log-in', () => {
    it('needs three calls in all: log-in, members, log-out', async () => {
      await connection.open();
      await connection.close();
      expect(pool.host(0).calls.map(({ method }) => method)).to.deep.equal([
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
      expect(pool.callsOf('session.login_with_password')).to.deep.equal(['127.0.0.1', '127.0.0.2', '127.0.0.3']);
    });

    it('does not run in circles', async () => {
      pool.login = ({ address }) => ({ error: ['HOST_IS_SLAVE', address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'] });
      expect(await failureOf(connection.open())).to.include({ code: 'HOST_IS_SLAVE' });
      expect(pool.callsOf('session.login_with_password')).to.deep.equal(['127.0.0.1', '127.0.0.2']);
    });

    it('fails when a member names no coordinator, or one that is gone', async () => {
      pool.login = () => ({ error: ['HOST_IS_SLAVE'] });
      expect(await failureOf(connection.open())).to.include({ code: 'HOST_IS_SLAVE' });
      pool.login = undefined;
      pool.coordinator = '127.0.0.2';
      await pool.host(1).stop();
      connection = pool.connect();
      expect(await failureOf(connection.open())).to.include({ kind: 'unreachable' });
    });

    it('asks for pool and hosts by table where events are not to be had', async () => {
      pool.other = ({ method }) => {
        if (method === 'pool.get_all_records') return { result: { 'OpaqueRef:p': { master: 'OpaqueRef:b' } } };
        return { result: { 'OpaqueRef:a': { name_label: 'a' }, 'OpaqueRef:b': { name_label: 'b' } } };
      };
      const answer = pool.host(0).answer;
      pool.host(0).answer = (call) =>
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
      await pool.host(0).stop();
      pool.coordinator = '127.0.0.3';
      expect(await connection.call('VM.get_all')).to.equal('done');
      expect(connection.coordinatorAddress).to.equal('127.0.0.3');
    });

    it('ends the session of the old coordinator at the new one', async () => {
      await pool.host(0).stop();
      pool.coordinator = '127.0.0.2';
      await connection.call('VM.get_all');
      expect([...pool.sessions]).to.deep.equal(['OpaqueRef:session-2']);
      await connection.close();
      expect(pool.sessions.size).to.equal(0);
    });

    it('waits for a coordinator while members have none', async () => {
      await pool.host(0).stop();
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
      await pool.host(0).stop();
      pool.login = () => ({ error: ['HOST_STILL_BOOTING'] });
      const error = await failureOf(connection.call('VM.get_all'));
      expect(['HOST_STILL_BOOTING', undefined]).to.include((error as Error & { code?: string }).code);
      expect(pool.callsOf('session.login_with_password').length).to.be.greaterThan(4);
    });

    it('never repeats a log-in that was refused for its password', async () => {
      await pool.host(0).stop();
      pool.login = () => ({ error: ['SESSION_AUTHENTICATION_FAILED', 'root', 'no'] });
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'SESSION_AUTHENTICATION_FAILED' });
      expect(pool.callsOf('session.login_with_password')).to.have.lengthOf(2);
    });

    it('does not repeat a call that may have been executed', async () => {
      pool.other = () => cut;
      expect(await failureOf(connection.call('VM.snapshot', ['x', 'y']))).to.include({
        kind: 'interrupted',
        call: 'VM.snapshot',
      });
      expect(pool.callsOf('VM.snapshot')).to.have.lengthOf(1);
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
        expect(pool.callsOf(method)).to.have.lengthOf(2);
      }
    });

    it('makes a call again that was certainly not executed, whatever it does', async () => {
      pool.other = (_call, { address }) => {
        if (address !== '127.0.0.1') return { result: 'done' };
        pool.coordinator = '127.0.0.2';
        return { error: ['HOST_STILL_BOOTING'] };
      };
      expect(await connection.call('VM.snapshot', ['x', 'y'])).to.equal('done');
      expect(pool.callsOf('VM.snapshot')).to.deep.equal(['127.0.0.1', '127.0.0.2']);
    });

    it('logs in again only once for one call', async () => {
      pool.other = ({ params }) => ({ error: ['SESSION_INVALID', String(params[0])] });
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'SESSION_INVALID' });
      expect(pool.callsOf('session.login_with_password')).to.have.lengthOf(2);
    });

    it('does not follow HOST_IS_SLAVE in circles', async () => {
      const wander = ({ method }: RpcCall, at: RpcHost): RpcAnswer =>
        method === 'VM.get_all'
          ? { error: ['HOST_IS_SLAVE', at.address === '127.0.0.1' ? '127.0.0.2' : '127.0.0.1'] }
          : { result: '' };
      for (const one of [pool.host(0), pool.host(1)]) one.answer = (call) => wander(call, one);
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'HOST_IS_SLAVE' });
      expect(pool.callsOf('VM.get_all')).to.have.lengthOf(4);
    });

    it('lets a caller go whose signal aborts while a coordinator is looked for', async () => {
      await pool.host(0).stop();
      const controller = new AbortController();
      const reason = new Error('enough');
      pool.login = () => {
        controller.abort(reason);
        return { error: ['HOST_STILL_BOOTING'] };
      };
      expect(await failureOf(connection.call('VM.get_all', [], { signal: controller.signal }))).to.equal(reason);
    });

    it('stops looking when it is closed', async () => {
      await pool.host(0).stop();
      let closing: Promise<void> | undefined;
      pool.login = () => {
        closing ??= connection.close();
        return { error: ['HOST_STILL_BOOTING'] };
      };
      await failureOf(connection.call('VM.get_all'));
      await closing;
      expect(pool.callsOf('session.login_with_password').length).to.be.lessThan(6);
    });

    it('closes without an error when the pool is gone', async () => {
      await pool.stopAllHosts();
      await connection.close();
    });

    it('takes a session that ended by itself as logged out', async () => {
      pool.sessions.clear();
      await connection.close();
      expect(pool.callsOf('session.logout')).to.have.lengthOf(1);
    });
  });
});
