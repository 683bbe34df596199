import { expect } from 'chai';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type ByteRun } from '../../src/common/byte-extent.js';
import { GIB, KIB, MIB } from '../../src/common/byte-size.js';
import { isBackupError } from '../../src/contract/backup-error.js';
import { type OpenedItem } from '../../src/contract/media.js';
import { VhdReader } from '../../src/format/vhd-reader.js';
import { openChainDisk } from '../../src/transfer/chain-disk.js';
import { diskFile } from '../../src/transfer/chain-disk-file.js';
import { type Moment, storedChain, type StoredMedia } from '../support/stored-chain.js';

/** A full with a hole of 2 MiB, and two increments; the disk grows by an odd half MiB. */
function moments(): Moment[] {
  const full = Buffer.alloc(6 * MIB);
  full.fill('full', 0, MIB).fill('end', 5 * MIB, 6 * MIB);
  const first = Buffer.from(full).fill('first', 64 * KIB, 128 * KIB);
  const second = Buffer.concat([first, Buffer.alloc(512 * KIB)]).fill('second', 6 * MIB, 6 * MIB + 512);
  return [
    {
      disk: full,
      changed: [
        { offsetBytes: 0, lengthBytes: MIB },
        { offsetBytes: 5 * MIB, lengthBytes: MIB },
      ],
    },
    { disk: first, changed: [{ offsetBytes: 64 * KIB, lengthBytes: 64 * KIB }] },
    { disk: second, changed: [{ offsetBytes: 6 * MIB, lengthBytes: 512 }] },
  ];
}

describe('openChainDisk', () => {
  let media: StoredMedia;
  const newest = moments().at(-1)!.disk;
  const open = async (format: 'raw' | 'vhd', signal?: AbortSignal): Promise<OpenedItem> =>
    await openChainDisk({
      media,
      disk: media.record.disks[0]!,
      format,
      ...(signal === undefined ? {} : { signal }),
    });

  beforeEach(async () => {
    media = await storedChain([{ position: '0', moments: moments() }]);
  });

  it('gives the bytes of the disk', async () => {
    const { stream, bytes } = await open('raw');
    expect(bytes).to.equal(newest.length);
    expect((await buffer(stream)).equals(newest)).to.equal(true);
  });

  it('gives a VHD without the blocks that no layer has', async () => {
    const { stream, bytes } = await open('vhd');
    const vhd = await buffer(stream);
    expect(vhd.length).to.equal(bytes);
    const disk = Buffer.alloc(newest.length);
    const reader = new VhdReader({ onRun: ({ offsetBytes, data }) => data.copy(disk, offsetBytes) });
    reader.push(vhd);
    expect(reader.end()).to.include({ diskSizeBytes: newest.length, blocks: 3 });
    expect(disk.equals(newest)).to.equal(true);
  });

  for (const format of ['raw', 'vhd'] as const) {
    it(`does not end when an item was damaged: ${format}`, async () => {
      const bytes = Buffer.from(media.stored.get('s0/disk-0.vhd')!);
      bytes[3 * KIB] = (bytes[3 * KIB] ?? 0) ^ 1;
      media.stored.set('s0/disk-0.vhd', bytes);
      const { stream, bytes: promised } = await open(format);
      let received = 0;
      stream.on('data', (piece: Buffer) => (received += piece.length));
      const error = await new Promise<unknown>((resolve) => stream.once('error', resolve).once('end', resolve));
      expect(isBackupError(error) && error.code).to.equal('DATA_DAMAGED');
      expect(received).to.be.at.most(promised - 64 * KIB);
    });
  }

  it('closes all items when it is cancelled or destroyed', async () => {
    const controller = new AbortController();
    const { stream } = await open('raw', controller.signal);
    controller.abort();
    expect(isBackupError(stream.errored) && stream.errored.code).to.equal('CANCELLED');
    for (const item of media.opened.values()) expect(item.destroyed).to.equal(true);
  });

  it('waits for a slow reader', async () => {
    const { stream } = await open('raw');
    for await (const piece of stream) expect((piece as Buffer).length + stream.readableLength).to.be.below(MIB);
  });
});

describe('diskFile', () => {
  it('says when a disk is too large for a VHD', () => {
    const options = { sizeBytes: 2041 * GIB, extents: () => [], close: () => undefined, createdAtMs: 0 };
    const open = (format: 'raw' | 'vhd'): OpenedItem =>
      diskFile({ ...options, format, runs: () => Readable.from([]) as AsyncIterable<ByteRun> });
    expect(() => open('vhd'))
      .to.throw()
      .with.property('code', 'OBJECT_NOT_SUPPORTED');
    const { stream, bytes } = open('raw');
    expect(bytes).to.equal(2041 * GIB);
    stream.destroy();
  });
});
