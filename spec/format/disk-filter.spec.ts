import { expect } from 'chai';
import fc from 'fast-check';
import { DiskFilter } from '../../src/format/disk-filter.js';
import { FormatError } from '../../src/format/format-error.js';
import { TAR_BLOCK_BYTES, tarPaddingBytes, withTarSize } from '../../src/format/tar-header.js';

function member(name: string, body: Buffer): Buffer {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  header.write(name, 0, 'latin1');
  return Buffer.concat([withTarSize(header, body.length), body, Buffer.alloc(tarPaddingBytes(body.length))]);
}

const block = (disk: string, number: number, bytes = 700): Buffer =>
  Buffer.concat([
    member(`${disk}/0000000${number}`, Buffer.alloc(bytes, number + 1)),
    member(`${disk}/0000000${number}.xxhash`, Buffer.from('0123456789ABCDEF')),
  ]);
const END = Buffer.alloc(2 * TAR_BLOCK_BYTES);
const FIRST = [block('Ref:1', 0), block('Ref:1', 4)];
const SECOND = [block('Ref:11', 0), block('Ref:11', 1)];
const ALL = Buffer.concat([...FIRST, ...SECOND, END]);

function filtered(dropped: readonly string[], cuts: readonly number[], input = ALL): Buffer {
  const filter = new DiskFilter(new Set(dropped));
  const edges = [0, ...[...cuts].sort((one, other) => one - other), input.length];
  return Buffer.concat(edges.slice(1).flatMap((end, index) => filter.push(input.subarray(edges[index], end))));
}

describe('DiskFilter', () => {
  it('leaves out the members of a disk however the data is cut, and nothing else', () => {
    const cuts = fc.array(fc.nat(ALL.length), { maxLength: 8 });
    fc.assert(
      fc.property(cuts, (where) => {
        expect(filtered([], where).equals(ALL)).to.equal(true);
        expect(filtered(['Ref:1'], where).equals(Buffer.concat([...SECOND, END]))).to.equal(true);
        expect(filtered(['Ref:11'], where).equals(Buffer.concat([...FIRST, END]))).to.equal(true);
        expect(filtered(['Ref:1', 'Ref:11'], where).equals(END)).to.equal(true);
      }),
    );
  });

  it('refuses to leave out a disk whose first block says how long the left-out blocks of the others are', () => {
    const input = Buffer.concat([block('Ref:1', 0, 512), ...SECOND, END]);
    expect(() => filtered(['Ref:1'], [], input)).to.throw(FormatError, 'another length');
    expect(filtered(['Ref:11'], [], input).length).to.be.lessThan(input.length);
  });
});
