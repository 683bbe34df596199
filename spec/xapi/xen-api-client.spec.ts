import { expect } from 'chai';
import { AsyncResource } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type ServerResponse } from 'node:http';
import { TransportError } from '../../src/xapi/transport-error.js';
import { XenApiClient } from '../../src/xapi/xen-api-client.js';
import { failureOf } from '../support/failure-of.js';
import { startRawServer } from '../support/raw-server.js';
import { type RpcAnswer, type RpcHosts, startRpcHosts } from '../support/rpc-hosts.js';
import { testCertificate } from '../support/test-certificate.js';

const LOGIN = { username: 'root', password: 'hunter22', originator: 'spec' };
const byHand = (write: (response: ServerResponse) => void): RpcAnswer => ({
  byHand: (_request, response) => {
    write(response);
  },
});
const json = (body: unknown): RpcAnswer =>
  byHand((response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });

describe('XenApiClient', () => {
  let pool: RpcHosts;
  let client: XenApiClient;

  beforeEach(async () => {
    pool = await startRpcHosts(1);
    client = new XenApiClient({
      endpoint: { protocol: 'http:', host: '127.0.0.1', port: pool.port },
      trust: { mode: 'system' },
      connectTimeoutMs: 2000,
    });
  });
  afterEach(async () => {
    await client.release();
    await pool.close();
  });

  const answer = (reply: RpcAnswer): void => {
    pool.hosts[0]!.answer = () => reply;
  };
  const call = (timeoutMs = 2000, signal?: AbortSignal): Promise<unknown> => {
    client.adopt('OpaqueRef:s');
    return client.call('VM.get_all', [], { timeoutMs, signal });
  };

  describe('login', () => {
    it('sends user, password, version and originator, in one call, and keeps the session', async () => {
      answer({ result: 'OpaqueRef:s' });
      expect(await client.login(LOGIN, 1000)).to.equal('OpaqueRef:s');
      expect(client.session).to.equal('OpaqueRef:s');
      expect(pool.hosts[0]!.calls.map(({ method, params }) => [method, params])).to.deep.equal([
        ['session.login_with_password', ['root', 'hunter22', '1.0', 'spec']],
      ]);
    });

    it('refuses an answer that is no session', async () => {
      answer({ result: { Value: 1 } });
      expect(await failureOf(client.login(LOGIN, 1000))).to.include({ kind: 'protocol' });
    });

    it('sends nothing at all to a server whose certificate is not the pinned one', async () => {
      const server = await startRawServer(() => undefined, await testCertificate());
      const wary = new XenApiClient({
        endpoint: { protocol: 'https:', host: '127.0.0.1', port: server.port },
        trust: { mode: 'pinned', fingerprints: [Array(32).fill('00').join(':')] },
        connectTimeoutMs: 2000,
      });
      try {
        expect(await failureOf(wary.login(LOGIN, 2000)))
          .to.be.instanceOf(TransportError)
          .and.to.include({ kind: 'untrusted' });
        await server.whenGone();
        expect(server.received.join('')).to.equal('');
      } finally {
        await wary.release();
        await server.close();
      }
    });
  });

  describe('call', () => {
    it('puts the session first and gives the result', async () => {
      answer({ result: ['OpaqueRef:1'] });
      expect(await call()).to.deep.equal(['OpaqueRef:1']);
      expect(pool.hosts[0]!.calls[0]!.params).to.deep.equal(['OpaqueRef:s']);
    });

    it('is refused without a session, with nothing sent', async () => {
      expect(await failureOf(client.call('VM.get_all', [], { timeoutMs: 1000 }))).to.include({
        code: 'SESSION_INVALID',
      });
      expect(pool.hosts[0]!.calls).to.deep.equal([]);
    });

    it('sends what is called when an answer has come before it reads that answer', async () => {
      answer({ result: [] });
      await Promise.all([call(), call()]); // Leaves two connections: a new one would take a while to open.
      const happened: string[] = [];
      const onSent = (message: unknown): void => {
        happened.push(
          `sent ${String((message as { request: { body?: string } }).request.body).replace(/.*"VM\.|",.*/g, '')}`,
        );
      };
      subscribe('undici:client:sendHeaders', onSent);
      try {
        let second: Promise<unknown> | undefined;
        const onAnswered = (): void => {
          happened.push('answered');
          second = client.call('VM.get_two', [], { timeoutMs: 2000 });
        };
        await client.call('VM.get_one', [], { timeoutMs: 2000, onAnswered });
        happened.push('read');
        await second;
      } finally {
        unsubscribe('undici:client:sendHeaders', onSent);
      }
      expect(happened).to.deep.equal(['sent get_one', 'answered', 'sent get_two', 'read']);
    });

    it("gives the pool's error with the method and without arguments", async () => {
      answer({ error: ['HANDLE_INVALID', 'VM', 'OpaqueRef:1'] });
      const error = await failureOf(call());
      expect(error).to.deep.include({ code: 'HANDLE_INVALID', params: ['VM', 'OpaqueRef:1'], call: 'VM.get_all' });
    });

    it('reads errors of JSON-RPC 1 and of hosts in emergency mode, which are arrays', async () => {
      answer(json({ result: null, error: ['SESSION_INVALID', 'x'], id: 0 }));
      expect(await failureOf(call())).to.include({ code: 'SESSION_INVALID' });
      answer(json({ jsonrpc: '2.0', error: ['HOST_STILL_BOOTING'], id: 0 }));
      expect(await failureOf(call())).to.deep.include({ code: 'HOST_STILL_BOOTING', params: [] });
    });

    it('reads a result that only looks like such an error, and a large one', async () => {
      answer(json({ jsonrpc: '2.0', result: '"error":[1]', id: 0 }));
      expect(await call()).to.equal('"error":[1]');
      answer(json({ jsonrpc: '2.0', result: 'x'.repeat(100_000), id: 0 }));
      expect(await call()).to.have.lengthOf(100_000);
    });

    it('falls back to XML-RPC on hosts without JSON-RPC', async () => {
      const server = await startRawServer((socket) => {
        socket.on('data', (chunk) => {
          const isXml = chunk.toString().startsWith('POST /xmlrpc');
          const body = isXml
            ? '<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name><value>Failure</value></member><member><name>ErrorDescription</name><value><array><data><value>HOST_IS_SLAVE</value><value>10.0.0.1</value></data></array></value></member></struct></value></param></params></methodResponse>'
            : '<html></html>';
          socket.write(`HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
        });
      });
      const old = new XenApiClient({
        endpoint: { protocol: 'http:', host: '127.0.0.1', port: server.port },
        trust: { mode: 'system' },
        connectTimeoutMs: 2000,
      });
      try {
        const both = await Promise.all([failureOf(old.login(LOGIN, 2000)), failureOf(old.login(LOGIN, 2000))]);
        for (const failure of both) {
          expect(failure).to.deep.include({ code: 'HOST_IS_SLAVE', params: ['10.0.0.1'] });
        }
        expect(await failureOf(old.login(LOGIN, 2000))).to.include({ code: 'HOST_IS_SLAVE' });
        expect(server.received.join('').match(/POST \/jsonrpc/g), 'asked in JSON').to.have.lengthOf(2);
      } finally {
        await old.release();
        await server.close();
      }
    });

    it('gives an HTTP error as such', async () => {
      answer(byHand((response) => response.writeHead(500, { 'content-type': 'text/html' }).end('<html></html>')));
      expect(await failureOf(call())).to.include({ kind: 'http-status', httpStatus: 500 });
    });

    it('gives an answer that is none as such', async () => {
      answer(byHand((response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"error":[')));
      expect(await failureOf(call())).to.include({ kind: 'protocol' });
      answer(byHand((response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('hello')));
      expect(await failureOf(call())).to.include({ kind: 'protocol' });
    });

    it('gives a connection that ends without an answer as interrupted', async () => {
      answer(byHand((response) => response.socket?.destroy()));
      expect(await failureOf(call())).to.include({ kind: 'interrupted' });
    });

    it('gives a host that is not there as unreachable', async () => {
      await pool.close();
      expect(await failureOf(call())).to.include({ kind: 'unreachable', systemCode: 'ECONNREFUSED' });
    });

    it('gives up on a silent host when the time is over, and frees the connection', async () => {
      const closed = new Promise<void>((resolve) => {
        answer(byHand((response) => response.on('close', resolve)));
      });
      expect(await failureOf(call(100))).to.include({ kind: 'timeout' });
      await closed;
    });

    it('ends with the reason of the signal, before and while it waits', async () => {
      const reason = new Error('enough');
      expect(await failureOf(call(1000, AbortSignal.abort(reason)))).to.equal(reason);
      expect(pool.hosts[0]!.calls).to.deep.equal([]);
      const controller = new AbortController();
      answer(
        byHand(() => {
          controller.abort(reason);
        }),
      );
      expect(await failureOf(call(2000, controller.signal))).to.equal(reason);
    });
  });

  describe('release', () => {
    it('leaves no burden on what the process does later', async () => {
      const burden = (): number => Object.getOwnPropertySymbols(new AsyncResource('spec')).length;
      const before = burden();
      answer({ result: [] });
      await call();
      await client.release();
      expect(burden()).to.equal(before);
    });
  });

  describe('logout', () => {
    it('ends the session once and forgets it even when that fails', async () => {
      answer({ error: ['SESSION_INVALID', 'OpaqueRef:s'] });
      client.adopt('OpaqueRef:s');
      expect(await failureOf(client.logout(1000))).to.include({ code: 'SESSION_INVALID' });
      expect(client.session).to.equal(undefined);
      await client.logout(1000);
      expect(pool.hosts[0]!.calls).to.have.lengthOf(1);
    });
  });
});
