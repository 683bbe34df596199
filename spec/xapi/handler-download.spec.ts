import { expect } from 'chai';
import { once } from 'node:events';
import { type Readable } from 'node:stream';
import { systemClock } from '../../src/common/clock.js';
import { HandlerDownload } from '../../src/xapi/handler-download.js';
import { type HandlerRequest } from '../../src/xapi/handler-request.js';
import { type Endpoint, trustedConnector } from '../../src/xapi/tls-trust.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { XapiError } from '../../src/xapi/xapi-error.js';
import { failureOf } from '../support/failure-of.js';
import { ManualClock } from '../support/manual-clock.js';
import { type RawServer, startRawServer, whenHead } from '../support/raw-server.js';

const OK = 'HTTP/1.0 200 OK\r\nConnection: close\r\ncontent-type: application/octet-stream\r\n\r\n';
const page = (details: string): string => {
  const body = `<html><body><h1> Additional information </h1>${details}</body></html>`;
  return `HTTP/1.1 500 Internal Error\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
};
const never = new Promise<string>(() => undefined);

describe('HandlerDownload', () => {
  const servers: RawServer[] = [];
  const downloads: HandlerDownload[] = [];

  afterEach(async () => {
    for (const one of downloads.splice(0)) one.release();
    await Promise.all(servers.splice(0).map((one) => one.close()));
  });

  const serve = async (answer: string | undefined, then: 'end' | 'stay' | 'cut' = 'end'): Promise<Endpoint> => {
    const server = await startRawServer((socket) => {
      whenHead(socket, () => {
        if (answer !== undefined) socket.write(answer);
        if (then === 'end') socket.end();
        if (then === 'cut') socket.destroy();
      });
    });
    servers.push(server);
    return { protocol: 'http:', host: '127.0.0.1', port: server.port };
  };
  const make = (clock = systemClock, limitMs = 5000): HandlerDownload => {
    const limits = { firstByteTimeoutMs: limitMs, idleTimeoutMs: limitMs, verdictTimeoutMs: limitMs };
    const download = new HandlerDownload(trustedConnector({ mode: 'system' }, 2000), limits, clock);
    downloads.push(download);
    return download;
  };
  const request = (parts: Partial<HandlerRequest> = {}): HandlerRequest => ({
    path: '/export',
    query: { ref: 'OpaqueRef:1', session_id: 'OpaqueRef:s' },
    signal: new AbortController().signal,
    verdict: never,
    redirect: () => Promise.reject(new TransportError('untrusted', 'no redirect expected')),
    ...parts,
  });
  const textOf = async (body: Readable): Promise<string> => {
    const chunks: Buffer[] = [];
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };

  it('gives the body up to the end of the connection, and asks with path and query', async () => {
    const endpoint = await serve(`${OK}ova.xml`);
    expect(await textOf(await make().download(endpoint, request()))).to.equal('ova.xml');
    expect(servers[0]!.received[0]).to.match(/^GET \/export\?ref=OpaqueRef%3A1&session_id=OpaqueRef%3As HTTP\/1.0\r\n/);
  });

  it('follows a redirect, and never reads its body: the connection may stay open', async () => {
    const target = await serve(`${OK}from there`);
    const first = await serve('HTTP/1.1 302 Found\r\nLocation: https://10.0.0.2/export?x=1\r\n\r\n', 'stay');
    const locations: string[] = [];
    const redirect = (location: string): Promise<Endpoint> => {
      locations.push(location);
      return Promise.resolve(target);
    };
    expect(await textOf(await make().download(first, request({ redirect })))).to.equal('from there');
    expect(locations).to.deep.equal(['https://10.0.0.2/export?x=1']);
    expect(servers[0]!.received[0]).to.contain('session_id=OpaqueRef%3As');
  });

  it('refuses a second redirect, and takes the refusal of a first', async () => {
    const again = await serve('HTTP/1.1 302 Found\r\nLocation: https://10.0.0.2/\r\n\r\n', 'stay');
    expect(await failureOf(make().download(again, request({ redirect: () => Promise.resolve(again) })))).to.include({
      kind: 'protocol',
    });
    expect(await failureOf(make().download(again, request()))).to.include({ kind: 'untrusted' });
    const refusing = await serve(page('X: [ ]'));
    expect(await failureOf(make().download(again, request({ redirect: () => Promise.resolve(refusing) })))).to.include({
      code: 'X',
    });
  });

  it("rejects with the page's error", async () => {
    const endpoint = await serve(page('VM_BAD_POWER_STATE: [ r; halted; running ]'));
    expect(await failureOf(make().download(endpoint, request()))).to.deep.include({
      code: 'VM_BAD_POWER_STATE',
      params: ['r', 'halted', 'running'],
    });
  });

  it("prefers the task's error to a page without a code", async () => {
    const endpoint = await serve('HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\n');
    let fail: (error: Error) => void = () => undefined;
    const verdict = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    // The task's word comes while the page is being judged.
    const clock = {
      nowMs: () => 0,
      sleep: () => (fail(new XapiError('INTERNAL_ERROR', ['format'])), never as Promise<never>),
    };
    expect(await failureOf(make(clock).download(endpoint, request({ verdict })))).to.deep.include({
      code: 'INTERNAL_ERROR',
    });
  });

  it('does not wait for the task after a 401, and not for ever after another status', async () => {
    const unauthorised = await serve('HTTP/1.1 401 Unauthorised\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    expect(await failureOf(make().download(unauthorised, request()))).to.include({
      kind: 'http-status',
      httpStatus: 401,
    });
    const clock = new ManualClock();
    const endpoint = await serve('HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\n');
    const failed = failureOf(make(clock).download(endpoint, request()));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(5_000);
    expect(await failed).to.include({ kind: 'http-status', httpStatus: 404 });
  });

  it('rejects with the task when only the task says that it failed, with no answer at all', async () => {
    const endpoint = await serve(undefined, 'stay');
    const verdict = Promise.reject(new XapiError('NO_HOSTS_AVAILABLE'));
    expect(await failureOf(make().download(endpoint, request({ verdict })))).to.include({ code: 'NO_HOSTS_AVAILABLE' });
  });

  it('asks the task why the connection closed without a word', async () => {
    const endpoint = await serve(undefined, 'cut');
    let fail: (error: Error) => void = () => undefined;
    const verdict = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    const clock = { nowMs: () => 0, sleep: () => (fail(new XapiError('NO_HOSTS_AVAILABLE')), never as Promise<never>) };
    expect(await failureOf(make(clock).download(endpoint, request({ verdict })))).to.include({
      code: 'NO_HOSTS_AVAILABLE',
    });
  });

  it('says interrupted when the task does not know either', async () => {
    const clock = new ManualClock();
    const endpoint = await serve(undefined, 'cut');
    const failed = failureOf(make(clock).download(endpoint, request()));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(5_000);
    expect(await failed).to.include({ kind: 'interrupted' });
  });

  it('leaves a body alone when its task fails later: whoever reads it compares', async () => {
    let fail: (error: Error) => void = () => undefined;
    const verdict = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    const endpoint = await serve(`${OK}all of it`);
    const body = await make().download(endpoint, request({ verdict }));
    fail(new XapiError('INTERNAL_ERROR'));
    expect(await textOf(body)).to.equal('all of it');
  });

  it('gives up on silence before the answer and in the middle of the body', async () => {
    const silent = await serve(undefined, 'stay');
    expect(await failureOf(make(systemClock, 200).download(silent, request()))).to.include({ kind: 'timeout' });
    const stalled = await serve(`${OK}some`, 'stay');
    const body = await make(systemClock, 200).download(stalled, request());
    expect(await failureOf(textOf(body))).to.include({ kind: 'timeout' });
  });

  it('lets the pool think before the first byte, though silence in the middle has a shorter limit', async () => {
    const limits = { firstByteTimeoutMs: 20_000, idleTimeoutMs: 100, verdictTimeoutMs: 5000 };
    let send = (): void => undefined;
    const server = await startRawServer((socket) => {
      whenHead(socket, () => {
        socket.write(OK);
        send = () => {
          socket.write('some');
        };
      });
    });
    servers.push(server);
    const download = new HandlerDownload(trustedConnector({ mode: 'system' }, 2000), limits, systemClock);
    downloads.push(download);
    const body = await download.download({ protocol: 'http:', host: '127.0.0.1', port: server.port }, request());
    const text = failureOf(textOf(body));
    // Longer than silence in the middle may last; a wrong limit ends it here.
    await systemClock.sleep(3 * limits.idleTimeoutMs);
    expect(body.destroyed).to.equal(false);
    send();
    expect(await text).to.include({ kind: 'timeout', message: `127.0.0.1:${server.port} sent nothing for 100 ms.` });
  });

  it('notices silence also after its reader has held the body back for long', async () => {
    const endpoint = await serve(`${OK}${'x'.repeat(3_000)}`, 'stay');
    const body = await make(systemClock, 100).download(endpoint, request());
    // What is there is not taken until the limit has passed once.
    await once(body, 'timeout');
    expect(body.destroyed).to.equal(false);
    expect(await failureOf(textOf(body))).to.include({ kind: 'timeout' });
  });

  it('ends with the reason of the signal: before, while waiting, and in the body', async () => {
    const reason = new Error('enough');
    const silent = await serve(undefined, 'stay');
    expect(await failureOf(make().download(silent, request({ signal: AbortSignal.abort(reason) })))).to.equal(reason);
    const waiting = new AbortController();
    const failed = failureOf(make().download(silent, request({ signal: waiting.signal })));
    waiting.abort(reason);
    expect(await failed).to.equal(reason);
    const reading = new AbortController();
    const endpoint = await serve(`${OK}some`, 'stay');
    const body = await make().download(endpoint, request({ signal: reading.signal }));
    const broken = failureOf(textOf(body));
    reading.abort(reason);
    expect(await broken).to.equal(reason);
  });

  it('survives an end that comes while the reader holds the body back', async () => {
    const rest = 'x'.repeat(300_000);
    const endpoint = await serve(`${OK}${rest}`);
    const body = await make().download(endpoint, request());
    let read = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      read += chunk.length;
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(read).to.equal(rest.length);
  });

  it('says unreachable when nobody listens', async () => {
    const endpoint = await serve(OK);
    await servers[0]!.close();
    expect(await failureOf(make().download(endpoint, request()))).to.include({ kind: 'unreachable' });
  });
});
