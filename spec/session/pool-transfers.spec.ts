import { expect } from 'chai';
import { Readable } from 'node:stream';
import { type ConnectionSettings } from '../../src/session/connection-settings.js';
import { type HandlerTask } from '../../src/session/pool-connection.js';
import { type XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { failureOf } from '../support/failure-of.js';
import { connectTo, FakePool } from './support/fake-pool.js';
import { type RpcHost, type RpcHosts, startRpcHosts } from '../support/rpc-hosts.js';

describe('the transfers of a connection, when a pool fails', () => {
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

  const connect = (parts: Partial<ConnectionSettings> = {}): XapiPoolConnection => connectTo(rpc, parts);
  const host = (index: number): RpcHost => rpc.hosts[index]!;
  const callsOf = (method: string): string[] =>
    rpc.hosts.flatMap(({ calls, address }) => calls.filter((call) => call.method === method).map(() => address));

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
