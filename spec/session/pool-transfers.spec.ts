import { expect } from 'chai';
import { Readable } from 'node:stream';
import { type XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { failureOf } from '../support/failure-of.js';
import { type FakePool, startFakePool } from './support/fake-pool.js';
import { PENDING_TASK } from './support/pending-task.js';

describe('the transfers of a connection, when a pool fails', () => {
  let pool: FakePool;
  let connection: XapiPoolConnection;

  beforeEach(async () => {
    ({ pool, connection } = await startFakePool());
  });
  afterEach(() => pool.close());

  describe('transfers', () => {
    const request = { path: '/export', query: {}, task: PENDING_TASK, signal: new AbortController().signal };
    /** Every call of a transfer at these hosts is a GET or PUT without a JSON body. */
    const transferAt = (index: number, status: number, headers: Record<string, string>, body = ''): void => {
      const before = pool.host(index).answer;
      pool.host(index).answer = (call) =>
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
      const body = await connection.download(request);
      expect(String(await Readable.from(body).toArray())).to.equal('data');
    });

    it('go to no host outside the pool, after asking once more who belongs to it', async () => {
      transferAt(0, 302, { location: 'https://127.0.0.99/export' });
      const asked = pool.callsOf('event.from').length;
      expect(await failureOf(connection.download(request))).to.include({
        kind: 'untrusted',
      });
      expect(pool.callsOf('event.from')).to.have.lengthOf(asked + 1);
    });

    it('go to the coordinator under the address by which we reach it', async () => {
      pool.ownAddress.set('127.0.0.1', '10.9.9.9');
      let isFirst = true;
      const before = pool.host(0).answer;
      pool.host(0).answer = (call) => {
        if (call.method !== 'xml') return before(call);
        const [status, headers] = isFirst ? [302, { location: 'https://10.9.9.9/export' }] : [200, {}];
        isFirst = false;
        return {
          byHand: (_request, response) => {
            response.writeHead(status, { connection: 'close', ...(headers as object) }).end('data');
          },
        };
      };
      const body = await connection.download(request);
      expect(String(await Readable.from(body).toArray())).to.equal('data');
    });

    it('refuse a redirect to nowhere', async () => {
      transferAt(0, 302, { location: '/relative' });
      expect(await failureOf(connection.download(request))).to.include({
        kind: 'protocol',
      });
    });

    it('are tried once more with a new session after a 401, not for ever', async () => {
      transferAt(0, 401, {});
      expect(await failureOf(connection.download(request))).to.include({
        httpStatus: 401,
      });
      expect(pool.callsOf('session.login_with_password')).to.have.lengthOf(2);
      expect(pool.callsOf('xml')).to.have.lengthOf(2);
    });

    it('do not begin when they are cancelled already, or after close', async () => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      expect(await failureOf(connection.download({ ...request, signal: aborted }))).to.equal(reason);
      await connection.close();
      expect(await failureOf(connection.download(request))).to.include({
        code: 'REQUEST_INVALID',
      });
    });
  });
});
