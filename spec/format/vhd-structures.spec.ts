import { expect } from 'chai';
import fc from 'fast-check';
import { GIB, MIB } from '../../src/common/byte-size.js';
import { FormatError } from '../../src/format/format-error.js';
import { vhdGeometry } from '../../src/format/vhd-geometry.js';
import { VhdReader } from '../../src/format/vhd-reader.js';
import {
  MAX_VHD_DISK_BYTES,
  parentLocator,
  parseVhdFooter,
  parseVhdHeader,
  serialiseVhdFooter,
  serialiseVhdHeader,
  withVhdParent,
} from '../../src/format/vhd-structures.js';
import { buildVhd, MADE_AT_MS, UUIDS } from '../support/vhd-builder.js';

const PARENT = { uuid: UUIDS[1], name: 'disk-0.vhd', timestampMs: MADE_AT_MS };

describe('VHD structures', () => {
  it('survive the way through their bytes: footers', () => {
    const footers = fc.record({
      type: fc.constantFrom('dynamic' as const, 'differencing' as const, 'fixed' as const),
      uuid: fc.uuid(),
      diskSizeBytes: fc.integer({ min: 0, max: MAX_VHD_DISK_BYTES / 512 }).map((sectors) => sectors * 512),
      createdAtMs: fc.integer({ min: 946_684_800, max: 4_000_000_000 }).map((seconds) => seconds * 1000),
      headerOffsetBytes: fc.option(fc.constantFrom(512, 4096), { nil: undefined }),
    });
    fc.assert(
      fc.property(footers, (footer) => {
        expect(parseVhdFooter(serialiseVhdFooter(footer), 0)).to.deep.equal(footer);
      }),
    );
  });

  it('survive the way through their bytes: headers', () => {
    const parents = fc.record({
      uuid: fc.uuid(),
      name: fc.string({ maxLength: 60, unit: 'grapheme' }).filter((name) => name.length < 255 && !name.includes('\0')),
      timestampMs: fc.integer({ min: 946_684_800, max: 4_000_000_000 }).map((seconds) => seconds * 1000),
    });
    const headers = fc.record({
      tableOffsetBytes: fc.nat(),
      tableEntries: fc.nat(),
      blockSizeBytes: fc.constantFrom(65536, 2 * MIB),
      parent: fc.option(parents, { nil: undefined }),
    });
    fc.assert(
      fc.property(headers, (header) => {
        const type = header.parent === undefined ? 'dynamic' : 'differencing';
        expect(parseVhdHeader(serialiseVhdHeader(header, 1536), type, 0)).to.deep.equal(header);
      }),
    );
  });

  it('have the geometry that the specification computes', () => {
    expect(vhdGeometry(3 * MIB)).to.deep.equal({ cylinders: 90, heads: 4, sectorsPerTrack: 17 });
    expect(vhdGeometry(20 * GIB)).to.deep.equal({ cylinders: 41610, heads: 16, sectorsPerTrack: 63 });
    expect(vhdGeometry(2040 * GIB)).to.deep.equal({ cylinders: 65535, heads: 16, sectorsPerTrack: 255 });
  });

  it('never say more sectors than the disk has', () => {
    fc.assert(
      fc.property(fc.nat({ max: MAX_VHD_DISK_BYTES / 512 }), (sectors) => {
        const { cylinders, heads, sectorsPerTrack } = vhdGeometry(sectors * 512);
        expect(cylinders * heads * sectorsPerTrack).to.be.at.most(sectors);
        expect(cylinders).to.be.at.most(65535);
      }),
    );
  });

  it('name the parent where programs look for it', () => {
    expect(parentLocator(PARENT).toString('utf16le').replaceAll('\0', '')).to.equal('.\\disk-0.vhd');
  });

  describe('withVhdParent', () => {
    it('makes a differencing VHD the child of another', async () => {
      const disk = Buffer.alloc(MIB, 7);
      const extents = [{ offsetBytes: 65536, lengthBytes: 65536 }];
      const { bytes } = await buildVhd(disk, extents, { parent: PARENT });
      const reader = new VhdReader({ onHead: ({ header }) => expect(header.parent?.name).to.equal('vm/disk-2.vhd') });
      reader.push(withVhdParent(bytes.subarray(0, 1536), { uuid: UUIDS[3], name: 'vm/disk-2.vhd', timestampMs: 0 }));
      reader.push(bytes.subarray(1536));
      expect(reader.end().parentUuid).to.equal(UUIDS[3]);
    });

    it('refuses a VHD that has no parent', async () => {
      const { bytes } = await buildVhd(Buffer.alloc(MIB), []);
      expect(() => withVhdParent(bytes.subarray(0, 1536), PARENT)).to.throw(FormatError, 'no parent');
    });
  });
});
