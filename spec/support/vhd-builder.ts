import { type ByteExtent, type ByteRun } from '../../src/common/byte-extent.js';
import { planVhd, type VhdPlan, type VhdWish } from '../../src/format/vhd-plan.js';
import { writeVhd } from '../../src/format/vhd-writer.js';

export const UUIDS = [
  '11111111-2222-4333-8444-555555555555',
  '22222222-3333-4444-8555-666666666666',
  '33333333-4444-4555-8666-777777777777',
  '44444444-5555-4666-8777-888888888888',
  '55555555-6666-4777-8888-999999999999',
] as const;

export const MADE_AT_MS = 1_700_000_000_000;

/** The extents' data, in pieces of `pieceBytes`. */
export function* runsOf(disk: Buffer, extents: readonly ByteExtent[], pieceBytes = 50_000): Generator<ByteRun> {
  for (const { offsetBytes, lengthBytes } of extents) {
    for (let at = 0; at < lengthBytes; at += pieceBytes) {
      const offset = offsetBytes + at;
      yield { offsetBytes: offset, data: disk.subarray(offset, offset + Math.min(pieceBytes, lengthBytes - at)) };
    }
  }
}

export async function bytesOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** A whole VHD of those parts of `disk` that `changed` says. */
export async function buildVhd(
  disk: Buffer,
  changed: readonly ByteExtent[],
  wish: Partial<VhdWish> = {},
  pieceBytes?: number,
): Promise<{ plan: VhdPlan; bytes: Buffer }> {
  const plan = planVhd({ diskSizeBytes: disk.length, changed, uuid: UUIDS[0], createdAtMs: MADE_AT_MS, ...wish });
  return { plan, bytes: await bytesOf(writeVhd(plan, runsOf(disk, plan.extents, pieceBytes))) };
}
