import { expect } from 'chai';
import { type Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { type Clock, systemClock } from '../../src/common/clock.js';
import { HandlerUpload, type UploadRequest } from '../../src/xapi/handler-upload.js';
import { type Endpoint, trustedConnector } from '../../src/xapi/tls-trust.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { XapiError } from '../../src/xapi/xapi-error.js';
import { failureOf } from '../support/failure-of.js';
import { ManualClock } from '../support/manual-clock.js';
import { type RawServer, startRawServer, whenHead } from '../support/raw-server.js';
import { testCertificate } from '../support/test-certificate.js';

const OK = 'HTTP/1.1 200 OK\r\nConnection: close\r\ntask-id:OpaqueRef:t\r\n\r\n';
const page = (details: string): string => {
  const body = `<html><body><h1> Additional information </h1>${details}</body></html>`;
  return `HTTP/1.1 500 Internal Error\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
};
const RESULT = '<value>OpaqueRef:vm</value>';

/** A task's verdict, given when the spec says so. */
class TaskWord {
  succeed: (result: string) => void = () => undefined;
  fail: (error: Error) => void = () => undefined;
  readonly verdict = new Promise<string>((resolve, reject) => {
    this.succeed = resolve;
    this.fail = reject;
  });
  constructor() {
    this.verdict.catch(() => undefined);
  }
}

describe('HandlerUpload', () => {
  const servers: RawServer[] = [];
  let task: TaskWord;

  beforeEach(() => {
    task = new TaskWord();
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((one) => one.close()));
  });

  const serve = async (act: (socket: Socket, head: string) => void): Promise<Endpoint> => {
    const server = await startRawServer((socket) => {
      whenHead(socket, (head) => {
        act(socket, head);
      });
    });
    servers.push(server);
    return { protocol: 'http:', host: '127.0.0.1', port: server.port };
  };
  const upload = (
    endpoint: Endpoint,
    parts: Partial<UploadRequest> = {},
    clock: Clock = systemClock,
    limitMs = 5000,
  ): Promise<string> => {
    const limits = { firstByteTimeoutMs: limitMs, idleTimeoutMs: limitMs, verdictTimeoutMs: limitMs };
    return new HandlerUpload(trustedConnector({ mode: 'system' }, 2000), limits, clock).upload(endpoint, {
      path: '/import',
      query: { sr_id: 'OpaqueRef:sr' },
      signal: new AbortController().signal,
      verdict: task.verdict,
      redirect: () => Promise.reject(new TransportError('untrusted', 'no redirect expected')),
      body: Readable.from([Buffer.from('archive')]),
      bytes: 7,
      ...parts,
    });
  };
  /** Takes `count` bytes of body, then acts. */
  const afterBody = (socket: Socket, count: number, act: () => void): void => {
    let got = 0;
    socket.on('data', (chunk: Buffer) => {
      got += chunk.length;
      if (got >= count) act();
    });
  };
  /** A clock on which every wait is the moment for `act`. */
  const clockThat = (act: () => void): Clock => ({
    nowMs: () => 0,
    sleep: () => {
      act();
      return new Promise<void>(() => undefined);
    },
  });

  it('sends the head alone, then the body after the status line, with its exact length and never chunked', async () => {
    let atAnswer = '';
    const endpoint = await serve((socket, head) => {
      atAnswer = head;
      afterBody(socket, 7, () => {
        task.succeed(RESULT);
      });
      socket.write(OK);
    });
    expect(await upload(endpoint)).to.equal(RESULT);
    expect(atAnswer).to.match(
      /^PUT \/import\?sr_id=OpaqueRef%3Asr HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\nContent-Length: 7\r\n/,
    );
    expect(atAnswer.endsWith('\r\n\r\n')).to.equal(true);
    expect(servers[0]!.received[0]!.slice(atAnswer.length)).to.equal('archive');
  });

  it('says of each piece when it has left, and of none that is on its way', async () => {
    const pieces = Array.from({ length: 24 }, (_none, index) => Buffer.alloc(1024 * 1024, index));
    const total = pieces.length * 1024 * 1024;
    let gotBytes = 0;
    let leftBytes = 0;
    let mostAheadBytes = 0;
    const endpoint = await serve((socket) => {
      socket.write(OK);
      socket.on('data', (chunk: Buffer) => {
        gotBytes += chunk.length;
        if (gotBytes >= total) task.succeed(RESULT);
      });
    });
    const onLeft = (bytes: number): void => {
      leftBytes += bytes;
      mostAheadBytes = Math.max(mostAheadBytes, leftBytes - gotBytes);
    };
    await upload(endpoint, { body: Readable.from(pieces), bytes: total, onLeft });
    expect([leftBytes, gotBytes]).to.deep.equal([total, total]);
    // What has left may still be in the kernel, never in the process.
    expect(mostAheadBytes).to.be.below(16 * 1024 * 1024);
  });

  it('says nothing of what was read only for its own checks, when the pool has what it wants', async () => {
    const endpoint = await serve((socket) => socket.write(OK));
    const left: number[] = [];
    const body = new PassThrough();
    const onLeft = (bytes: number): void => {
      left.push(bytes);
      task.succeed(RESULT);
      void task.verdict.then(() => body.end('the rest'));
    };
    const work = upload(endpoint, { body, bytes: undefined, onLeft });
    body.write('archive');
    expect(await work).to.equal(RESULT);
    expect(left).to.deep.equal([7]);
  });

  it('keeps the head small: a real pool refuses more than 1000 bytes', async () => {
    const endpoint = await serve((socket) => socket.end(page('X: [ ]')));
    await failureOf(upload(endpoint));
    expect(servers[0]!.received[0]!.length).to.be.lessThan(300);
  });

  it('speaks HTTP/1.0 when the length is not known, as then only the archive says where it ends', async () => {
    const endpoint = await serve((socket) => {
      afterBody(socket, 7, () => {
        task.succeed(RESULT);
      });
      socket.write(OK);
    });
    expect(await upload(endpoint, { bytes: undefined, body: Readable.from(['arch', 'ive']) })).to.equal(RESULT);
    expect(servers[0]!.received[0]).to.match(/^PUT \S+ HTTP\/1\.0\r\n(?!.*Content-Length)/s);
  });

  it('follows a redirect without having touched the body', async () => {
    const target = await serve((socket) => {
      afterBody(socket, 7, () => {
        task.succeed(RESULT);
      });
      socket.write(OK);
    });
    const first = await serve((socket) =>
      socket.write('HTTP/1.1 302 Found\r\nLocation: https://10.0.0.2/import\r\n\r\n'),
    );
    expect(await upload(first, { redirect: () => Promise.resolve(target) })).to.equal(RESULT);
    expect(servers[1]!.received[0]).not.to.contain('archive');
    expect(servers[0]!.received[0]).to.contain('archive');
  });

  it('refuses a second redirect', async () => {
    const again = await serve((socket) => socket.write('HTTP/1.1 302 Found\r\n\r\n'));
    expect(await failureOf(upload(again, { redirect: () => Promise.resolve(again) }))).to.include({ kind: 'protocol' });
  });

  it('sends nothing to a redirect target with another certificate', async () => {
    const strange = await startRawServer(() => undefined, await testCertificate());
    servers.push(strange);
    const first = await serve((socket) => socket.write('HTTP/1.1 302 Found\r\nLocation: https://10.0.0.2/\r\n\r\n'));
    const target: Endpoint = { protocol: 'https:', host: '127.0.0.1', port: strange.port };
    expect(await failureOf(upload(first, { redirect: () => Promise.resolve(target) }))).to.include({
      kind: 'untrusted',
    });
    await strange.whenGone();
    expect(strange.received.join('')).to.equal('');
  });

  it("rejects with a refusing page's error before any of the body is read", async () => {
    const body = Readable.from([Buffer.from('archive')]);
    const endpoint = await serve((socket) => socket.write(page('DEFAULT_SR_NOT_FOUND: [ OpaqueRef:NULL ]')));
    expect(await failureOf(upload(endpoint, { body }))).to.deep.include({
      code: 'DEFAULT_SR_NOT_FOUND',
      params: ['OpaqueRef:NULL'],
    });
    expect(Readable.isDisturbed(body)).to.equal(false);
  });

  it('does not wait for the task after a 401, and asks it after another status without a code', async () => {
    const unauthorised = await serve((socket) =>
      socket.write('HTTP/1.1 401 Unauthorised\r\ncontent-length: 0\r\n\r\n'),
    );
    expect(await failureOf(upload(unauthorised))).to.include({ kind: 'http-status', httpStatus: 401 });
    const other = await serve((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const clock = clockThat(() => {
      task.fail(new XapiError('NOT_SUPPORTED_DURING_UPGRADE'));
    });
    expect(await failureOf(upload(other, {}, clock))).to.include({ code: 'NOT_SUPPORTED_DURING_UPGRADE' });
  });

  it('rejects with the task when the connection closes without an answer, or never gets one', async () => {
    const closing = await serve((socket) => socket.destroy());
    const clock = clockThat(() => {
      task.fail(new XapiError('NO_HOSTS_AVAILABLE'));
    });
    expect(await failureOf(upload(closing, {}, clock))).to.include({ code: 'NO_HOSTS_AVAILABLE' });
    const silent = await serve(() => undefined);
    expect(await failureOf(upload(silent))).to.include({ code: 'NO_HOSTS_AVAILABLE' });
  });

  it('gives up on a server that never answers', async () => {
    const silent = await serve(() => undefined);
    expect(await failureOf(upload(silent, {}, systemClock, 100))).to.include({ kind: 'timeout' });
  });

  it('stops sending at an error page inside the answer, and takes its code when the task stays silent', async () => {
    const endpoint = await serve((socket) => {
      socket.write(`${OK}${page('IMPORT_ERROR_PREMATURE_EOF: [  ]')}`);
    });
    const body = new PassThrough();
    body.write('arch');
    const clock = new ManualClock();
    const failed = failureOf(upload(endpoint, { body }, clock));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(5_000);
    expect(await failed).to.include({ code: 'IMPORT_ERROR_PREMATURE_EOF' });
    expect(body.destroyed).to.equal(true);
  });

  it("prefers the task's words to the page", async () => {
    const endpoint = await serve((socket) => {
      afterBody(socket, 7, () => {
        task.fail(new XapiError('IMPORT_ERROR_SOME_CHECKSUMS_FAILED'));
      });
      socket.write(OK);
    });
    expect(await failureOf(upload(endpoint))).to.include({ code: 'IMPORT_ERROR_SOME_CHECKSUMS_FAILED' });
  });

  it('takes a broken connection for no failure when the task succeeded, and reads the source to its end', async () => {
    const big = Buffer.alloc(8 * 1024 * 1024);
    const endpoint = await serve((socket) => {
      afterBody(socket, 1024, () => {
        socket.destroy();
        task.succeed(RESULT);
      });
      socket.write(OK);
    });
    const body = Readable.from([big, big]);
    expect(await upload(endpoint, { body, bytes: 2 * big.length })).to.equal(RESULT);
    expect(body.readableEnded).to.equal(true);
  });

  it('fails when the source finds itself damaged at its very end, whatever the task says', async () => {
    const endpoint = await serve((socket) => {
      afterBody(socket, 7, () => {
        task.succeed(RESULT);
      });
      socket.write(OK);
    });
    const damaged = new Error('damaged');
    const body = Readable.from(
      (async function* () {
        yield Buffer.from('archive');
        await task.verdict;
        throw damaged;
      })(),
    );
    expect(await failureOf(upload(endpoint, { body }))).to.equal(damaged);
  });

  it('closes the connection when the source fails in the middle', async () => {
    const endpoint = await serve((socket) => socket.write(OK));
    const damaged = new Error('damaged');
    const body = Readable.from(
      (function* () {
        yield Buffer.from('arch');
        throw damaged;
      })(),
    );
    expect(await failureOf(upload(endpoint, { body }))).to.equal(damaged);
    await servers[0]!.whenGone();
  });

  it('refuses a source that is shorter or longer than announced', async () => {
    const endpoint = await serve((socket) => socket.write(OK));
    expect(await failureOf(upload(endpoint, { bytes: 8 }))).to.include({ kind: 'protocol' });
    expect(await failureOf(upload(endpoint, { bytes: 6 }))).to.include({ kind: 'protocol' });
  });

  it('says interrupted when the connection broke early and the task stays silent', async () => {
    const endpoint = await serve((socket) => {
      socket.end(OK);
      socket.destroySoon();
    });
    const clock = new ManualClock();
    const failed = failureOf(upload(endpoint, { body: new PassThrough() }, clock));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(5_000);
    expect(await failed).to.include({ kind: 'interrupted' });
  });

  it('says timeout when everything was sent and the task never ends', async () => {
    const endpoint = await serve((socket) => socket.write(OK));
    const clock = new ManualClock();
    const failed = failureOf(upload(endpoint, {}, clock));
    while (clock.sleeping === 0) await clock.advance(0);
    await clock.advance(5_000);
    expect(await failed).to.include({ kind: 'timeout' });
    expect(clock.sleeping).to.equal(0);
  });

  it('passes on why the task could not be followed', async () => {
    const endpoint = await serve((socket) => socket.write(OK));
    const lost = new TransportError('unreachable', 'gone');
    task.fail(lost);
    expect(await failureOf(upload(endpoint))).to.equal(lost);
  });

  it('gives up when the pool takes no more data', async () => {
    const endpoint = await serve((socket) => {
      socket.write(OK);
      socket.pause();
    });
    const big = Buffer.alloc(32 * 1024 * 1024);
    const error = await failureOf(
      upload(endpoint, { body: Readable.from([big]), bytes: big.length }, systemClock, 300),
    );
    expect(error).to.include({ kind: 'timeout' });
    expect(error.message).to.contain('took no data');
  });

  it('ends with the reason of the signal, while it waits and while it sends', async () => {
    const reason = new Error('enough');
    const silent = await serve(() => undefined);
    const waiting = new AbortController();
    const failed = failureOf(upload(silent, { signal: waiting.signal }));
    waiting.abort(reason);
    expect(await failed).to.equal(reason);
    const sending = new AbortController();
    const body = new PassThrough();
    const endpoint = await serve((socket) => {
      afterBody(socket, 1, () => {
        sending.abort(reason);
      });
      socket.write(OK);
    });
    body.write('a');
    expect(await failureOf(upload(endpoint, { signal: sending.signal, body }))).to.equal(reason);
    expect(body.destroyed).to.equal(true);
  });

  it('refuses an answer that is not HTTP', async () => {
    const endpoint = await serve((socket) => socket.write('SSH-2.0-OpenSSH\r\n'));
    expect(await failureOf(upload(endpoint))).to.include({ kind: 'protocol' });
  });
});
