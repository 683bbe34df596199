import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { blockChecksums } from '../../../src/simulator/content/block-checksums.js';

describe('BlockChecksums', () => {
  describe('of', () => {
    it("gives XAPI's spelling of XXH64 and SHA-1", async () => {
      const checksums = await blockChecksums();
      expect(checksums.of('xxhash', Buffer.alloc(0))).to.equal('EF46DB3751D8E999');
      expect(checksums.of('xxhash', Buffer.from('abc'))).to.equal('44BC2CF5AD770999');
      expect(checksums.of('xxhash', Buffer.alloc(MIB))).to.equal('87D2A1B6E1163EF1');
      expect(checksums.of('sha1', Buffer.alloc(MIB))).to.equal('3b71f43ff30f4b15b5cd85dd9e95ebc7e84eb5a3');
    });

    it('keeps leading zeroes', async () => {
      const checksums = await blockChecksums();
      const all = Array.from({ length: 600 }, (_, index) => checksums.of('xxhash', Buffer.from(String(index))));
      expect(all.every((text) => /^[0-9A-F]{16}$/.test(text))).to.equal(true);
      expect(all.some((text) => text.startsWith('0'))).to.equal(true);
    });
  });

  describe('ofNamed', () => {
    it('remembers by name, length and kind', async () => {
      const checksums = await blockChecksums();
      const first = checksums.ofNamed('xxhash', 'block', Buffer.from('abc'));
      expect(checksums.ofNamed('xxhash', 'block', Buffer.from('xyz'))).to.equal(first);
      expect(checksums.ofNamed('xxhash', 'block', Buffer.from('wxyz'))).not.to.equal(first);
      expect(checksums.ofNamed('sha1', 'block', Buffer.from('abc'))).to.have.length(40);
    });
  });
});
