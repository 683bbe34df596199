import { expect } from 'chai';
import fc from 'fast-check';
import { type ByteExtent, extentsBytes } from '../../src/common/byte-extent.js';
import { KIB } from '../../src/common/byte-size.js';
import { FormatError } from '../../src/format/format-error.js';
import { VhdReader, type VhdHead, type VhdReaderOptions, type VhdSummary } from '../../src/format/vhd-reader.js';
import { vhdChecksum } from '../../src/format/vhd-structures.js';
import { buildVhd, MADE_AT_MS, UUIDS } from '../support/vhd-builder.js';

const PARENT = { uuid: UUIDS[1], name: 'disk-0.vhd', timestampMs: MADE_AT_MS };

interface ReadVhd {
  readonly summary: VhdSummary;
  readonly head: VhdHead;
  /** What the file has, over a disk of 0xEE. */
  readonly disk: Buffer;
  readonly runs: readonly ByteExtent[];
}

function read(pieces: readonly Buffer[], sizeBytes: number, options: VhdReaderOptions = {}): ReadVhd {
  const disk = Buffer.alloc(sizeBytes, 0xee);
  const runs: ByteExtent[] = [];
  let head: VhdHead | undefined;
  const reader = new VhdReader({
    ...options,
    onHead: (found) => (head = found),
    onRun: ({ offsetBytes, data }) => {
      expect(offsetBytes).to.be.at.least((runs.at(-1)?.offsetBytes ?? 0) + (runs.at(-1)?.lengthBytes ?? 0));
      runs.push({ offsetBytes, lengthBytes: data.length });
      data.copy(disk, offsetBytes);
    },
  });
  for (const piece of pieces) {
    const lent = Buffer.from(piece);
    reader.push(lent);
    // What was pushed belongs to whoever pushed it.
    lent.fill(0xee);
  }
  return { summary: reader.end(), head: head!, disk, runs };
}

/** Cuts at the given shares of the length, sorted. */
function cut(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const places = [...shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  return places.map((end, index) => bytes.subarray(places[index - 1] ?? 0, end));
}

function failure(bytes: Buffer, options: VhdReaderOptions = {}): FormatError {
  try {
    const reader = new VhdReader(options);
    const lent = Buffer.from(bytes);
    reader.push(lent);
    lent.fill(0xee);
    reader.end();
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new TypeError('It was taken for a good VHD.');
}

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 9) * 7 + 1) & 0xff;
  return bytes;
}

