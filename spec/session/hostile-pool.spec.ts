import { expect } from 'chai';
import { createServer, type Server } from 'node:https';
import { type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { systemClock } from '../../src/common/clock.js';
import { Credentials } from '../../src/session/credentials.js';
import { Redactor } from '../../src/session/redact.js';
import { XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { XenApiClient } from '../../src/xapi/xen-api-client.js';
import { failureOf } from '../support/failure-of.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { testCertificate, type TestCertificate } from '../support/test-certificate.js';
import { PENDING_TASK } from './support/pending-task.js';

const PASSWORD = 'hunter22';
const SESSION = 'OpaqueRef:secret-session';
const THIEF = '127.0.0.2';

interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

/** A server with a certificate of its own that keeps all it is told. */
class Listener {
  readonly requests: string[] = [];
  connections = 0;
  answer: (method: string) => Answer = () => ({ status: 404 });
  readonly #server: Server;

  constructor({ key, cert }: TestCertificate) {
    this.#server = createServer({ key, cert }, (request, response) => {
      const parts: Buffer[] = [];
      const answer = (): void => {
        const text = Buffer.concat(parts).toString();
        this.requests.push(`${request.method} ${request.url} ${text}`);
        const method = text === '' ? 'transfer' : (JSON.parse(text) as { method: string }).method;
        const { status = 200, headers = {}, body } = this.answer(method);
        const type = { 'content-type': 'application/json' };
        response.writeHead(status, { connection: 'close', ...type, ...headers }).end(JSON.stringify(body));
      };
      request.on('data', (part: Buffer) => parts.push(part));
      // What is to be sent waits for the answer.
      if (request.method === 'PUT') answer();
      else request.on('end', answer);
    });
    this.#server.on('connection', () => (this.connections += 1)).on('tlsClientError', () => undefined);
  }

  /** False when the port is taken there. */
  async listen(address: string, port = 0): Promise<boolean> {
    return await new Promise((resolve) => {
      this.#server.once('error', () => {
        resolve(false);
      });
      this.#server.listen(port, address, () => {
        resolve(true);
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const result = (value: unknown): Answer => ({ body: { jsonrpc: '2.0', id: 0, result: value } });
const slaveOf = (address: string): Answer => ({
  body: { jsonrpc: '2.0', id: 0, error: { code: 1, message: 'HOST_IS_SLAVE', data: [address] } },
});
const member = (address: string): object => ({
  class: 'host',
  ref: `OpaqueRef:${address}`,
  operation: 'add',
  snapshot: { uuid: address, name_label: address, address },
});

describe('a hostile pool', () => {
  let certificates: readonly [pool: TestCertificate, thief: TestCertificate];
  let pool: Listener;
  let thief: Listener;
  let connection: XapiPoolConnection;
  let members: readonly string[];

  before(async () => {
    certificates = [await testCertificate(), await testCertificate([THIEF])];
  });

  beforeEach(async () => {
    for (;;) {
      [pool, thief] = [new Listener(certificates[0]), new Listener(certificates[1])];
      await pool.listen('127.0.0.1');
      if (await thief.listen(THIEF, pool.port)) break;
      await pool.close();
    }
    members = ['127.0.0.1'];
    pool.answer = honest;
    connection = connect([certificates[0].fingerprint]);
  });

  afterEach(async () => {
    await connection.close();
    await Promise.all([pool.close(), thief.close()]);
  });

  const honest = (method: string): Answer => {
    if (method === 'session.login_with_password') return result(SESSION);
    if (method !== 'event.from') return result('');
    const known = { class: 'pool', ref: 'OpaqueRef:p', operation: 'add', snapshot: { master: 'OpaqueRef:127.0.0.1' } };
    return result({ token: 't', events: [known, ...members.map(member)] });
  };
  const connect = (fingerprints: readonly string[]): XapiPoolConnection => {
    const trust = { mode: 'pinned', fingerprints } as const;
    return new XapiPoolConnection(
      {
        endpoint: { protocol: 'https:', host: '127.0.0.1', port: pool.port },
        credentials: new Credentials('root', PASSWORD),
        trust,
        dataTransport: 'https',
        httpPort: 80,
        connectTimeoutMs: 10_000,
        callTimeoutMs: 10_000,
        firstByteTimeoutMs: 10_000,
        idleTimeoutMs: 10_000,
        reconnectTimeoutMs: 100,
      },
      (endpoint) => new XenApiClient({ endpoint, trust, connectTimeoutMs: 10_000 }),
      systemClock,
      new RecordingLogger(),
      new Redactor(),
    );
  };
  const transfer = (direction: 'download' | 'upload'): Promise<unknown> => {
    const request = { path: '/export', query: {}, task: PENDING_TASK, signal: new AbortController().signal };
    return direction === 'download'
      ? connection.download(request)
      : connection.upload({ ...request, body: Readable.from(['secret data']), bytes: 11 });
  };
  const redirectTo = (location: string): void => {
    pool.answer = (method) =>
      method === 'transfer'
        ? { status: 302, headers: { location: `${location}/export?session_id=x` } }
        : honest(method);
  };

  it('gets no password to where a log-in is sent, when the certificate there is not trusted', async () => {
    pool.answer = () => slaveOf(THIEF);
    expect(await failureOf(connection.open())).to.include({ kind: 'untrusted' });
    expect(thief.connections).to.equal(1);
    expect(thief.requests).to.deep.equal([]);
  });

  it('gets no session to where a later call is sent', async () => {
    await connection.open();
    pool.answer = () => slaveOf(THIEF);
    expect(await failureOf(connection.call('VM.get_all'))).to.include({ kind: 'untrusted' });
    expect(thief.connections).to.be.greaterThan(0);
    await connection.close();
    expect(thief.requests).to.deep.equal([]);
  });

  it('has no redirect of a call followed, not even to a member', async () => {
    await connection.open();
    members = ['127.0.0.1', THIEF];
    pool.answer = () => ({ status: 302, headers: { location: `https://${THIEF}:${thief.port}/jsonrpc` } });
    expect(await failureOf(connection.call('VM.get_all'))).to.include({ kind: 'http-status', httpStatus: 302 });
    expect(thief.connections).to.equal(0);
  });

  for (const direction of ['download', 'upload'] as const) {
    it(`gets no ${direction} out of the pool`, async () => {
      await connection.open();
      redirectTo(`https://${THIEF}:${thief.port}`);
      expect(await failureOf(transfer(direction))).to.include({ kind: 'untrusted' });
      expect(thief.connections).to.equal(0);
    });

    it(`gets no ${direction} to what it calls a member, without a certificate that is trusted`, async () => {
      members = ['127.0.0.1', THIEF];
      await connection.open();
      redirectTo(`https://${THIEF}:${thief.port}`);
      expect(await failureOf(transfer(direction))).to.include({ kind: 'untrusted' });
      expect(thief.connections).to.equal(1);
      expect(thief.requests).to.deep.equal([]);
    });

    it(`gets no ${direction} from https to http`, async () => {
      await connection.open();
      redirectTo(`http://127.0.0.1:${pool.port}`);
      const before = pool.requests.length;
      expect(await failureOf(transfer(direction))).to.include({ kind: 'untrusted' });
      expect(pool.requests.length).to.equal(before + 1);
    });

    it(`can not lead a ${direction} in a circle`, async () => {
      await connection.open();
      redirectTo(`https://127.0.0.1:${pool.port}`);
      const before = pool.requests.length;
      expect(await failureOf(transfer(direction))).to.include({ kind: 'protocol' });
      expect(pool.requests.length).to.equal(before + 2);
    });
  }

  describe('whose members are all trusted', () => {
    beforeEach(() => {
      connection = connect(certificates.map(({ fingerprint }) => fingerprint));
    });

    it('can not lead a log-in in a circle', async () => {
      pool.answer = () => slaveOf(THIEF);
      thief.answer = () => slaveOf('127.0.0.1');
      expect(await failureOf(connection.open())).to.include({ code: 'HOST_IS_SLAVE' });
      expect(pool.requests.length + thief.requests.length).to.equal(2);
    });

    it('can not lead a call in a circle', async () => {
      await connection.open();
      pool.answer = () => slaveOf(THIEF);
      thief.answer = () => slaveOf('127.0.0.1');
      const before = pool.requests.length;
      expect(await failureOf(connection.call('VM.get_all'))).to.include({ code: 'HOST_IS_SLAVE' });
      expect(pool.requests.length - before + thief.requests.length).to.equal(4);
    });
  });
});
