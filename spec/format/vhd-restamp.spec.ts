import { expect } from 'chai';
import fc from 'fast-check';
import { KIB } from '../../src/common/byte-size.js';
import { FormatError } from '../../src/format/format-error.js';
import { VhdReader } from '../../src/format/vhd-reader.js';
import { VhdRestamp, type VhdStamp } from '../../src/format/vhd-restamp.js';
import { vhdChecksum } from '../../src/format/vhd-structures.js';
import { buildVhd, MADE_AT_MS, UUIDS } from '../support/vhd-builder.js';

const BLOCK = 4 * KIB;
/** Not in whole blocks. */
const SIZE = 3 * BLOCK + 512;
const PARENT = { uuid: UUIDS[1], name: 'disk-0.vhd', timestampMs: MADE_AT_MS };

/** As vhd-tool signs it. */
function signedByPool(vhd: Buffer): Buffer {
  const copy = Buffer.from(vhd);
  for (const footer of [copy.subarray(0, 512), copy.subarray(-512)]) {
    footer.write('caml', 28, 'latin1');
    footer.writeUInt32BE(vhdChecksum(footer, 64), 64);
  }
  return copy;
}

/** What becomes of it when it comes in pieces of such lengths. */
function restamped(bytes: Buffer, stamp: VhdStamp, lengths: readonly number[] = []): Buffer {
  const restamp = new VhdRestamp(stamp);
  const pieces: Buffer[] = [];
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    pieces.push(...restamp.push(bytes.subarray(at, at + length)));
    at += length;
  }
  return Buffer.concat([...pieces, restamp.end()]);
}

describe('VhdRestamp', () => {
  /** Of a disk rounded up to whole blocks. */
  const disk = Buffer.alloc(4 * BLOCK, 'data');
  const extents = [
    { offsetBytes: 0, lengthBytes: BLOCK },
    { offsetBytes: 3 * BLOCK, lengthBytes: BLOCK },
  ];

  it('gives both footers the size of the disk and our sign, whatever the pieces', async () => {
    const { bytes } = await buildVhd(disk, extents, { blockSizeBytes: BLOCK });
    const sent = signedByPool(bytes);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 12 }), (lengths) => {
        const stored = restamped(sent, { diskSizeBytes: SIZE }, lengths);
        expect(stored.length).to.equal(sent.length);
        expect(stored.subarray(512, -512).equals(sent.subarray(512, -512))).to.equal(true);
        expect(stored.toString('latin1', 28, 32)).to.equal('win ');
        const reader = new VhdReader();
        reader.push(stored);
        expect(reader.end()).to.include({ uuid: UUIDS[0], diskSizeBytes: SIZE, storedBytes: BLOCK + 512 });
      }),
    );
  });

  it('gives a differencing VHD its parent', async () => {
    const { bytes } = await buildVhd(disk, extents, { blockSizeBytes: BLOCK, parent: PARENT });
    const parent = { ...PARENT, uuid: UUIDS[3] };
    const reader = new VhdReader({ diskSizeBytes: SIZE });
    reader.push(restamped(bytes, { diskSizeBytes: SIZE, parent }, [700]));
    expect(reader.end().parentUuid).to.equal(UUIDS[3]);
  });

  it('refuses what is cut short or no VHD', async () => {
    const { bytes } = await buildVhd(disk, extents, { blockSizeBytes: BLOCK });
    for (const data of [
      bytes.subarray(0, 1000),
      bytes.subarray(0, 1600),
      bytes.subarray(0, -100),
      Buffer.alloc(5000),
    ]) {
      expect(() => restamped(data, { diskSizeBytes: SIZE })).to.throw(FormatError);
    }
  });
});

describe('VhdReader', () => {
  it('takes a VHD whose disk was rounded up to whole blocks, and leaves out what lies beyond', async () => {
    const { bytes } = await buildVhd(Buffer.alloc(4 * BLOCK, 1), [{ offsetBytes: 0, lengthBytes: 4 * BLOCK }], {
      blockSizeBytes: BLOCK,
    });
    let end = 0;
    const reader = new VhdReader({ diskSizeBytes: SIZE, onRun: (run) => (end = run.offsetBytes + run.data.length) });
    reader.push(bytes);
    expect(reader.end()).to.include({ diskSizeBytes: SIZE, storedBytes: SIZE });
    expect(end).to.equal(SIZE);
  });
});
