import { expect } from 'chai';
import { SeededRandom } from './support/seeded-random.js';
import { ChainWorld, mib, type SavedPoint } from './support/chain-world.js';

const KIB = 1024;
const BLOCK_BYTES = 64 * KIB;
/** SPEC_ROUNDS=50 takes a minute or so. */
const ROUNDS = Number(process.env.SPEC_ROUNDS ?? 10);
const RESIZED = { round: 3, position: '2' };
const ADDED = { round: 5, position: '4' };
const REVERTED = { round: 8, position: '1' };
const OVERHEAD_BYTES = 256 * KIB;

/** What the guest does between two backups: writes of 512 B to 4 MiB; gives the blocks that they touch, by position. */
function writeSomething(world: ChainWorld, random: SeededRandom): ReadonlyMap<string, ReadonlySet<number>> {
  const touched = new Map<string, Set<number>>();
  for (const position of world.positions()) {
    const blocks = new Set<number>();
    const size = world.sizeOf(position);
    for (let write = random.below(4); write > 0; write -= 1) {
      const bytes = Math.min(size, 512 * 2 ** random.below(14));
      const offset = random.below((size - bytes) / 512 + 1) * 512;
      world.write(position, offset, random.bytes(bytes));
      for (let block = Math.floor(offset / BLOCK_BYTES); block * BLOCK_BYTES < offset + bytes; block += 1) {
        blocks.add(block);
      }
    }
    touched.set(position, blocks);
  }
  return touched;
}

describe('journey: a guest at work between backups', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  it(`restores each of ${ROUNDS} points, and reads and stores hardly more than what changed`, async function () {
    this.timeout(10_000 * ROUNDS);
    const random = new SeededRandom(20261122);
    const points: SavedPoint[] = [await world.store()];
    for (let round = 1; round <= ROUNDS; round += 1) {
      const touched = writeSomething(world, random);
      if (round === RESIZED.round) world.grow(RESIZED.position, mib(6));
      if (round === ADDED.round) await world.addDisk('added', mib(3), ADDED.position);
      if (round === REVERTED.round) await world.replaceByClone(REVERTED.position);
      const level = round % 6 === 0 ? 'differential' : 'auto';
      const point = await world.store({ level, options: { maxChain: 50 } });
      points.push(point);
      for (const { position, level: ofDisk, reason, item } of point.record.disks) {
        const isDue = [RESIZED, ADDED, REVERTED].some((one) => one.round === round && one.position === position);
        const isFull = ofDisk === 'full';
        if (level === 'auto') expect(isFull, `${round}/${position}: ${reason}`).to.equal(isDue);
        if (isFull || level === 'differential') continue;
        const limit = 1.05 * (touched.get(position)?.size ?? 0) * BLOCK_BYTES + OVERHEAD_BYTES;
        const stored = point.record.items.find(({ name }) => name === item)!.bytes;
        const read = point.decided.find(({ disk }) => disk === world.nameOf(position))!.expectedBytes;
        expect(stored, `stored of ${position} in round ${round}`).to.be.at.most(limit);
        expect(read, `read of ${position} in round ${round}`).to.be.at.most(limit);
      }
    }
    for (const point of points) await world.expectRestores(point);
    expect(world.snapshots()).to.deep.equal([]);
  });
});
