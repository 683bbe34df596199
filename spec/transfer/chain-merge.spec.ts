import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { type ByteExtent, type ByteRun } from '../../src/common/byte-extent.js';
import { KIB, MIB } from '../../src/common/byte-size.js';
import { type BackupError, isBackupError } from '../../src/contract/backup-error.js';
import { chainLayers } from '../../src/transfer/chain-layers.js';
import { type MergedDisk, openMergedDisk } from '../../src/transfer/chain-merge.js';
import { type ChainReading } from '../../src/transfer/chain-layer-reader.js';
import { LentPieces } from '../../src/transfer/lent-pieces.js';
import { ManualClock } from '../support/manual-clock.js';
import { type Moment, storedChain, type StoredMedia, streamOf } from '../support/stored-chain.js';

const UNIT = 4 * KIB;

/** Each number is a unit that is written; the content tells the moment. */
function momentsOf(steps: readonly { readonly grownBy: number; readonly units: readonly number[] }[]): Moment[] {
  let disk = Buffer.alloc(0);
  return steps.map(({ grownBy, units }, moment) => {
    disk = Buffer.concat([disk, Buffer.alloc(grownBy * UNIT)]);
    const count = disk.length / UNIT;
    const changed: ByteExtent[] = [...new Set(units.map((unit) => unit % count))]
      .sort((a, b) => a - b)
      .map((unit) => ({ offsetBytes: unit * UNIT, lengthBytes: UNIT }));
    for (const { offsetBytes, lengthBytes } of changed) {
      for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += 1) disk[at] = (at * 7 + moment * 41 + 1) & 0xff;
    }
    return { disk: Buffer.from(disk), changed };
  });
}

async function open(media: StoredMedia, reading: Partial<ChainReading> = {}): Promise<MergedDisk> {
  return await openMergedDisk(chainLayers(media, media.record.disks[0]!), { media, ...reading });
}

async function bytesOf(merged: MergedDisk): Promise<Buffer> {
  const disk = Buffer.alloc(merged.sizeBytes);
  let end = 0;
  for await (const { offsetBytes, data } of merged.runs()) {
    expect(offsetBytes).to.be.at.least(end);
    expect(merged.mayHave(offsetBytes, data.length)).to.equal(true);
    data.copy(disk, offsetBytes);
    end = offsetBytes + data.length;
  }
  return disk;
}

async function errorOf(media: StoredMedia, reading: Partial<ChainReading> = {}): Promise<BackupError> {
  try {
    await bytesOf(await open(media, reading));
  } catch (error) {
    for (const stream of media.opened.values()) expect(stream.destroyed).to.equal(true);
    if (isBackupError(error)) return error;
    throw error;
  }
  throw new TypeError('It was taken for a good chain.');
}

const chainOf = async (steps: Parameters<typeof momentsOf>[0]): Promise<{ media: StoredMedia; moments: Moment[] }> => {
  const moments = momentsOf(steps);
  return { media: await storedChain([{ position: '0', moments }]), moments };
};

const FOUR = [
  { grownBy: 64, units: [0, 1, 2, 3, 20, 21, 63] },
  { grownBy: 0, units: [1, 22, 40] },
  { grownBy: 16, units: [2, 21, 70] },
  { grownBy: 0, units: [2, 3, 79] },
];