function changedCopy(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

/** Redoes the checksum of the dynamic header. */
function resum(bytes: Buffer): void {
  bytes.writeUInt32BE(vhdChecksum(bytes.subarray(512, 1536), 36), 548);
}

const extentsOf = (sectors: readonly boolean[]): ByteExtent[] =>
  sectors.flatMap((isSet, index) => (isSet ? [{ offsetBytes: index * 512, lengthBytes: 512 }] : []));

describe('VhdReader', () => {
  const disk = noise(20 * KIB);
  const extents = [
    { offsetBytes: 512, lengthBytes: 1024 },
    { offsetBytes: 7 * KIB, lengthBytes: 2 * KIB },
    { offsetBytes: 16 * KIB, lengthBytes: 4 * KIB },
  ];
  let whole: Buffer;
  const START = 1536 + 512;
  const BLOCK = 512 + 4 * KIB;

  before(async () => {
    ({ bytes: whole } = await buildVhd(disk, extents, { blockSizeBytes: 4 * KIB }));
  });

  it('gives back what the writer was given, whatever the pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(4 * KIB, 8 * KIB, 64 * KIB),
        fc.boolean(),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 70_000 }),
        async (sectors, blockSizeBytes, hasParent, shares, pieceBytes) => {
          const content = noise(sectors.length * 512);
          const wish = { blockSizeBytes, ...(hasParent ? { parent: PARENT } : {}) };
          const { plan, bytes } = await buildVhd(content, extentsOf(sectors), wish, pieceBytes);
          expect(bytes.length).to.equal(plan.bytes);
          const found = read(cut(bytes, shares), content.length);
          const expected = Buffer.alloc(content.length, 0xee);
          sectors.forEach((isSet, index) => {
            if (isSet) content.copy(expected, index * 512, index * 512, (index + 1) * 512);
          });
          expect(found.disk.equals(expected)).to.equal(true);
          expect(found.summary).to.deep.equal({
            uuid: UUIDS[0],
            ...(hasParent ? { parentUuid: UUIDS[1] } : {}),
            diskSizeBytes: content.length,
            bytes: bytes.length,
            storedBytes: extentsBytes(plan.extents),
            blocks: plan.blocks.length,
          });
          expect([...found.head.blocks]).to.deep.equal([...plan.blocks]);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('reads single bytes', () => {
    expect(
      read(
        cut(
          whole,
          Array.from(whole.keys(), (at) => at / whole.length),
        ),
        disk.length,
      ).summary.blocks,
    ).to.equal(4);
  });

  it('refuses every file that is cut, at any byte', () => {
    for (let length = 0; length < whole.length; length += 37) {
      expect(failure(whole.subarray(0, length)).what, String(length)).to.equal('The VHD is cut short');
    }
    expect(failure(whole.subarray(0, whole.length - 1)).what).to.equal('The VHD is cut short');
  });

  it('refuses a bit that changed anywhere but in data, bitmaps and what no program reads', () => {
    const places = [
      ...Array.from({ length: 1536 }, (_, at) => at),
      ...Array.from({ length: 512 }, (_, at) => whole.length - 1 - at),
    ];
    for (const at of places) failure(changedCopy(whole, (copy) => (copy[at] = (copy[at] ?? 0) ^ 1)));
  });

  it('refuses anything after the footer', () => {
    expect(failure(Buffer.concat([whole, Buffer.alloc(1)])).what).to.equal('Data after the end of the VHD');
  });

  const TABLE = 1536;
  const damages: readonly [name: string, what: string, change: (copy: Buffer) => void][] = [
    [
      'blocks that overlap',
      'overlaps or is out of order',
      (copy) => copy.writeUInt32BE((START + 512) / 512, TABLE + 4),
    ],
    [
      'blocks out of order',
      'overlaps or is out of order',
      (copy) => {
        copy.writeUInt32BE((START + BLOCK) / 512, TABLE);
        copy.writeUInt32BE(START / 512, TABLE + 4);
      },
    ],
    ['a block inside the table', 'overlaps or is out of order', (copy) => copy.writeUInt32BE(3, TABLE)],
    ['a block beyond the end of the file', 'The VHD is cut short', (copy) => copy.writeUInt32BE(5000, TABLE + 16)],
    [
      'a table that is too short for the disk',
      'does not cover the disk',
      (copy) => {
        copy.writeUInt32BE(4, 512 + 28);
        resum(copy);
      },
    ],
    [
      'a table inside the header',
      'Parts of the VHD that overlap',
      (copy) => {
        copy.writeBigUInt64BE(1024n, 512 + 16);
        resum(copy);
      },
    ],
    [
      'a block size that is no power of two',
      'unusable block size',
      (copy) => {
        copy.writeUInt32BE(5 * KIB, 512 + 32);
        resum(copy);
      },
    ],
    [
      'a parent in a disk that has none',
      'does not fit its type',
      (copy) => {
        copy[512 + 40] = 1;
        resum(copy);
      },
    ],
  ];
  for (const [name, what, change] of damages) {
    it(`refuses ${name}`, () => {
      expect(failure(changedCopy(whole, change)).message).to.contain(what);
    });
  }

  it('refuses a block that the table forgot', () => {
    const forgotten = changedCopy(whole, (copy) => copy.writeUInt32BE(0xffffffff, TABLE + 16));
    expect(() => read([forgotten], disk.length)).to.throw(FormatError);
  });

  it('refuses an entry of the table that has no place on the disk', () => {
    const extended = changedCopy(whole, (copy) => {
      copy.writeUInt32BE(6, 512 + 28);
      copy.writeUInt32BE(9000, TABLE + 20);
      resum(copy);
    });
    expect(failure(extended).what).to.equal('A block beyond the end of the disk');
  });

  it('refuses footers that are both good and differ', async () => {
    const { bytes: other } = await buildVhd(disk, extents, { blockSizeBytes: 4 * KIB, uuid: UUIDS[2] });
    const mixed = Buffer.concat([whole.subarray(0, -512), other.subarray(-512)]);
    expect(failure(mixed).what).to.equal('The two footers of the VHD differ');
  });

  it('refuses a disk of another size than the one that is known', () => {
    expect(failure(whole, { diskSizeBytes: 24 * KIB }).what).to.equal('A VHD of a disk of another size');
  });

  it('reads a file with room between its parts', () => {
    const gap = Buffer.alloc(512, 0xaa);
    const spread = Buffer.concat([whole.subarray(0, TABLE), gap, whole.subarray(TABLE)]);
    spread.writeBigUInt64BE(BigInt(TABLE + 512), 512 + 16);
    resum(spread);
    for (let block = 0; block < 5; block += 1) {
      const at = TABLE + 512 + block * 4;
      const sector = spread.readUInt32BE(at);
      if (sector !== 0xffffffff) spread.writeUInt32BE(sector + 1, at);
    }
    expect(read([spread], disk.length).disk.equals(read([whole], disk.length).disk)).to.equal(true);
  });

  describe('an error page of the pool', () => {
    const page = Buffer.from(
      'HTTP/1.1 500 Internal Error\r\ncontent-length: 266\r\nconnection: close\r\n\r\n' +
        '<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred.<h1> Additional information </h1>' +
        'VDI_IO_ERROR: [ Device I/O errors ]</body></html>',
    );
    for (const [where, at] of [
      ['in place of everything', 0],
      ['inside a block', START + 700],
      ['in place of the footer', -512],
    ] as const) {
      it(`is said as such ${where}`, () => {
        const kept = at === 0 ? Buffer.alloc(0) : whole.subarray(0, at);
        expect(failure(Buffer.concat([kept, page])).xapiError?.code).to.equal('VDI_IO_ERROR');
      });
    }
  });
});
