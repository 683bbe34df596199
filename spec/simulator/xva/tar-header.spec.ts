import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/common/package-root.js';
import { readTarHeader, TAR_BLOCK_BYTES, writeTarHeader } from '../../../src/simulator/xva/tar-header.js';

interface Captured {
  readonly headers: readonly { name: string; sizeBytes: number; mtimeSeconds: number; hex: string }[];
}

const captured = JSON.parse(
  readFileSync(join(packageRoot(), 'fixtures/captured/xapi-24.19.2-tar-headers.json'), 'utf8'),
) as Record<string, Captured>;
const headers = Object.values(captured).flatMap((archive) => archive.headers);

describe('tar header', () => {
  describe('writeTarHeader', () => {
    it('makes the very bytes that XAPI 24.19.2 made', () => {
      expect(headers.length).to.be.greaterThan(10);
      for (const header of headers) {
        const block = Buffer.alloc(TAR_BLOCK_BYTES, 0xff);
        writeTarHeader(block, 0, header);
        expect(block.toString('hex', 0, 160), header.name).to.equal(header.hex);
        expect(block.subarray(160).every((byte) => byte === 0)).to.equal(true);
      }
    });
  });

  describe('readTarHeader', () => {
    it('reads its own kind back', () => {
      const block = Buffer.alloc(TAR_BLOCK_BYTES);
      writeTarHeader(block, 0, { name: 'Ref:3/00000001', sizeBytes: 1_048_576, mtimeSeconds: 7 });
      expect(readTarHeader(block)).to.deep.equal({
        name: 'Ref:3/00000001',
        sizeBytes: 1_048_576,
        mtimeSeconds: 7,
        type: '0',
      });
    });

    it('reads ustar with a prefix, and GNU numbers in binary', () => {
      const block = Buffer.alloc(TAR_BLOCK_BYTES);
      block.write('00000000', 0);
      block.write('0000644\0', 100);
      block[124] = 0x80;
      block.writeUInt32BE(9, 132);
      block.write('00000000000\0', 136);
      block.write('0', 156);
      block.write('ustar\x0000', 257, 'latin1');
      block.write('Ref:7', 345);
      block.fill(0x20, 148, 156);
      const sum = block.reduce((total, byte) => total + byte, 0);
      block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
      expect(readTarHeader(block)).to.deep.include({ name: 'Ref:7/00000000', sizeBytes: 9 });
    });

    it('tells an end from noise', () => {
      expect(readTarHeader(Buffer.alloc(TAR_BLOCK_BYTES))).to.equal('end');
      expect(readTarHeader(Buffer.alloc(TAR_BLOCK_BYTES, 'Z'))).to.equal(undefined);
    });
  });
});
