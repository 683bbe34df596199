import { expect } from 'chai';
import fc from 'fast-check';
import { xxhash64 } from 'hash-wasm';
import { Xxh64 } from '../../src/format/xxh64.js';

describe('Xxh64', () => {
  const vectors: readonly (readonly [string, Buffer, string])[] = [
    ['nothing', Buffer.alloc(0), 'EF46DB3751D8E999'],
    ['abc', Buffer.from('abc'), '44BC2CF5AD770999'],
    ['a block of zeroes', Buffer.alloc(1024 * 1024), '87D2A1B6E1163EF1'],
  ];
  for (const [what, bytes, expected] of vectors) {
    it(`of ${what} is ${expected}`, () => {
      const hash = new Xxh64();
      hash.update(bytes);
      expect(hash.digest()).to.equal(expected);
    });
  }

  it('begins anew after a digest', () => {
    const hash = new Xxh64();
    hash.update(Buffer.from('x'));
    hash.digest();
    expect(hash.digest()).to.equal('EF46DB3751D8E999');
  });

  it('keeps any number of digests apart', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), fc.uint8Array({ maxLength: 100 })), { maxLength: 30 }),
        async (steps) => {
          const hashes = [new Xxh64(), new Xxh64(), new Xxh64()];
          const all: Uint8Array[][] = [[], [], []];
          for (const [which, bytes] of steps) {
            hashes[which]!.update(bytes);
            all[which]!.push(bytes);
          }
          for (const [which, hash] of hashes.entries()) {
            expect(hash.digest()).to.equal((await xxhash64(Buffer.concat(all[which]!))).toUpperCase());
          }
        },
      ),
    );
  });
});
