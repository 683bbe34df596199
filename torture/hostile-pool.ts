import { createServer as createHttpServer, type Server } from 'node:http';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import fc from 'fast-check';
import { generate } from 'selfsigned';
import { systemClock } from '../src/common/clock.js';
import { createPlugin } from '../src/plugin/create-plugin.js';
import { type ConnectionSettings } from '../src/session/connection-settings.js';
import { Credentials } from '../src/session/credentials.js';
import { type HandlerTask } from '../src/session/pool-connection.js';
import { PoolTransfers } from '../src/session/pool-transfers.js';
import { type Fault, startSimulatedPool } from '../src/simulator/index.js';
import { type RefOf } from '../src/xapi/xapi-records.js';
import { XenApiClient } from '../src/xapi/xen-api-client.js';
import { isTyped } from './hostile-targets.js';
import { textOf } from './judging.js';
import { edited, editedJson, edits, jsonEdits } from './mutations.js';
import { type PartResult } from './report.js';

const LIMIT_MS = 5_000;
const MEMBER = '127.0.0.1';
/** Speaks TLS with a certificate that nobody trusts. */
const FOREIGN = '127.0.0.66';

/** A pool that lies: in its answers, in where it redirects to, in who it says is the coordinator. */
export async function tortureWithHostilePool(seed: number, cases: number, isShort: boolean): Promise<PartResult> {
  const parts = [await withAnswers(seed, cases), await withRedirects(seed, cases), await withCoordinators(isShort)];
  const counts: Record<string, number> = {};
  for (const part of parts)
    for (const [what, count] of Object.entries(part.counts)) counts[what] = (counts[what] ?? 0) + count;
  return { counts, problems: parts.flatMap(({ problems }) => problems) };
}

async function listening(server: Server | TcpServer, host: string, port = 0): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** JSON-RPC answers, spoilt: a result, or one of our errors. */
async function withAnswers(seed: number, cases: number): Promise<PartResult> {
  let answer: Buffer = Buffer.alloc(0);
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(answer));
  });
  const port = await listening(server, MEMBER);
  const client = new XenApiClient({
    endpoint: { protocol: 'http:', host: MEMBER, port },
    trust: { mode: 'system' },
    connectTimeoutMs: LIMIT_MS,
  });
  client.adopt('OpaqueRef:torture');
  const sound = Buffer.from(
    '{"jsonrpc":"2.0","id":0,"result":{"OpaqueRef:1":{"uuid":"a","other_config":{"b":"c"},"VBDs":["OpaqueRef:2"]}}}',
  );
  const unsound = Buffer.from(
    '{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"HANDLE_INVALID","data":["VM","x"]}}',
  );
  const sample = fc.constantFrom(sound, unsound);
  const given = fc.oneof(
    fc.tuple(sample, jsonEdits).map(([bytes, all]) => editedJson(bytes, all)),
    fc.tuple(sample, edits).map(([bytes, all]) => edited(bytes, all)),
  );
  let refused = 0;
  const property = fc.asyncProperty(given, async (bytes) => {
    answer = bytes;
    try {
      await client.call('VM.get_all_records', [], { timeoutMs: LIMIT_MS });
    } catch (error) {
      if (!isTyped(error)) throw error;
      refused += 1;
    }
  });
  const { failed, errorInstance, counterexample } = await fc.check(property, { seed, numRuns: cases });
  await client.release();
  server.close();
  server.closeAllConnections();
  const problem = `JSON answers: ${String(errorInstance)} for ${String(counterexample).slice(0, 200)}`;
  return {
    counts: { cases, 'JSON answers: cases': cases, 'JSON answers: refused': refused },
    problems: failed ? [problem] : [],
  };
}

const TASK: HandlerTask = {
  ref: 'OpaqueRef:task' as RefOf<'task'>,
  uuid: 'task',
  verdict: new Promise(() => undefined),
  settled: () => Promise.resolve(),
  release: () => Promise.resolve(),
};

