import { expect } from 'chai';
import fc from 'fast-check';
import { xxhash64 } from 'hash-wasm';
import { FormatError } from '../../src/format/format-error.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { captured } from '../support/captured.js';
import {
  array,
  blockMembers,
  buildOvaXml,
  builtDisk,
  buildXva,
  END,
  MIB,
  object,
  resum,
  struct,
  tarMember,
  textStruct,
} from '../support/xva-builder.js';
import { failure, read, smallDisk, smallMembers, smallXva } from './support/xva-reading.js';

const ZEROES_XXH64 = '87D2A1B6E1163EF1';

describe('XvaReader', () => {
  describe('a good archive', () => {
    it('is summed up', async () => {
      const xva = await smallXva();
      const summary = read([xva]);
      expect(summary).to.deep.include({ bytes: xva.length, blocks: 3, zeroBytesSkipped: 3072, checksumKind: 'xxhash' });
      expect(summary.disks).to.deep.equal([{ id: 'Ref:7', sizeBytes: 5220, storedBytes: 2148 }]);
    });

    for (const checksum of ['xxhash', 'checksum'] as const) {
      for (const header of ['v7', 'ustar', 'gnu'] as const) {
        it(`may have ${header} headers and .${checksum} members`, async () => {
          expect(read([await smallXva({ checksum, header })]).checksumKind).to.equal(checksum);
        });
      }
    }

    it('is the one that a real XAPI wrote', () => {
      const xva = captured('vm-without-block-data.xva');
      // The captured disk held noise, which no compression makes small enough to keep; here its blocks are zeroes.
      expect(() => read([xva])).to.throw(FormatError, 'does not match its checksum');
      for (let at = xva.indexOf('.xxhash'); at >= 0; at = xva.indexOf('.xxhash', at + 1)) {
        xva.write(ZEROES_XXH64, Math.floor(at / 512) * 512 + 512, 'latin1');
      }
      const summary = read([xva]);
      expect(summary).to.include({ bytes: 6320128, blocks: 6, zeroBytesSkipped: 2 * MIB });
      expect(summary.disks).to.deep.equal([{ id: 'Ref:18', sizeBytes: 8 * MIB, storedBytes: 6 * MIB }]);
    });

    it('may be metadata only, when that is what is read', () => {
      const xva = captured('vm-metadata-with-snapshots.xva');
      expect(read([xva], { hasDiskData: false })).to.deep.include({
        bytes: xva.length,
        blocks: 0,
        checksumKind: undefined,
        disks: [],
      });
      expect(failure(xva).message).to.match(/ends before the end of disk Ref:32/);
    });

    it('may have several disks, in the order of their ids as text, and empty ones', async () => {
      const disks = [
        builtDisk('Ref:9', 2048, { 0: 1024, 1: 1024 }),
        builtDisk('Ref:10', 1024, { 0: 1024 }),
        builtDisk('Ref:8', 0, {}),
      ];
      const summary = read([await buildXva({ disks })]);
      expect(summary.disks.map((disk) => disk.id)).to.have.members(['Ref:8', 'Ref:9', 'Ref:10']);
      expect(summary.blocks).to.equal(3);
    });

    it('may have no disk at all', async () => {
      expect(read([await buildXva()])).to.deep.include({ blocks: 0, disks: [], zeroBytesSkipped: 0 });
    });

    it('is the same in pieces of any length', async () => {
      const xva = await smallXva();
      const whole = read([xva]);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: xva.length }), { maxLength: 40 }), (cuts) => {
          const at = [0, ...cuts.sort((left, right) => left - right), xva.length];
          expect(read(at.slice(1).map((end, index) => xva.subarray(at[index], end)))).to.deep.equal(whole);
        }),
        { numRuns: 50 },
      );
    });

    it('may be cut in two at every byte', async () => {
      const objects = [
        object('VM', 'Ref:1', textStruct({})),
        object('VDI', 'Ref:3', textStruct({ virtual_size: '100' })),
        object('VBD', 'Ref:2', textStruct({ VM: 'Ref:1', VDI: 'Ref:3' })),
      ];
      const xml = struct({ version: textStruct({}), objects: array(objects) });
      const block = await blockMembers('Ref:3/00000000', Buffer.alloc(100, 'x'), 'xxhash');
      const xva = Buffer.concat([tarMember('ova.xml', Buffer.from(xml)), ...block, END]);
      for (let cut = 0; cut <= xva.length; cut += 1) {
        expect(read([xva.subarray(0, cut), xva.subarray(cut)]).blocks, String(cut)).to.equal(1);
      }
    });

    it('may come byte by byte', async () => {
      const xva = await smallXva({ checksum: 'checksum' });
      expect(read(Array.from(xva, (byte) => Buffer.of(byte))).blocks).to.equal(3);
    });

    it('says when ova.xml is complete, and how long it was', async () => {
      const xva = await smallXva({ name: 'mail' });
      const reader = new XvaReader();
      let headBytes = 0;
      reader.onArchive = (archive, bytes) => {
        headBytes = bytes;
        expect(archive.objects[0]?.snapshot.name_label).to.equal('mail');
      };
      expect(reader.archive).to.equal(undefined);
      reader.push(xva.subarray(0, 600));
      expect(headBytes).to.equal(0);
      reader.push(xva.subarray(600));
      expect(headBytes % 512).to.equal(0);
      expect(xva.toString('latin1', headBytes, headBytes + 14)).to.equal('Ref:7/00000000');
      expect(reader.archive).to.equal(reader.end().archive);
    });

    it('keeps its checksums apart from those of another that is read at the same time', async () => {
      const [left, right] = [await smallXva(), await smallXva({ name: 'other' })];
      const readers = [new XvaReader(), new XvaReader()];
      for (let at = 0; at < Math.max(left.length, right.length); at += 100) {
        readers[0]!.push(left.subarray(at, at + 100));
        readers[1]!.push(right.subarray(at, at + 100));
      }
      expect(readers.map((reader) => reader.end().blocks)).to.deep.equal([3, 3]);
    });
  });

  describe('empty blocks that keep a connection alive', () => {
    const head = tarMember('ova.xml', buildOvaXml({ disks: [builtDisk('Ref:7', 4096, {})] }));
    const block = async (number: number, length: number): Promise<Buffer> =>
      Buffer.concat(
        await blockMembers(`Ref:7/${String(number).padStart(8, '0')}`, Buffer.alloc(length, number + 1), 'xxhash'),
      );

    it('use up a number and no space', async () => {
      // Places 0, 1 (left out), 2 and 3; the empty block has number 2, so the blocks after it are one number on.
      const summary = read([
        head,
        await block(0, 1024),
        await block(2, 0),
        await block(3, 1024),
        await block(4, 1024),
        END,
      ]);
      expect(summary).to.include({ blocks: 3, zeroBytesSkipped: 1024 });
    });

    it('would make the disk too long if they took space', async () => {
      const error = failure(head, await block(0, 1024), await block(2, 0), await block(5, 1024), END);
      expect(error.what).to.match(/beyond the end/);
    });

    it('cannot be the first', async () => {
      expect(failure(head, await block(0, 0)).what).to.match(/first block of Ref:7 is missing/);
    });
  });

  describe('damage', () => {
    it('in any byte that an import would use is found', async () => {
      const xva = await smallXva();
      const good = read([xva]);
      fc.assert(
        fc.property(fc.integer({ min: 0, max: xva.length - 1 }), fc.integer({ min: 0, max: 7 }), (at, bit) => {
          const damaged = Buffer.from(xva);
          damaged[at] = xva[at]! ^ (1 << bit);
          // A header's checksum means the same whether blanks or NULs stand around its digits.
          const isInChecksumField = at % 512 >= 148 && at % 512 < 156;
          fc.pre(!(isInChecksumField && [0x00, 0x20].includes(damaged[at])));
          try {
            // Nothing protects the text of ova.xml but its form: what is read then differs.
            expect(read([damaged])).not.to.deep.equal(good);
          } catch (error) {
            expect(error).to.be.instanceOf(FormatError);
          }
        }),
        { numRuns: 400 },
      );
    });

    it('by cutting it short anywhere is found', async () => {
      const xva = await smallXva();
      for (let length = 0; length < xva.length; length += 37) {
        expect(failure(xva.subarray(0, length)).offsetBytes, String(length)).to.equal(length);
      }
      expect(failure(xva.subarray(0, xva.length - 1)).what).to.match(/cut short/);
      expect(failure().expected).to.equal('ova.xml');
    });

    it('by leaving any member out is found', async () => {
      const members = await smallMembers();
      for (const [index] of members.entries()) {
        failure(...members.filter((_, other) => other !== index));
      }
    });

    it('by putting two members in the wrong order is found', async () => {
      const members = await smallMembers();
      for (let index = 0; index + 1 < members.length; index += 1) {
        const swapped = [...members];
        [swapped[index], swapped[index + 1]] = [members[index + 1]!, members[index]!];
        failure(...swapped);
      }
    });

    it('in a block says which one, where, and both checksums', async () => {
      const members = await smallMembers();
      members[3]![512 + 700]! ^= 1;
      const error = failure(...members);
      const at = Buffer.concat(members.slice(0, 4)).length + 512;
      expect(error).to.include({ what: 'Block Ref:7/00000002 does not match its checksum', offsetBytes: at });
      expect(error.expected).to.equal(
        JSON.stringify(await xxhash64(smallDisk.blocks.get(2)!).then((hash) => hash.toUpperCase())),
      );
      expect(error.found).to.match(/^[0-9A-F]{16}$/);
    });

    it('is a lower-case XXH64 too, which no import takes', async () => {
      const members = await smallMembers();
      const checksum = members[2]!;
      checksum.write(checksum.toString('latin1', 512, 528).toLowerCase(), 512, 'latin1');
      expect(failure(...members).what).to.match(/does not match its checksum/);
    });

    type Spoil = (members: Buffer[]) => Buffer[] | Promise<Buffer[]>;
    const replaced =
      (index: number, ...by: Buffer[]): Spoil =>
      (members) => [...members.slice(0, index), ...by, ...members.slice(index + 1)];
    const inserted =
      (index: number, ...what: Buffer[]): Spoil =>
      (members) => [...members.slice(0, index), ...what, ...members.slice(index)];
    const block = async (name: string, length: number): Promise<Buffer> =>
      Buffer.concat(await blockMembers(name, Buffer.alloc(length, 7), 'xxhash'));

    const kinds: readonly (readonly [string, RegExp, Spoil])[] = [
      ['another first member', /not the metadata/, replaced(0, tarMember('other.xml', Buffer.from('x')))],
      ['an empty ova.xml', /unusable size/, replaced(0, tarMember('ova.xml', Buffer.alloc(0)))],
      ['no ova.xml', /no ova\.xml/, replaced(0, END)],
      ['an ova.xml that is none', /text outside/, replaced(0, tarMember('ova.xml', Buffer.from('hello')))],
      ['an ova.xml twice', /may not have/, (members) => [members[0]!, ...members]],
      ['a member of another name', /may not have/, inserted(1, tarMember('Ref:7/readme', Buffer.from('x')))],
      ['a number of seven digits', /may not have/, inserted(1, tarMember('Ref:7/0000000', Buffer.from('x')))],
      [
        'a folder',
        /a type that the archive may not have/,
        inserted(1, tarMember('Ref:7/', Buffer.alloc(0), 'ustar', '5')),
      ],
      [
        'a disk that ova.xml does not have',
        /whose turn it is not/,
        async (members) => [members[0]!, await block('Ref:8/00000000', 1024), END],
      ],
      [
        'a block after the last',
        /whose turn it is not/,
        async (members) => [...members.slice(0, -1), await block('Ref:7/00000006', 10), END],
      ],
      ['a block twice', /not in order/, (members) => [...members.slice(0, 3), members[1]!, ...members.slice(3)]],
      [
        'a first block of another number',
        /first block of Ref:7 is missing/,
        async (members) => [members[0]!, await block('Ref:7/00000001', 1024), END],
      ],
      [
        'a block beyond the end',
        /beyond the end/,
        async (members) => [members[0]!, await block('Ref:7/00000000', 6000), END],
      ],
      ['no last block', /ends before the end of disk Ref:7/, (members) => [...members.slice(0, 5), END]],
      [
        'a checksum of another kind',
        /without its checksum/,
        replaced(2, tarMember('Ref:7/00000000.md5', Buffer.alloc(16, 'a'))),
      ],
      [
        'a checksum of another block',
        /without its checksum/,
        replaced(2, tarMember('Ref:7/00000001.xxhash', Buffer.alloc(16, 'a'))),
      ],
      [
        'a checksum of the wrong length',
        /wrong length/,
        replaced(2, tarMember('Ref:7/00000000.xxhash', Buffer.alloc(17, 'a'))),
      ],
      [
        'a change of checksums',
        /kind of checksum changes/,
        replaced(4, tarMember('Ref:7/00000002.checksum', Buffer.alloc(40, 'a'))),
      ],
      ['a block as the last member', /without its checksum/, (members) => [...members.slice(0, 2), END]],
      ['one zero block in the middle', /ends before the end of disk/, inserted(3, Buffer.alloc(512))],
      [
        'a member between the two zero blocks',
        /after the first block of the end/,
        (members) => [...members.slice(0, -1), Buffer.alloc(512), members[1]!, END],
      ],
      ['a zero block too many', /after the end/, (members) => [...members, Buffer.alloc(512)]],
      ['one byte after the end', /after the end/, (members) => [...members, Buffer.from('x')]],
      [
        'padding that is not zero',
        /Padding/,
        (members) => {
          members[2]![512 + 20] = 1;
          return members;
        },
      ],
      [
        'a header checksum that is wrong',
        /does not match its checksum/,
        (members) => {
          members[1]![110]! ^= 1;
          return members;
        },
      ],
      [
        'a header checksum that is no number',
        /readable checksum/,
        (members) => {
          members[1]!.write('zz', 148);
          return members;
        },
      ],
      [
        'a size that is no number',
        /readable size/,
        (members) => {
          members[1]!.write('x', 124);
          resum(members[1]!);
          return members;
        },
      ],
    ];
    for (const [what, expected, spoil] of kinds) {
      it(`is found: ${what}`, async () => {
        expect(failure(...(await spoil(await smallMembers()))).message).to.match(expected);
      });
    }

    it('is an ova.xml beyond the limit', async () => {
      const xva = await smallXva();
      const length = parseInt(xva.toString('latin1', 124, 135), 8);
      expect(read([xva], { maxOvaXmlBytes: length }).blocks).to.equal(3);
      expect(() => read([xva], { maxOvaXmlBytes: length - 1 })).to.throw(FormatError, 'unusable size');
    });

    it('is data after the reader was ended', async () => {
      const reader = new XvaReader();
      reader.push(await smallXva());
      reader.end();
      expect(() => {
        reader.push(Buffer.from('x'));
      }).to.throw(FormatError, 'after the reader was ended');
    });

    it('never is anything but a FormatError', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
          expect(() => read([Buffer.from(bytes)])).to.throw(FormatError);
        }),
      );
    });
  });

  it('does not take a record for text', () => {
    // A machine may be called like a status line.
    const xml = buildOvaXml({ name: 'HTTP/1.1 500 Internal Error' });
    expect(read([tarMember('ova.xml', xml), END]).blocks).to.equal(0);
  });
});
