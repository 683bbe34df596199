import { expect } from 'chai';
import { planVhd } from '../../src/format/vhd-plan.js';
import { writeVhd } from '../../src/format/vhd-writer.js';
import { coverExtents } from '../../src/transfer/chain-cover.js';
import { DiskDigest } from '../../src/transfer/disk-digest.js';
import { type ByteRun } from '../../src/common/byte-extent.js';

const SIZE = 5 * 1024 * 1024;

/** A disk with data in two places, one of them over the edge of two units. */
function disk(): Buffer {
  const bytes = Buffer.alloc(SIZE);
  bytes.fill(7, 60_000, 70_000);
  bytes.fill(9, SIZE - 512);
  return bytes;
}

function rawDigest(bytes: Buffer, pieceBytes: number): string {
  const digest = new DiskDigest('raw');
  for (let at = 0; at < bytes.length; at += pieceBytes) digest.push(bytes.subarray(at, at + pieceBytes));
  digest.end();
  return digest.hex();
}

/** The digest of a VHD that stores so many bytes at these offsets. */
async function vhdDigest(bytes: Buffer, extents: readonly (readonly [number, number])[]): Promise<string> {
  const changed = extents.map(([offsetBytes, lengthBytes]) => ({ offsetBytes, lengthBytes }));
  const plan = planVhd({ diskSizeBytes: SIZE, changed, uuid: '0b2b7a10-0000-4000-8000-000000000001', createdAtMs: 0 });
  async function* runs(): AsyncGenerator<ByteRun> {
    for (const { offsetBytes, lengthBytes } of changed) {
      yield await Promise.resolve({ offsetBytes, data: bytes.subarray(offsetBytes, offsetBytes + lengthBytes) });
    }
  }
  const digest = new DiskDigest('vhd', SIZE);
  for await (const piece of writeVhd(plan, coverExtents(runs(), plan.extents))) digest.push(piece);
  digest.end();
  return digest.hex();
}

describe('DiskDigest', () => {
  it('is the same whatever pieces a raw disk comes in', () => {
    expect(rawDigest(disk(), 1_000_003)).to.equal(rawDigest(disk(), 4096));
  });

  it('is the same for raw and for VHDs that store more or less of what is zero', async () => {
    const bytes = disk();
    const raw = rawDigest(bytes, 65_536);
    expect(
      await vhdDigest(bytes, [
        [59_904, 10_240],
        [SIZE - 512, 512],
      ]),
    ).to.equal(raw);
    expect(await vhdDigest(bytes, [[0, SIZE]])).to.equal(raw);
  });

  it('is the same for a disk that is larger and zero there', () => {
    expect(rawDigest(Buffer.concat([disk(), Buffer.alloc(100_000)]), 65_536)).to.equal(rawDigest(disk(), 65_536));
  });

  it('is another one for one bit, and for the same data elsewhere', () => {
    const other = disk();
    other.writeUInt8(6, 65_000);
    const moved = disk();
    moved.copy(moved, 60_512, 60_000, 70_000).valueOf();
    const digests = [disk(), other, moved].map((bytes) => rawDigest(bytes, 65_536));
    expect(new Set(digests).size).to.equal(3);
  });
});