describe('openMergedDisk', () => {
  it('gives the disk of the newest moment, whatever was written when, and where the pieces end', async () => {
    const step = fc.record({ grownBy: fc.nat({ max: 3 }), units: fc.array(fc.nat({ max: 60 }), { maxLength: 20 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 40 }).map((count) => count + 1),
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(700, 4096, 65_536),
        fc.constantFrom(undefined, 4 * KIB, 16 * KIB),
        async (units, steps, pieceBytes, blockSizeBytes) => {
          const moments = momentsOf(steps.map((each, at) => (at === 0 ? { ...each, grownBy: units } : each)));
          const wish = blockSizeBytes === undefined ? {} : { blockSizeBytes };
          const media = await storedChain([{ position: '0', moments }], [], wish);
          media.openAs = (_key, bytes) => streamOf(bytes, pieceBytes);
          const merged = await bytesOf(await open(media));
          expect(merged.equals(moments.at(-1)!.disk)).to.equal(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('gives the memory of every piece back, and none whose data has not left', async () => {
    const { media, moments } = await chainOf(FOUR);
    media.openAs = (_key, bytes) => streamOf(bytes, 3000);
    const lent = new LentPieces();
    const merged = await open(media, { lent });
    const disk = Buffer.alloc(merged.sizeBytes);
    const onTheWay: ByteRun[] = [];
    const leave = (): void => {
      const run = onTheWay.shift()!;
      run.data.copy(disk, run.offsetBytes);
      lent.left(run.data.length);
    };
    for await (const run of merged.runs()) {
      lent.made(run.data.length);
      onTheWay.push(run);
      if (onTheWay.length > 5) leave();
    }
    while (onTheWay.length > 0) leave();
    expect(disk.equals(moments.at(-1)!.disk)).to.equal(true);
    for (const [key, bytes] of media.stored) expect(media.given.get(key), key).to.equal(bytes.length);
  });

  it('keeps the memory of every piece when nobody says what leaves', async () => {
    const { media } = await chainOf(FOUR);
    await bytesOf(await open(media));
    expect(media.given.size).to.equal(0);
  });

  it('knows what may hold data before any is read', async () => {
    const { media } = await chainOf(FOUR);
    const merged = await open(media);
    const read = [...media.opened.values()].map((stream) => stream.readableEnded);
    expect(read).to.deep.equal([false, false, false, false]);
    expect(merged.sizeBytes).to.equal(80 * UNIT);
    expect(merged.extents()).to.deep.equal([{ offsetBytes: 0, lengthBytes: 80 * UNIT }]);
    merged.close();
  });

  it('counts what was read of each item', async () => {
    const { media } = await chainOf(FOUR);
    const counts = new Map<string, number>();
    const merged = await open(media, {
      onBytes: (bytes, { savesetId, name }) => {
        const key = `${savesetId}/${name}`;
        counts.set(key, (counts.get(key) ?? 0) + bytes);
      },
    });
    await bytesOf(merged);
    expect(counts).to.deep.equal(new Map([...media.stored].reverse().map(([key, bytes]) => [key, bytes.length])));
  });

  it('reads no further than it is asked to', async () => {
    const moments: Moment[] = [
      { disk: Buffer.alloc(16 * MIB, 1), changed: [{ offsetBytes: 0, lengthBytes: 16 * MIB }] },
      { disk: Buffer.alloc(16 * MIB, 1), changed: [{ offsetBytes: 8 * MIB, lengthBytes: MIB }] },
    ];
    const media = await storedChain([{ position: '0', moments }]);
    let readBytes = 0;
    const merged = await open(media, { onBytes: (bytes) => (readBytes += bytes) });
    const runs = merged.runs();
    await runs.next();
    expect(readBytes).to.be.below(512 * KIB);
    await runs.return(undefined);
    for (const stream of media.opened.values()) expect(stream.destroyed).to.equal(true);
  });

  describe('refuses', () => {
    let media: StoredMedia;

    beforeEach(async () => {
      ({ media } = await chainOf(FOUR));
    });

    const change = (key: string, work: (bytes: Buffer) => Buffer): void => {
      media.stored.set(key, work(Buffer.from(media.stored.get(key)!)));
    };

    it('a bit that changed in any item, naming saveset and item', async () => {
      for (const key of media.stored.keys()) {
        const whole = media.stored.get(key)!;
        for (const at of [100, 700, 1600, whole.length - 2000, whole.length - 5]) {
          change(key, (bytes) => {
            bytes[at] = (bytes[at] ?? 0) ^ 4;
            return bytes;
          });
          const { code, message } = await errorOf(media);
          expect(['DATA_DAMAGED', 'CHAIN_BROKEN'], `${key} at ${at}`).to.include(code);
          expect(message).to.contain(`saveset ${key.slice(0, 2)}`);
          media.stored.set(key, whole);
        }
      }
    });

    it('an item that is cut', async () => {
      change('s1/disk-0.vhd', (bytes) => bytes.subarray(0, -512));
      expect((await errorOf(media)).toJSON()).to.deep.include({ code: 'DATA_DAMAGED' });
    });

    it('an item whose stream is shorter than the medium says', async () => {
      media.openAs = (key, bytes) => streamOf(key.startsWith('s2') ? bytes.subarray(0, -512) : bytes);
      expect((await errorOf(media)).code).to.equal('DATA_DAMAGED');
    });

    it('a layer of another chain', async () => {
      const other = await storedChain([{ position: '0', moments: momentsOf(FOUR.slice(0, 2)) }], [], {
        uuid: 'abcdefab-0000-4000-8000-000000000000',
      });
      const bytes = other.stored.get('s0/disk-0.vhd')!;
      media.stored.set('s0/disk-0.vhd', bytes);
      const full = media.ancestors!.at(-1)!;
      full.items[0]!.bytes = bytes.length;
      full.items[0]!.sha256 = createHash('sha256').update(bytes).digest('hex');
      const { code, message } = await errorOf(media);
      expect(code).to.equal('CHAIN_BROKEN');
      expect(message).to.contain('s1').and.to.contain('builds on');
    });

    it('a chain that lacks a member', async () => {
      const { record, ancestors = [] } = media;
      const short = { ...media, ancestors: ancestors.filter(({ savesetId }) => savesetId !== 's1'), record };
      expect((await errorOf(short)).message).to.contain('s1');
      expect((await errorOf(short)).code).to.equal('CHAIN_BROKEN');
    });

    it('a member that does not have the disk', async () => {
      media.ancestors![0]!.disks.splice(0);
      expect((await errorOf(media)).message).to.contain('s2');
    });

    it('a medium that fails', async () => {
      media.openAs = (key, bytes) =>
        key.startsWith('s1')
          ? new Readable({
              read(): void {
                this.destroy(Object.assign(new Error('lost'), { code: 'EIO' }));
              },
            })
          : streamOf(bytes);
      expect((await errorOf(media)).code).to.equal('MEDIUM_FAILED');
    });

    it('a medium that gives nothing for too long', async () => {
      const clock = new ManualClock();
      media.openAs = (key, bytes) =>
        key.startsWith('s0') ? new Readable({ read: (): void => undefined }) : streamOf(bytes);
      const failed = errorOf(media, { clock, idleTimeoutMs: 5000 });
      while (media.opened.size < 4 || clock.sleeping === 0) await turn();
      await clock.advance(5001);
      expect((await failed).code).to.equal('MEDIUM_FAILED');
    });

    it('to go on when it is cancelled', async () => {
      const controller = new AbortController();
      media.openAs = (key, bytes) =>
        key.startsWith('s0') ? new Readable({ read: (): void => undefined }) : streamOf(bytes);
      const failed = errorOf(media, { signal: controller.signal });
      controller.abort();
      expect((await failed).code).to.equal('CANCELLED');
    });
  });

  it('takes the newest full of a disk, whatever the saveset is', async () => {
    const { media, moments } = await chainOf(FOUR);
    const full = await storedChain([{ position: '0', moments: [{ ...moments[2]!, changed: moments[3]!.changed }] }]);
    const bytes = full.stored.get('s0/disk-0.vhd')!;
    media.stored.set('s2/disk-0.vhd', bytes);
    media.ancestors![0]!.disks[0]!.level = 'full';
    expect(chainLayers(media, media.record.disks[0]!).map(({ savesetId }) => savesetId)).to.deep.equal(['s3', 's2']);
  });

  it('passes runs on as they come when only one layer has them', async () => {
    const media = await storedChain([
      {
        position: '0',
        moments: [{ disk: Buffer.alloc(4 * MIB, 3), changed: [{ offsetBytes: 0, lengthBytes: 4 * MIB }] }],
      },
    ]);
    const runs: ByteRun[] = [];
    for await (const run of (await open(media)).runs()) runs.push(run);
    expect(runs.length).to.be.below(80);
  });
});
