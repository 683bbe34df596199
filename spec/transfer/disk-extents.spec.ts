import { expect } from 'chai';
import fc from 'fast-check';
import { FormatError } from '../../src/format/format-error.js';
import { changedExtents, type DiskExtent, extentsOf, splitReads, wholeDisk } from '../../src/transfer/disk-extents.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const base64 = (...bytes: readonly number[]): string => Buffer.from(bytes).toString('base64');

/** The plain way: one bit after the other. */
function changedBlocks(bitmap: Buffer, sizeBytes: number): readonly number[] {
  const blocks = Array.from({ length: Math.ceil(sizeBytes / BLOCK) }, (_, block) => block);
  return blocks.filter((block) => ((bitmap[Math.floor(block / 8)]! >> (7 - (block % 8))) & 1) === 1);
}

describe('changedExtents', () => {
  it('takes the most significant bit first', () => {
    expect([...changedExtents(base64(0x80, 0, 0, 0), 2 * MIB)]).to.deep.equal([{ offsetBytes: 0, lengthBytes: BLOCK }]);
    expect([...changedExtents(base64(0, 0, 0, 1), 2 * MIB)]).to.deep.equal([
      { offsetBytes: 31 * BLOCK, lengthBytes: BLOCK },
    ]);
  });

  it('joins neighbours', () => {
    const extents = changedExtents(base64(0b0111_0011, 0xff, 0xff, 0b1000_0001), 2 * MIB);
    expect([...extents]).to.deep.equal([
      { offsetBytes: BLOCK, lengthBytes: 3 * BLOCK },
      { offsetBytes: 6 * BLOCK, lengthBytes: 19 * BLOCK },
      { offsetBytes: 31 * BLOCK, lengthBytes: BLOCK },
    ]);
    expect(extents.totalBytes).to.equal(23 * BLOCK);
    expect([...extents].length, 'a second walk').to.equal(3);
  });

  it('ignores bits past the end, and ends with the disk', () => {
    const extents = changedExtents(base64(0xff), 2 * BLOCK + 512);
    expect([...extents]).to.deep.equal([{ offsetBytes: 0, lengthBytes: 2 * BLOCK + 512 }]);
    expect(extents.totalBytes).to.equal(2 * BLOCK + 512);
    expect([...changedExtents(base64(0x1f), 2 * BLOCK + 512)]).to.deep.equal([]);
  });

  it('refuses a bitmap of another length, and what is no base64', () => {
    for (const bitmap of [
      base64(0, 0, 0),
      base64(0, 0, 0, 0, 0),
      '',
      'AAAA AA=',
      'AAAAAA',
      'AAAA_A==',
      '-_==',
      'no!',
    ]) {
      expect(() => changedExtents(bitmap, 2 * MIB), bitmap).to.throw(FormatError);
    }
    expect(changedExtents(`${base64(0, 0, 0, 0)}\n`, 2 * MIB).totalBytes).to.equal(0);
  });

  it('finds the same blocks as one that looks at each bit', () => {
    const bytes = fc.oneof(fc.constant(0), fc.constant(0xff), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(
        fc.array(bytes, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 8 * BLOCK }),
        (bits, rest) => {
          const sizeBytes = (bits.length - 1) * 8 * BLOCK + rest;
          const extents = changedExtents(base64(...bits), sizeBytes);
          const found: number[] = [];
          let lastEnd = -1;
          let total = 0;
          for (const { offsetBytes, lengthBytes } of extents) {
            expect(offsetBytes).to.be.greaterThan(lastEnd);
            lastEnd = offsetBytes + lengthBytes;
            expect(lastEnd).to.be.at.most(sizeBytes);
            total += lengthBytes;
            for (let at = offsetBytes; at < lastEnd; at += BLOCK) found.push(at / BLOCK);
          }
          expect(found).to.deep.equal(changedBlocks(Buffer.from(bits), sizeBytes));
          expect(extents.totalBytes).to.equal(total);
        },
      ),
    );
  });

  it('takes no memory for the parts of a large disk', () => {
    const bitmap = Buffer.alloc((2 * 1024 * 1024 * MIB) / BLOCK / 8, 0xaa).toString('base64');
    const extents = changedExtents(bitmap, 2 * 1024 * 1024 * MIB);
    expect(extents.totalBytes).to.equal(1024 * 1024 * MIB);
  });
});

describe('extentsOf', () => {
  it('joins what touches', () => {
    const parts = [
      { offsetBytes: 0, lengthBytes: 5 },
      { offsetBytes: 5, lengthBytes: 2 },
      { offsetBytes: 8, lengthBytes: 1 },
    ];
    const extents = extentsOf(parts);
    expect([...extents]).to.deep.equal([
      { offsetBytes: 0, lengthBytes: 7 },
      { offsetBytes: 8, lengthBytes: 1 },
    ]);
    expect(extents.totalBytes).to.equal(8);
    expect([...wholeDisk(0)]).to.deep.equal([]);
    expect([...wholeDisk(512)]).to.deep.equal([{ offsetBytes: 0, lengthBytes: 512 }]);
  });
});

describe('splitReads', () => {
  it('cuts at multiples of 1 MiB of the disk', () => {
    const parts: DiskExtent[] = [
      { offsetBytes: BLOCK, lengthBytes: 2 * MIB },
      { offsetBytes: 5 * MIB, lengthBytes: MIB },
      { offsetBytes: 7 * MIB, lengthBytes: 512 },
    ];
    expect([...splitReads(parts)]).to.deep.equal([
      { offsetBytes: BLOCK, lengthBytes: MIB - BLOCK },
      { offsetBytes: MIB, lengthBytes: MIB },
      { offsetBytes: 2 * MIB, lengthBytes: BLOCK },
      { offsetBytes: 5 * MIB, lengthBytes: MIB },
      { offsetBytes: 7 * MIB, lengthBytes: 512 },
    ]);
  });

  it('loses and repeats nothing', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5 * MIB }), fc.integer({ min: 1, max: 5 * MIB }), (offsetBytes, lengthBytes) => {
        const pieces = [...splitReads([{ offsetBytes, lengthBytes }])];
        for (const piece of pieces) {
          expect(Math.floor(piece.offsetBytes / MIB)).to.equal(
            Math.floor((piece.offsetBytes + piece.lengthBytes - 1) / MIB),
          );
        }
        expect([...extentsOf(pieces)]).to.deep.equal([{ offsetBytes, lengthBytes }]);
      }),
    );
  });
});