/** Transfers are redirected: never to a host that is none of the pool's. */
async function withRedirects(seed: number, cases: number): Promise<PartResult> {
  let strangers = 0;
  const foreign = createTcpServer((socket) => {
    strangers += 1;
    socket.on('error', () => undefined).destroy();
  });
  const foreignPort = await listening(foreign, FOREIGN);
  let location = '';
  const member = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`));
  });
  const port = await listening(member, MEMBER);
  const endpoint = { protocol: 'http:', host: MEMBER, port } as const;
  const settings: ConnectionSettings = {
    endpoint,
    credentials: new Credentials('root', 'secret'),
    trust: { mode: 'system' },
    dataTransport: 'http',
    httpPort: port,
    connectTimeoutMs: LIMIT_MS,
    callTimeoutMs: LIMIT_MS,
    firstByteTimeoutMs: LIMIT_MS,
    idleTimeoutMs: LIMIT_MS,
    reconnectTimeoutMs: LIMIT_MS,
  };
  const context = {
    session: () => ({ reference: 'OpaqueRef:secret', endpoint }),
    members: () => Promise.resolve([{ uuid: 'm', name: 'm', address: MEMBER }]),
    logInAgain: () => Promise.resolve(),
  };
  const transfers = new PoolTransfers(settings, context as never, systemClock);
  const samples = [
    `https://${FOREIGN}:${foreignPort}/export?session_id=x`,
    `http://${MEMBER}@${FOREIGN}:${foreignPort}/export`,
    `//${FOREIGN}:${foreignPort}/export`,
    `https://${MEMBER}.example:${foreignPort}/export`,
    `https://${MEMBER}/export`,
  ];
  let refused = 0;
  const property = fc.asyncProperty(fc.constantFrom(...samples), edits, fc.boolean(), async (sample, all, isWhole) => {
    const bytes = isWhole ? Buffer.from(sample) : edited(Buffer.from(sample), all);
    location = bytes
      .toString('latin1')
      .replace(/[\r\n]/g, '')
      .slice(0, 2000);
    try {
      const signal = new AbortController().signal;
      const stream = await transfers.download({ path: '/export', query: {}, task: TASK, signal });
      stream.destroy();
    } catch (error) {
      if (!isTyped(error)) throw error;
      refused += 1;
    }
    if (strangers > 0) throw new TypeError('a host outside the pool was connected to');
  });
  const { failed, errorInstance, counterexample } = await fc.check(property, { seed, numRuns: cases });
  transfers.release();
  member.close();
  foreign.close();
  const problem = `redirects: ${String(errorInstance)} for ${JSON.stringify(counterexample).slice(0, 300)}`;
  return {
    counts: { cases, 'redirects: cases': cases, 'redirects: refused': refused, 'redirects: strangers met': strangers },
    problems: failed ? [problem] : [],
  };
}

/** HOST_IS_SLAVE names somebody: nobody without a certificate that is trusted gets to see a byte of ours. */
async function withCoordinators(isShort: boolean): Promise<PartResult> {
  const problems: string[] = [];
  const pool = await startSimulatedPool();
  const port = Number(new URL(pool.url).port);
  let seenBytes = 0;
  const { cert, private: key } = await generate([{ name: 'commonName', value: FOREIGN }]);
  const foreign = createTlsServer({ cert, key }, (socket) => {
    socket.on('error', () => undefined).on('data', (bytes: Buffer) => (seenBytes += bytes.length));
  }).on('tlsClientError', () => undefined);
  await listening(foreign, FOREIGN, port);
  const addresses = [
    FOREIGN,
    `${FOREIGN}:${port}`,
    `root@${FOREIGN}`,
    `${FOREIGN}/`,
    '',
    ' ',
    '..',
    '[::1]',
    'a b',
    '\0',
  ];
  addresses.push(
    `${MEMBER}#@${FOREIGN}`,
    `${MEMBER}?${FOREIGN}`,
    'x'.repeat(5000),
    '%31',
    `${MEMBER}\r\nX: y`,
    '127.0.0.2',
  );
  const calls = ['session.login_with_password', 'event.from', 'VM.get_all_records', 'pool.get_all_records'];
  let [cases, refused] = [0, 0];
  for (const address of [undefined, ...(isShort ? addresses.slice(0, 1) : addresses)]) {
    for (const call of calls) {
      cases += 1;
      const lie: Fault = { match: { call }, action: { failWith: ['HOST_IS_SLAVE', address ?? ''] } };
      const remove = address === undefined ? nothing : pool.addFault(lie);
      const plugin = createPlugin({ clock: { nowMs: () => Date.now(), sleep: () => systemClock.sleep(1) } });
      try {
        const logger = { child: () => logger, error: nothing, warn: nothing, info: nothing, debug: nothing };
        const services = { logger, hostId: 'torture', resolveSecret: () => Promise.resolve(pool.password) };
        const { sources } = await plugin.activate(services);
        const trust = { fingerprints: pool.hosts.map(({ fingerprint256 }) => fingerprint256) };
        const limits = { callTimeoutMs: 1000, connectTimeoutMs: 1000, reconnectTimeoutMs: 100 };
        const settings = { url: pool.url, username: pool.username, password: 'env:X', trust, ...limits };
        const source = await sources[0]!.open({ name: 'torture', settings });
        await source.browser.list('/');
      } catch (error) {
        if (!isTyped(error) || address === undefined)
          problems.push(`HOST_IS_SLAVE ${address ?? 'never said'}: ${textOf(error)}`);
        refused += 1;
      } finally {
        remove();
        await plugin.deactivate();
      }
    }
  }
  if (seenBytes > 0) problems.push(`a host with another certificate was sent ${seenBytes} bytes`);
  foreign.close();
  await pool.close();
  const counts = {
    cases,
    'HOST_IS_SLAVE: cases': cases,
    'HOST_IS_SLAVE: refused': refused,
    'HOST_IS_SLAVE: bytes sent to strangers': seenBytes,
  };
  return { counts, problems };
}

const nothing = (): undefined => undefined;
