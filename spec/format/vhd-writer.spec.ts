import { expect } from 'chai';
import { type ByteExtent, type ByteRun } from '../../src/common/byte-extent.js';
import { GIB, KIB, MIB } from '../../src/common/byte-size.js';
import { FormatError } from '../../src/format/format-error.js';
import { planVhd, type VhdWish } from '../../src/format/vhd-plan.js';
import { DiskTooLargeForVhd, MAX_VHD_DISK_BYTES } from '../../src/format/vhd-structures.js';
import { writeVhd } from '../../src/format/vhd-writer.js';
import { bytesOf, MADE_AT_MS, UUIDS } from '../support/vhd-builder.js';

const PARENT = { uuid: UUIDS[1], name: 'disk-0.vhd', timestampMs: MADE_AT_MS };
const UNIT = 64 * KIB;

const wishOf = (diskSizeBytes: number, changed: readonly ByteExtent[], more: Partial<VhdWish> = {}): VhdWish => ({
  diskSizeBytes,
  changed,
  uuid: UUIDS[0],
  createdAtMs: MADE_AT_MS,
  ...more,
});

/** `count` units, evenly over the disk, no two of them neighbours. */
function scattered(diskSizeBytes: number, count: number): ByteExtent[] {
  const step = Math.floor(diskSizeBytes / UNIT / count) * UNIT;
  return Array.from({ length: count }, (_, index) => ({ offsetBytes: index * step, lengthBytes: UNIT }));
}

describe('planVhd', () => {
  for (const count of [0, 1, 2, 3, 7, 16, 50, 128, 1000, 2047, 10_000, 30_000]) {
    it(`needs at most 1.05 times the changed bytes and 256 KiB for ${count} changes on a disk of 4 GiB`, () => {
      const changed = count === 0 ? [] : scattered(4 * GIB, count);
      const plan = planVhd(wishOf(4 * GIB, changed, { parent: PARENT }));
      expect(plan.bytes).to.be.at.most(1.05 * count * UNIT + 256 * KIB);
    });
  }

  it('takes small blocks for scattered changes, large ones for neighbours', () => {
    const sizeOf = (changed: readonly ByteExtent[]): number =>
      planVhd(wishOf(4 * GIB, changed, { parent: PARENT })).blockSizeBytes;
    expect(sizeOf(scattered(4 * GIB, 1000))).to.equal(UNIT);
    expect(sizeOf([{ offsetBytes: 0, lengthBytes: GIB }])).to.equal(2 * MIB);
    expect(sizeOf([])).to.equal(2 * MIB);
  });

  it('weighs the table against the blocks on a large disk', () => {
    const plan = planVhd(wishOf(100 * GIB, scattered(100 * GIB, 16), { parent: PARENT }));
    expect(plan.blockSizeBytes).to.equal(128 * KIB);
    expect(plan.bytes).to.be.below(5.3 * MIB);
  });

  it('makes blocks of 2 MiB when there is no parent', () => {
    expect(planVhd(wishOf(4 * GIB, scattered(4 * GIB, 1000))).blockSizeBytes).to.equal(2 * MIB);
  });

  it('takes the largest disk, and no larger one', () => {
    const all = [{ offsetBytes: 0, lengthBytes: MAX_VHD_DISK_BYTES }];
    expect(planVhd(wishOf(MAX_VHD_DISK_BYTES, all, { parent: PARENT })).bytes).to.be.above(MAX_VHD_DISK_BYTES);
    expect(() => planVhd(wishOf(MAX_VHD_DISK_BYTES + 512, []))).to.throw(DiskTooLargeForVhd, '2040 GiB');
  });

  it('refuses small blocks that no table could point at', () => {
    const all = [{ offsetBytes: 0, lengthBytes: MAX_VHD_DISK_BYTES }];
    expect(() => planVhd(wishOf(MAX_VHD_DISK_BYTES, all, { blockSizeBytes: UNIT }))).to.throw(FormatError, 'no room');
  });

  const wrong: readonly [name: string, extents: readonly ByteExtent[]][] = [
    [
      'descend',
      [
        { offsetBytes: MIB, lengthBytes: 512 },
        { offsetBytes: 0, lengthBytes: 512 },
      ],
    ],
    [
      'overlap',
      [
        { offsetBytes: 0, lengthBytes: 1024 },
        { offsetBytes: 512, lengthBytes: 512 },
      ],
    ],
    ['are empty', [{ offsetBytes: 0, lengthBytes: 0 }]],
    ['are not in sectors', [{ offsetBytes: 0, lengthBytes: 100 }]],
    ['reach beyond the disk', [{ offsetBytes: 4 * MIB - 512, lengthBytes: 1024 }]],
  ];
  for (const [name, extents] of wrong) {
    it(`refuses extents that ${name}`, () => {
      expect(() => planVhd(wishOf(4 * MIB, extents))).to.throw(FormatError, 'Extents');
    });
  }
});

describe('writeVhd', () => {
  const plan = planVhd(wishOf(4 * MIB, scattered(4 * MIB, 4), { parent: PARENT }));
  const runs = (change: (all: ByteRun[]) => ByteRun[]): ByteRun[] =>
    change(plan.extents.map(({ offsetBytes, lengthBytes }) => ({ offsetBytes, data: Buffer.alloc(lengthBytes, 1) })));
  const errorOf = async (given: ByteRun[]): Promise<unknown> =>
    await bytesOf(writeVhd(plan, given)).then(
      () => 'it was written',
      (error: unknown) => error,
    );

  it('writes as many bytes as were planned', async () => {
    expect(
      (
        await bytesOf(
          writeVhd(
            plan,
            runs((all) => all),
          ),
        )
      ).length,
    ).to.equal(plan.bytes);
  });

  const wrong: readonly [name: string, change: (all: ByteRun[]) => ByteRun[]][] = [
    ['are too few', (all) => all.slice(0, -1)],
    ['are too many', (all) => [...all, { offsetBytes: 4 * MIB - 512, data: Buffer.alloc(512) }]],
    ['lack one in the middle', (all) => all.filter((_, index) => index !== 1)],
    ['come twice', (all) => [...all.slice(0, 1), ...all]],
    ['are shorter', (all) => all.map((run) => ({ ...run, data: run.data.subarray(512) }))],
    ['are longer', (all) => all.map((run) => ({ ...run, data: Buffer.alloc(UNIT + 512) }))],
  ];
  for (const [name, change] of wrong) {
    it(`refuses runs that ${name}`, async () => {
      expect(await errorOf(runs(change))).to.be.instanceOf(FormatError);
    });
  }

  it('takes hold of no more than it passes on, however large the disk', async () => {
    const large = planVhd(
      wishOf(2000 * GIB, [{ offsetBytes: 1999 * GIB, lengthBytes: UNIT }], { blockSizeBytes: UNIT }),
    );
    let longest = 0;
    let total = 0;
    for await (const piece of writeVhd(large, [{ offsetBytes: 1999 * GIB, data: Buffer.alloc(UNIT) }])) {
      longest = Math.max(longest, piece.length);
      total += piece.length;
    }
    expect(total).to.equal(large.bytes);
    expect(longest).to.be.at.most(64 * KIB);
  });
});
