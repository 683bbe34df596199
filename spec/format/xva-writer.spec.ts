import { expect } from 'chai';
import fc from 'fast-check';
import { type ByteRun } from '../../src/common/byte-extent.js';
import { FormatError } from '../../src/format/format-error.js';
import { parseOvaXml } from '../../src/format/ova-xml.js';
import { XvaReader } from '../../src/format/xva-reader.js';
import { planXva, writeXvaDisk, XVA_END, type XvaDisk } from '../../src/format/xva-writer.js';
import { buildOvaXml, builtDisk, MIB } from '../support/xva-builder.js';

async function* given(runs: readonly ByteRun[]): AsyncGenerator<ByteRun> {
  for (const run of runs) yield await Promise.resolve(run);
}

async function collect(disk: XvaDisk, runs: readonly ByteRun[]): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of writeXvaDisk(disk, 'xxhash', given(runs))) pieces.push(piece);
  return pieces;
}

const ID = 'Ref:7';
const archiveOf = (sizeBytes: number): ReturnType<typeof parseOvaXml> =>
  parseOvaXml(buildOvaXml({ disks: [builtDisk(ID, sizeBytes, {})] }));

describe('writeXvaDisk', () => {
  it('gives an archive of the planned length that a reader takes, wherever the runs lie', async () => {
    const stretch = fc.record({ gap: fc.nat({ max: 2 * MIB }), length: fc.integer({ min: 1, max: 700_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(stretch, { maxLength: 8 }), fc.nat({ max: 3000 }), async (stretches, tail) => {
        const runs: ByteRun[] = [];
        let at = 0;
        for (const { gap, length } of stretches) {
          runs.push({ offsetBytes: at + gap, data: Buffer.alloc(length, 1 + (length % 250)) });
          at += gap + length;
        }
        const sizeBytes = at + tail + 1;
        const mayHave = (offset: number, length: number): boolean =>
          runs.some(({ offsetBytes, data }) => offsetBytes < offset + length && offset < offsetBytes + data.length);
        const disk = { id: ID, sizeBytes, mayHave };
        const plan = planXva(archiveOf(sizeBytes), [disk]);
        const whole = Buffer.concat([plan.head, ...(await collect(disk, runs)), XVA_END]);
        expect(whole.length).to.equal(plan.bytes);
        const reader = new XvaReader();
        reader.push(whole);
        const found = reader.end();
        expect(found).to.deep.include({ blocks: plan.blocks, zeroBytesSkipped: plan.zeroBytesSkipped });
        expect(found.disks).to.deep.equal(plan.disks);
      }),
      { numRuns: 25 },
    );
  });

  it('has nothing for an empty disk', async () => {
    expect(await collect({ id: ID, sizeBytes: 0, mayHave: () => true }, [])).to.deep.equal([]);
  });

  const disk = { id: ID, sizeBytes: 4 * MIB, mayHave: (): boolean => false };
  for (const [name, runs] of [
    ['in a block that was not planned', [{ offsetBytes: 2 * MIB, data: Buffer.alloc(512) }]],
    ['beyond the disk', [{ offsetBytes: 4 * MIB, data: Buffer.alloc(512) }]],
    [
      'out of order',
      [
        { offsetBytes: 4096, data: Buffer.alloc(512) },
        { offsetBytes: 0, data: Buffer.alloc(512) },
      ],
    ],
  ] as const) {
    it(`refuses data ${name}`, async () => {
      const error: unknown = await collect(disk, runs).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(FormatError);
    });
  }
});
