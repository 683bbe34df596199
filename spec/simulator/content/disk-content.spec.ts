import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { GIB, KIB, MIB } from '../../../src/common/byte-size.js';
import { type ContentSpec, contentSpecSchema, createDiskContent } from '../../../src/simulator/content/content-spec.js';
import { SimulatedFailure } from '../../../src/simulator/simulated-failure.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('DiskContent', () => {
  describe('generated content', () => {
    it('is the same in two processes and different for two seeds', () => {
      const module = new URL('../../../src/simulator/content/content-spec.js', import.meta.url).href;
      for (const kind of ['random', 'text'] as const) {
        const here = sha256(createDiskContent(GIB, { kind, seed: 'a' }).read(7 * MIB + 5, 300_000));
        const script = `import { createDiskContent } from '${module}'; import { createHash } from 'node:crypto';
          const bytes = createDiskContent(${GIB}, { kind: '${kind}', seed: 'a' }).read(${7 * MIB + 5}, 300000);
          process.stdout.write(createHash('sha256').update(bytes).digest('hex'));`;
        expect(execFileSync(process.execPath, ['--input-type=module', '-e', script]).toString()).to.equal(here);
        expect(sha256(createDiskContent(GIB, { kind, seed: 'b' }).read(7 * MIB + 5, 300_000))).not.to.equal(here);
      }
    });

    it('is incompressible and without repeated pages when random', () => {
      const bytes = createDiskContent(4 * MIB, { kind: 'random' }).read(0, 4 * MIB);
      expect(gzipSync(bytes, { level: 1 }).length).to.be.greaterThan(bytes.length * 0.999);
      const pages = new Set<string>();
      for (let at = 0; at < bytes.length; at += 4 * KIB) pages.add(sha256(bytes.subarray(at, at + 4 * KIB)));
      expect(pages.size).to.equal(bytes.length / (4 * KIB));
    });

    it('compresses to less than a half when it is text', () => {
      const bytes = createDiskContent(4 * MIB, { kind: 'text' }).read(0, 4 * MIB);
      expect(gzipSync(bytes).length).to.be.within(bytes.length / 10, bytes.length / 2);
    });

    it('reads the same whatever the piece', () => {
      fc.assert(
        fc.property(
          fc.constantFrom<ContentSpec>(
            { kind: 'random', fillPercent: 40 },
            { kind: 'text', allocatedRanges: [{ offsetBytes: 4097, lengthBytes: 700_001 }] },
            { kind: 'ranges', ranges: [{ offsetBytes: 512, lengthBytes: MIB, content: { kind: 'random', seed: 3 } }] },
          ),
          fc.nat(2 * MIB),
          fc.nat(300_000),
          (spec, offset, length) => {
            const disk = createDiskContent(3 * MIB, spec);
            const whole = disk.read(0, 3 * MIB);
            expect(disk.read(offset, length).equals(whole.subarray(offset, offset + length))).to.equal(true);
          },
        ),
        { numRuns: 30 },
      );
    });

    it('takes no memory and no time for a large disk', () => {
      const before = process.memoryUsage().rss;
      const disk = createDiskContent(40 * GIB, { kind: 'random' });
      disk
        .snapshot()
        .snapshot()
        .read(39 * GIB, MIB);
      expect(disk.allocatedBytes).to.equal(40 * GIB);
      expect(process.memoryUsage().rss - before).to.be.lessThan(100 * MIB);
    });

    it('reads a file where it is asked for, and zeroes after its end', () => {
      const folder = mkdtempSync(join(tmpdir(), 'content-'));
      try {
        const path = join(folder, 'disk.raw');
        const bytes = Buffer.from('0123456789'.repeat(1000));
        writeFileSync(path, bytes);
        const disk = createDiskContent(MIB, { kind: 'file', path });
        expect(disk.read(9990, 20).toString('latin1')).to.equal(`0123456789${'\0'.repeat(10)}`);
        expect(disk.allocatedBytes).to.equal(bytes.length);
      } finally {
        rmSync(folder, { recursive: true });
      }
      expect(() => createDiskContent(MIB, { kind: 'file', path: join(folder, 'gone') }))
        .to.throw(SimulatedFailure)
        .with.property('code', 'SR_BACKEND_FAILURE_46');
    });

    it('comes from plain data, and refuses what is none', () => {
      expect(contentSpecSchema.safeParse({ kind: 'random', fillPercent: 30 }).success).to.equal(true);
      expect(contentSpecSchema.safeParse({ kind: 'random', fillPercent: 130 }).success).to.equal(false);
      expect(contentSpecSchema.safeParse({ kind: 'noise' }).success).to.equal(false);
    });
  });

  describe('write', () => {
    it('gives back what was written, as an array of bytes would', () => {
      const writes = fc.array(fc.tuple(fc.nat(400_000), fc.uint8Array({ minLength: 1, maxLength: 90_000 })), {
        maxLength: 6,
      });
      fc.assert(
        fc.property(writes, fc.boolean(), (list, isRandom) => {
          const size = 500_224;
          const disk = createDiskContent(size, isRandom ? { kind: 'random' } : { kind: 'zero' });
          const model = disk.read(0, size);
          for (const [offset, bytes] of list) {
            disk.write(offset, Buffer.from(bytes));
            model.set(bytes, offset);
          }
          expect(disk.read(0, size).equals(model)).to.equal(true);
        }),
        { numRuns: 40 },
      );
    });

    it('leaves a snapshot as it was, and the other way round', () => {
      const disk = createDiskContent(MIB, { kind: 'random' });
      const before = disk.read(0, MIB);
      const snapshot = disk.snapshot();
      disk.write(100, Buffer.from('new'));
      expect(snapshot.read(0, MIB).equals(before)).to.equal(true);
      snapshot.write(900_000, Buffer.from('other'));
      expect(disk.read(900_000, 5).equals(before.subarray(900_000, 900_005))).to.equal(true);
      expect(disk.read(100, 3).toString()).to.equal('new');
    });

    it('keeps what a generator of this process made without its bytes', () => {
      const source = createDiskContent(512 * MIB, { kind: 'random', seed: 'known' });
      const target = createDiskContent(512 * MIB);
      const chunk = Buffer.alloc(MIB);
      const before = process.memoryUsage();
      for (let at = 0; at < 512 * MIB; at += MIB) {
        source.readInto(chunk, at);
        target.write(at, chunk);
      }
      const after = process.memoryUsage();
      expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).to.be.lessThan(64 * MIB);
      expect(target.nameOf(MIB, MIB)).to.equal(source.nameOf(MIB, MIB));
      expect(target.allocatedBytes).to.equal(512 * MIB);
    });

    it('refuses to write past the end', () => {
      const disk = createDiskContent(MIB);
      expect(() => {
        disk.write(MIB - 2, Buffer.from('abc'));
      })
        .to.throw(SimulatedFailure)
        .with.property('code', 'VDI_IO_ERROR');
    });
  });

  describe('nameOf', () => {
    it('is equal only where the bytes are', () => {
      const disk = createDiskContent(2 * MIB, { kind: 'random' });
      const copy = disk.clone();
      expect(copy.nameOf(0, MIB)).to.equal(disk.nameOf(0, MIB));
      copy.write(70_000, Buffer.from('x'));
      const first = copy.nameOf(0, MIB);
      expect(first).not.to.equal(disk.nameOf(0, MIB));
      copy.write(70_000, Buffer.from('y'));
      expect(copy.nameOf(0, MIB)).not.to.equal(first);
      expect(copy.nameOf(MIB, MIB)).to.equal(disk.nameOf(MIB, MIB));
    });
  });

  describe('changedUnits', () => {
    it('names the 64 KiB pieces written since a snapshot', () => {
      const disk = createDiskContent(MIB, { kind: 'random' });
      disk.write(0, Buffer.from('before'));
      const snapshot = disk.snapshot();
      disk.write(64 * KIB - 1, Buffer.from('ab'));
      disk.write(512 * KIB, disk.read(512 * KIB, 10));
      expect(disk.changedUnits(snapshot)).to.deep.equal([0, 1, 8]);
      expect(disk.changedUnits(createDiskContent(MIB, { kind: 'random', seed: 9 }))).to.equal(undefined);
    });
  });

  describe('resize', () => {
    it('grows by zeroes, also behind a generator', () => {
      const disk = createDiskContent(100_352, { kind: 'random' });
      disk.resize(MIB);
      expect(disk.isZero(100_352, MIB - 100_352)).to.equal(true);
      expect(disk.isZero(0, 512)).to.equal(false);
      expect(() => {
        disk.resize(MIB - 1);
      }).to.throw(SimulatedFailure);
    });
  });
});
