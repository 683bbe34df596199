import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { expect } from 'chai';
import { BackupError, isBackupError } from '../../src/contract/backup-error.js';
import { FormatError } from '../../src/format/format-error.js';
import { pump, type PumpOptions } from '../../src/transfer/pump.js';
import { TransportError } from '../../src/xapi/transport-error.js';
import { ManualClock } from '../support/manual-clock.js';
import { Gathering, Holding } from './support/sinks.js';

const LIMITS = { firstByteTimeoutMs: 30_000, idleTimeoutMs: 5_000 };
const never = new AbortController().signal;

async function failed(work: Promise<unknown>): Promise<BackupError> {
  const error: unknown = await work.then(
    () => 'it succeeded',
    (reason: unknown) => reason,
  );
  if (!isBackupError(error)) throw new TypeError(`not a BackupError: ${String(error)}`);
  return error;
}

const turn = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};

describe('pump', () => {
  let clock: ManualClock;
  let sink: Gathering;
  const run = (options: Partial<PumpOptions> & { source: Readable }): ReturnType<typeof pump> =>
    pump({ sink, signal: never, clock, ...LIMITS, ...options });

  beforeEach(() => {
    clock = new ManualClock();
    sink = new Gathering();
  });
  afterEach(() => {
    expect(clock.sleeping, 'timers left').to.equal(0);
  });

  it('moves everything, with length and SHA-256, through every tap', async () => {
    const pieces = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    const seen: string[] = [];
    let counted = 0;
    const source = Readable.from(pieces);
    const result = await run({
      source,
      taps: [(chunk) => seen.push(chunk.toString())],
      onBytes: (bytes) => (counted += bytes),
    });
    expect(result).to.deep.equal({ bytes: 11, sha256: createHash('sha256').update('onetwothree').digest('hex') });
    expect(Buffer.concat(sink.pieces).toString()).to.equal('onetwothree');
    expect([seen, counted, sink.ending, source.destroyed]).to.deep.equal([
      ['one', 'two', 'three'],
      11,
      'finished',
      true,
    ]);
  });

  it('tells of each piece when the sink has done with it, not before', async () => {
    const pieces = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    const log: string[] = [];
    const slow = new Writable({
      write: (piece: Buffer, _encoding, done) => {
        setImmediate(() => {
          log.push(`took ${piece.toString()}`);
          done();
        });
      },
    });
    const source = Readable.from(pieces);
    await run({ source, sink: slow, onWritten: (piece) => log.push(`told of ${piece.toString()}`) });
    expect(log).to.deep.equal(['one', 'two', 'three'].flatMap((name) => [`took ${name}`, `told of ${name}`]));
  });

  it('tells of no piece that the sink failed with', async () => {
    const told: string[] = [];
    const full = new Writable({
      write: (piece: Buffer, _encoding, done) => {
        done(piece.toString() === 'two' ? new TypeError('full') : null);
      },
    });
    const source = Readable.from(['one', 'two', 'three'].map((text) => Buffer.from(text)));
    const error = await failed(run({ source, sink: full, onWritten: (piece) => told.push(piece.toString()) }));
    expect(error.code).to.equal('MEDIUM_FAILED');
    expect(told).to.deep.equal(['one']);
  });

  it('moves nothing', async () => {
    expect(await run({ source: Readable.from([]) })).to.deep.include({ bytes: 0 });
    expect(sink.ending).to.equal('finished');
  });

  it('uses the real time when no clock is given', async () => {
    const result = await pump({ source: Readable.from([Buffer.from('a')]), sink, signal: never, ...LIMITS });
    expect(result.bytes).to.equal(1);
  });

  describe('over a socket', () => {
    let server: Server;
    const served = async (serve: (socket: Socket) => void): Promise<Socket> => {
      server = createServer(serve).listen(0, '127.0.0.1');
      await once(server, 'listening');
      return connect((server.address() as AddressInfo).port, '127.0.0.1');
    };
    afterEach(() => {
      server.close();
    });

    it('moves megabytes with back-pressure', async () => {
      const data = Buffer.alloc(5_000_000, 'abcdefg');
      const source = await served((socket) => socket.end(data));
      const slow = new PassThrough({ highWaterMark: 1000 });
      const digest = createHash('sha256');
      let most = 0;
      slow.on('data', (chunk: Buffer) => {
        digest.update(chunk);
        most = Math.max(most, slow.writableLength);
        slow.pause();
        setImmediate(() => slow.resume());
      });
      const ended = once(slow, 'end');
      const result = await pump({ source, sink: slow, signal: never, ...LIMITS });
      expect(result.bytes).to.equal(data.length);
      await ended;
      expect(result.sha256).to.equal(digest.digest('hex'));
      expect(most).to.be.below(300_000);
    });

    it('fails with TRANSFER_INTERRUPTED when the connection is reset', async () => {
      const source = await served((socket) => socket.write('abc', () => socket.resetAndDestroy()));
      const error = await failed(run({ source }));
      expect(error).to.deep.include({ code: 'TRANSFER_INTERRUPTED', isRetriable: true });
      expect(sink.ending).to.equal('destroyed');
    });
  });

  describe('a source', () => {
    it('that closes before its end is TRANSFER_INTERRUPTED, with the bytes so far', async () => {
      const source = new PassThrough();
      source.write('abcd');
      const work = failed(run({ source }));
      await turn();
      source.destroy();
      expect(await work).to.deep.include({
        code: 'TRANSFER_INTERRUPTED',
        context: { bytes: 4, systemCode: undefined },
      });
    });

    it('that is already gone is TRANSFER_INTERRUPTED', async () => {
      const source = new PassThrough();
      source.destroy();
      await once(source, 'close');
      expect((await failed(run({ source }))).code).to.equal('TRANSFER_INTERRUPTED');
    });

    it('keeps a BackupError of its own, or what the caller makes of it', async () => {
      const own = new BackupError('SOURCE_FAILED', 'x');
      const broken = (error: Error): Readable =>
        new Readable({
          read: (): void => undefined,
          destroy: (_e, done) => {
            done(error);
          },
        }).destroy();
      expect(await failed(run({ source: broken(own) }))).to.equal(own);
      sink = new Gathering();
      const error = await failed(
        run({
          source: broken(new TypeError('y')),
          toSourceError: (cause) => new BackupError('MEDIUM_FAILED', 'z', { cause }),
        }),
      );
      expect(error.code).to.equal('MEDIUM_FAILED');
    });

    it('that sends nothing is TRANSFER_STALLED after the first limit', async () => {
      const source = new PassThrough();
      let isOver = false;
      const work = failed(run({ source })).finally(() => (isOver = true));
      await turn();
      await clock.advance(29_999);
      expect(isOver).to.equal(false);
      await clock.advance(1);
      const error = await work;
      expect(error).to.deep.include({
        code: 'TRANSFER_STALLED',
        isRetriable: true,
        context: { limitMs: 30_000, bytes: 0 },
      });
      expect([source.destroyed, sink.ending]).to.deep.equal([true, 'destroyed']);
    });

    it('that falls silent is TRANSFER_STALLED after the second limit', async () => {
      const source = new PassThrough();
      const work = failed(run({ source }));
      for (const piece of ['a', 'b', 'c']) {
        source.write(piece);
        await turn();
        await clock.advance(4_999);
      }
      source.write('d');
      await turn();
      await clock.advance(4_999);
      expect(source.destroyed).to.equal(false);
      await clock.advance(1);
      await turn();
      expect(await work).to.deep.include({ code: 'TRANSFER_STALLED', context: { limitMs: 5_000, bytes: 4 } });
    });

    it('whose connection sees the silence first is TRANSFER_STALLED, too', async () => {
      const source = new PassThrough();
      const sink = new Gathering();
      const work = pump({ source, sink, signal: never, ...LIMITS });
      source.write('abc');
      setImmediate(() => source.destroy(new TransportError('timeout', 'Nothing came.', {})));
      expect(await failed(work)).to.deep.include({ code: 'TRANSFER_STALLED', isRetriable: true });
      expect(sink.ending).to.equal('destroyed');
    });
  });

  describe('a sink', () => {
    it('that is slow is no stalled source', async () => {
      const source = Readable.from([Buffer.from('a'), Buffer.from('b')]);
      const holding = new Holding();
      const work = run({ source, sink: holding });
      for (let write = 0; write < 3; write += 1) {
        await turn();
        await turn();
        await clock.advance(60_000);
        holding.waiting.shift()?.();
      }
      expect((await work).bytes).to.equal(2);
    });

    it('that takes nothing for too long is MEDIUM_FAILED', async () => {
      const holding = new Holding();
      const work = failed(
        run({ source: Readable.from([Buffer.from('a'), Buffer.from('b')]), sink: holding, sinkTimeoutMs: 90_000 }),
      );
      await turn();
      await turn();
      await clock.advance(5_000);
      await clock.advance(84_999);
      expect(holding.destroyed).to.equal(false);
      await clock.advance(1);
      // Its write never returns, so it never closes; the failure is told all the same.
      await clock.advance(10_000);
      expect(await work).to.deep.include({ code: 'MEDIUM_FAILED', context: { limitMs: 90_000 } });
    });

    it('that never finishes is MEDIUM_FAILED', async () => {
      const work = failed(run({ source: Readable.from([]), sink: new Holding(), sinkTimeoutMs: 1_000 }));
      await turn();
      await turn();
      await clock.advance(1_000);
      expect((await work).code).to.equal('MEDIUM_FAILED');
    });

    const failures: readonly (readonly [string, Error, string])[] = [
      ['ENOSPC', Object.assign(new TypeError('x'), { code: 'ENOSPC' }), 'MEDIUM_FULL'],
      ['EDQUOT', Object.assign(new TypeError('x'), { code: 'EDQUOT' }), 'MEDIUM_FULL'],
      ['EIO', Object.assign(new TypeError('x'), { code: 'EIO' }), 'MEDIUM_FAILED'],
      ['no code', new TypeError('x'), 'MEDIUM_FAILED'],
      ['a BackupError', new BackupError('STORAGE_FULL', 'x'), 'STORAGE_FULL'],
    ];
    for (const [what, cause, code] of failures) {
      it(`that fails with ${what} is ${code}`, async () => {
        const source = new PassThrough();
        source.write('a');
        const broken = new Writable({
          write: (_chunk, _encoding, callback) => {
            callback(cause);
          },
        });
        expect((await failed(run({ source, sink: broken }))).code).to.equal(code);
        expect([source.destroyed, broken.destroyed]).to.deep.equal([true, true]);
      });
    }

    it('that is already gone, or goes in the middle, is MEDIUM_FAILED', async () => {
      const gone = new Gathering();
      gone.destroy();
      await once(gone, 'close');
      expect((await failed(run({ source: new PassThrough(), sink: gone }))).code).to.equal('MEDIUM_FAILED');
      const work = failed(run({ source: new PassThrough() }));
      sink.destroy();
      expect((await work).code).to.equal('MEDIUM_FAILED');
    });
  });

  describe('a tap', () => {
    it('that finds damage makes it DATA_DAMAGED, and nothing of that piece is written', async () => {
      const cause = new FormatError('bad', { offsetBytes: 7, xapiError: { code: 'VDI_IO_ERROR', params: ['p'] } });
      const source = Readable.from([Buffer.from('a'), Buffer.from('b')]);
      const error = await failed(
        run({
          source,
          taps: [
            (chunk) => {
              if (chunk.toString() === 'b') throw cause;
            },
          ],
        }),
      );
      expect(error).to.include({ code: 'DATA_DAMAGED', cause });
      expect(error.context).to.deep.include({ offsetBytes: 7, xapiCode: 'VDI_IO_ERROR', xapiParams: ['p'] });
      expect([sink.pieces.length, sink.ending]).to.deep.equal([1, 'destroyed']);
    });
  });

  describe('the verdict', () => {
    it('is asked for before the sink ends, with the result', async () => {
      const result = await run({
        source: Readable.from([Buffer.from('abc')]),
        beforeEnd: async ({ bytes, sha256 }) => {
          await turn();
          expect([bytes, sha256.length, sink.ending]).to.deep.equal([3, 64, 'open']);
        },
      });
      expect([result.bytes, sink.ending]).to.deep.equal([3, 'finished']);
    });

    it('destroys the sink when it is bad, and keeps its error', async () => {
      const verdict = new BackupError('SOURCE_FAILED', 'the task failed');
      expect(await failed(run({ source: Readable.from([]), beforeEnd: () => Promise.reject(verdict) }))).to.equal(
        verdict,
      );
      expect(sink.ending).to.equal('destroyed');
      sink = new Gathering();
      expect(
        (await failed(run({ source: Readable.from([]), beforeEnd: () => Promise.reject(new FormatError('cut')) })))
          .hint,
      ).to.match(/Read it again/);
    });

    it('is not hurried by the time limits when the sink takes the last piece only then', async () => {
      const slow = new Holding();
      let decide: () => void = () => undefined;
      const beforeEnd = (): Promise<void> => new Promise((resolve) => (decide = resolve));
      const work = run({ source: Readable.from([Buffer.from('abc')]), sink: slow, beforeEnd });
      while (slow.waiting.length === 0) await turn();
      await turn();
      slow.waiting.shift()?.();
      await turn();
      await clock.advance(LIMITS.idleTimeoutMs + 1);
      decide();
      while (slow.waiting.length === 0) await turn();
      slow.waiting.shift()?.();
      expect((await work).bytes).to.equal(3);
    });

    it('is not hurried by the time limits', async () => {
      let decide: () => void = () => undefined;
      const work = run({ source: Readable.from([]), beforeEnd: () => new Promise((resolve) => (decide = resolve)) });
      await turn();
      await turn();
      await clock.advance(10_000_000);
      decide();
      expect((await work).bytes).to.equal(0);
    });
  });

  describe('cancelling', () => {
    it('before the start touches nothing but closes both', async () => {
      const source = Readable.from([Buffer.from('a')]);
      expect((await failed(run({ source, signal: AbortSignal.abort() }))).code).to.equal('CANCELLED');
      expect([source.destroyed, sink.ending, sink.pieces]).to.deep.equal([true, 'destroyed', []]);
    });

    it('in the middle, while the sink is blocked, in the verdict, and while it finishes', async () => {
      const reason = new BackupError('CANCELLED', 'by the user');
      const cases: ((signal: AbortSignal) => Promise<unknown>)[] = [
        (signal) => run({ source: new PassThrough(), signal }),
        (signal) =>
          run({
            source: Readable.from([Buffer.from('a'), Buffer.from('b')]),
            sink: new Gathering({ highWaterMark: 1 }),
            signal,
            beforeEnd: () => new Promise(() => undefined),
          }),
        (signal) => run({ source: Readable.from([]), signal, beforeEnd: () => new Promise(() => undefined) }),
        (signal) => run({ source: Readable.from([]), sink: new Holding(), signal }),
      ];
      for (const begin of cases) {
        sink = new Gathering();
        const cancel = new AbortController();
        const work = failed(begin(cancel.signal));
        await turn();
        await turn();
        cancel.abort(reason);
        await turn();
        expect(await work).to.equal(reason);
      }
    });
  });
});
