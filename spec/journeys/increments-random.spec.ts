import { expect } from 'chai';
import { reportOf } from '../contract/support/run-operation.js';
import { ChainWorld, filled, mib } from './support/chain-world.js';
import { GuestAtWork } from './support/guest-at-work.js';
import { PoolReads } from './support/pool-reads.js';
import { SeededRandom } from './support/seeded-random.js';

/** The long form, 50 rounds, is in spec/long. */
const ROUNDS = 6;

describe('journey: a guest at work between backups', function () {
  this.timeout(120_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  it(`restores each of ${ROUNDS} points, and reads and stores hardly more than what changed`, async () => {
    const guest = new GuestAtWork(world, new SeededRandom(20261122));
    await guest.begin();
    for (let round = 1; round <= ROUNDS; round += 1) await guest.round(round);
    await guest.expectAllRestore();
    const { record, digests } = guest.moments.at(-1)!;
    const request = { mode: 'new', name: 'as it was' } as const;
    const { targetId } = await reportOf(world.xen.source.restore(request, world.media(record)));
    expect(world.xen.disksOf(targetId!)).to.deep.equal(digests);
  });

  it('reads nothing twice but what was on its way when the server died', async () => {
    await world.addDisk('large', mib(64), '4');
    await world.store();
    world.write('4', 0, filled(mib(64), 3));
    world.xen.running.addFault({ match: { nbd: 'read' }, occurrence: 40, action: { cutAtByte: 1000 } });
    const { store, contents } = world.xen.running.pool;
    let reads: PoolReads | undefined;
    const point = await world
      .store({}, () => {
        reads ??= new PoolReads((content) => {
          const found = store.all('VDI').find(([ref]) => contents.get(ref) === content);
          return found?.[1].name_label as string | undefined;
        });
      })
      .finally(() => reads?.stop());
    expect(world.levels(point)[3]).to.equal('4 incremental CBT_OK');
    expect(world.xen.log.some(({ message }) => message.includes('was lost; another one goes on'))).to.equal(true);
    expect(reads!.of('large')).to.be.within(mib(64), mib(64 + 17));
    await world.expectRestores(point);
  });
});
