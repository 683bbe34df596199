import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { BackupError, isBackupError } from '../../src/contract/backup-error.js';
import { type SavesetItem } from '../../src/contract/saveset-record.js';
import { archiveMachine } from '../../src/format/ova-xml.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { LentPieces } from '../../src/transfer/lent-pieces.js';
import { verifiedArchive, type VerifiedArchiveOptions } from '../../src/transfer/verified-archive.js';
import { verifyItem } from '../../src/transfer/verify-item.js';
import { ManualClock } from '../support/manual-clock.js';
import { builtDisk, buildXva, MIB } from '../support/xva-builder.js';

function recordOf(bytes: Buffer, changes: Partial<SavesetItem> = {}): SavesetItem {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    name: 'vm.xva',
    kind: 'machine-archive',
    mediaType: 'application/x-xva',
    bytes: bytes.length,
    sha256,
    ...changes,
  };
}

/** In pieces as a file gives them. */
function streamOf(bytes: Buffer): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65536) pieces.push(bytes.subarray(at, at + 65536));
  return Readable.from(pieces, { objectMode: false });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'it succeeded',
    (error: unknown) => (isBackupError(error) ? error.code : String(error)),
  );
}

describe('verifiedArchive', () => {
  let xva: Buffer;
  const open = (stored: Buffer, options: Partial<VerifiedArchiveOptions> = {}): ReturnType<typeof verifiedArchive> =>
    verifiedArchive({ item: { stream: streamOf(stored), bytes: stored.length }, expected: recordOf(xva), ...options });

  before(async () => {
    xva = await buildXva({ disks: [builtDisk('Ref:7', 3 * MIB, { 0: MIB, 2: MIB })], name: 'before' });
  });

  it('gives the stored bytes when nothing is to be changed', async () => {
    const { stream, bytes, archive, summary } = open(xva);
    expect(await bytes).to.equal(xva.length);
    expect((await buffer(stream)).equals(xva)).to.equal(true);
    expect((await summary).blocks).to.equal(2);
    expect(archiveMachine(await archive).snapshot.name_label).to.equal('before');
  });

  for (const name of ['', 'x', 'R&D'.repeat(500), 'Müller \u{1f600}']) {
    it(`gives a good archive with a name of ${name.length} characters`, async () => {
      let counted = 0;
      const { stream, bytes, archive, summary } = open(xva, {
        editArchive: (records) => {
          archiveMachine(records).snapshot.name_label = name;
        },
        onBytes: (more) => (counted += more),
      });
      const sent = await buffer(stream);
      expect(sent.length).to.equal(await bytes);
      const reader = new XvaReader();
      reader.push(sent);
      const received = reader.end();
      expect(archiveMachine(received.archive).snapshot.name_label).to.equal(name);
      expect(archiveMachine(await archive).snapshot.name_label).to.equal(name);
      expect((await summary).bytes).to.equal(xva.length);
      expect(received.disks).to.deep.equal((await summary).disks);
      expect(counted).to.equal(xva.length);
    });
  }

  it('gives the memory of every piece back when it has left, and none before', async () => {
    const lent = new LentPieces();
    let backBytes = 0;
    const stored = Readable.from(
      Array.from({ length: Math.ceil(xva.length / 65_536) }, (_none, index) =>
        Buffer.from(xva.subarray(index * 65_536, (index + 1) * 65_536)),
      ),
    );
    const { stream } = verifiedArchive({
      item: {
        stream: stored,
        bytes: xva.length,
        giveBack: (piece) => {
          backBytes += piece.length;
          piece.fill(0xee);
        },
      },
      expected: recordOf(xva),
      lent,
    });
    const arrived: Buffer[] = [];
    const onTheWay: Buffer[] = [];
    const leave = (): void => {
      const piece = onTheWay.shift()!;
      arrived.push(Buffer.from(piece));
      lent.left(piece.length);
    };
    stream.on('data', (piece: Buffer) => {
      onTheWay.push(piece);
      if (onTheWay.length > 3) leave();
    });
    await once(stream, 'end');
    while (onTheWay.length > 0) leave();
    expect(Buffer.concat(arrived).equals(xva)).to.equal(true);
    // The first one, in which the records are, is kept.
    expect(backBytes).to.equal(xva.length - 65_536);
  });

  it('knows its length before anybody reads, and reads no further than it must', async () => {
    const source = new Readable({ read: (): void => undefined });
    source.push(xva);
    const opened = verifiedArchive({ item: { stream: source, bytes: xva.length }, expected: recordOf(xva) });
    expect(await opened.bytes).to.equal(xva.length);
    opened.stream.destroy();
    expect(await codeOf(opened.summary)).to.equal('CANCELLED');
    expect(source.destroyed).to.equal(true);
  });

  it('waits for a slow reader', async () => {
    const { stream } = open(xva);
    const pieces: Buffer[] = [];
    for await (const piece of stream) {
      pieces.push(piece as Buffer);
      expect(stream.readableLength).to.be.below(3 * MIB);
      await turn();
    }
    expect(Buffer.concat(pieces).equals(xva)).to.equal(true);
  });

  describe('holds the tail back until everything is right, and', () => {
    const refused = async (
      stored: Buffer,
      options: Partial<VerifiedArchiveOptions> = {},
    ): Promise<{ error: BackupError; sent: Buffer }> => {
      const { stream, bytes, archive, summary } = open(stored, options);
      const pieces: Buffer[] = [];
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      const error = await new Promise<unknown>((resolve) => {
        stream.once('error', resolve);
        stream.once('end', () => {
          resolve('it ended well');
        });
      });
      if (!isBackupError(error)) throw new TypeError(String(error));
      await Promise.allSettled([bytes, archive]);
      expect(await codeOf(summary)).to.equal(error.code);
      return { error, sent: Buffer.concat(pieces) };
    };

    it('refuses a digest that does not match', async () => {
      const { error, sent } = await refused(xva, { expected: recordOf(xva, { sha256: '0'.repeat(64) }) });
      expect(error).to.include({ code: 'DATA_DAMAGED' });
      expect(error.context).to.include({ item: 'vm.xva', expected: '0'.repeat(64) });
      expect(sent.length).to.be.at.most(xva.length - 65536);
      expect(sent.length).to.be.above(0);
    });

    it('refuses an item shorter or longer than recorded, before or after it was read', async () => {
      const short = xva.subarray(0, xva.length - 512);
      const long = Buffer.concat([xva, Buffer.alloc(512)]);
      expect((await refused(short)).sent.length).to.equal(0);
      const item = (stored: Buffer): Partial<VerifiedArchiveOptions> => ({
        item: { stream: streamOf(stored), bytes: xva.length },
      });
      for (const stored of [short, long]) {
        const { error, sent } = await refused(stored, item(stored));
        expect(error.message).to.match(/its length is not/);
        expect(sent.length).to.be.at.most(stored.length - 65536);
      }
    });

    it('refuses a damaged archive whose record agrees with it', async () => {
      const damaged = Buffer.from(xva);
      damaged[1_500_000]! ^= 1;
      const { error, sent } = await refused(damaged, { expected: recordOf(damaged) });
      expect(error.code).to.equal('DATA_DAMAGED');
      expect(error.message).to.match(/Ref:7\/0000000\d does not match its checksum/);
      expect(sent.length).to.be.below(xva.length - 65536);
    });

    it('refuses an archive that is cut, although its record agrees with it', async () => {
      const cut = xva.subarray(0, xva.length - 1024);
      const { error } = await refused(cut, { expected: recordOf(cut) });
      expect(error.message).to.match(/cut short/);
    });

    it('passes on a change that fails', async () => {
      const cause = new BackupError('REQUEST_INVALID', 'no such disk');
      const { error } = await refused(xva, {
        editArchive: () => {
          throw cause;
        },
      });
      expect(error).to.equal(cause);
    });

    it('refuses a medium that fails or closes early', async () => {
      const absent = createReadStream('/nonexistent/vm.xva');
      expect((await refused(xva, { item: { stream: absent, bytes: xva.length } })).error).to.deep.include({
        code: 'MEDIUM_FAILED',
        context: { item: 'vm.xva', systemCode: 'ENOENT' },
      });
      const closing = new PassThrough();
      closing.write(xva.subarray(0, 1000));
      setImmediate(() => closing.destroy());
      expect((await refused(xva, { item: { stream: closing, bytes: xva.length } })).error.code).to.equal(
        'MEDIUM_FAILED',
      );
    });

    it('refuses a medium that falls silent', async () => {
      const clock = new ManualClock();
      const silent = new PassThrough();
      const work = refused(xva, { item: { stream: silent, bytes: xva.length }, clock, idleTimeoutMs: 1000 });
      silent.write(xva.subarray(0, 1000));
      await turn();
      await clock.advance(1000);
      expect((await work).error).to.deep.include({ code: 'MEDIUM_FAILED', context: { item: 'vm.xva', limitMs: 1000 } });
      expect(clock.sleeping).to.equal(0);
    });

    it('ends when it is cancelled, before or in the middle', async () => {
      expect((await refused(xva, { signal: AbortSignal.abort() })).error.code).to.equal('CANCELLED');
      const cancel = new AbortController();
      const work = refused(xva, { item: { stream: new PassThrough(), bytes: xva.length }, signal: cancel.signal });
      cancel.abort();
      expect((await work).error.code).to.equal('CANCELLED');
    });
  });

  it('does not time the reader', async () => {
    const clock = new ManualClock();
    const { stream } = open(xva, { clock, idleTimeoutMs: 1000 });
    await turn();
    await turn();
    await clock.advance(1_000_000);
    expect((await buffer(stream)).length).to.equal(xva.length);
    expect(clock.sleeping).to.equal(0);
  });

  describe('verifyItem', () => {
    const signal = new AbortController().signal;
    const item = (stored: Buffer): { stream: Readable; bytes: number } => ({
      stream: streamOf(stored),
      bytes: stored.length,
    });

    it('reads an item to nowhere', async () => {
      const result = await verifyItem({ item: item(xva), expected: recordOf(xva), signal });
      expect(result).to.deep.equal({ bytes: xva.length, sha256: recordOf(xva).sha256, summary: undefined });
    });

    it('copies it as stored and checks what is in it', async () => {
      const sink = new PassThrough();
      const copy = buffer(sink);
      let counted = 0;
      const result = await verifyItem({
        item: item(xva),
        expected: recordOf(xva),
        reader: new XvaReader(),
        sink,
        signal,
        clock: new ManualClock(),
        onBytes: (bytes) => (counted += bytes),
      });
      expect((await copy).equals(xva)).to.equal(true);
      expect([result.summary?.blocks, counted]).to.deep.equal([2, xva.length]);
    });

    it('refuses another length, another digest, a damaged archive, a failing medium', async () => {
      const refuse = async (stored: Buffer, expected: SavesetItem, stream = streamOf(stored)): Promise<string> => {
        const sink = new PassThrough();
        sink.resume();
        const work = verifyItem({
          item: { stream, bytes: stored.length },
          expected,
          reader: new XvaReader(),
          sink,
          signal,
        });
        const code = await codeOf(work);
        expect([sink.destroyed, sink.writableFinished]).to.deep.equal([true, false]);
        return code;
      };
      const damaged = Buffer.from(xva);
      damaged[1_500_000]! ^= 1;
      const cut = xva.subarray(0, xva.length - 1024);
      expect(await refuse(cut, recordOf(xva))).to.equal('DATA_DAMAGED');
      expect(await refuse(xva, recordOf(xva, { sha256: '' }))).to.equal('DATA_DAMAGED');
      expect(await refuse(damaged, recordOf(damaged))).to.equal('DATA_DAMAGED');
      expect(await refuse(cut, recordOf(cut))).to.equal('DATA_DAMAGED');
      expect(await refuse(xva, recordOf(xva), createReadStream('/nonexistent'))).to.equal('MEDIUM_FAILED');
    });
  });
});
