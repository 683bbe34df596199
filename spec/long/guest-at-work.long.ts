import { expect } from 'chai';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { reportOf } from '../contract/support/run-operation.js';
import { CHAIN_POOL, ChainWorld } from '../journeys/support/chain-world.js';
import { digestOf, GuestAtWork } from '../journeys/support/guest-at-work.js';
import { SeededRandom } from '../journeys/support/seeded-random.js';

const ROUNDS = 50;
/** Any whole number: `SPEC_SEED=7 npm run test:long`. */
const SEED = Number(process.env.SPEC_SEED ?? 20261122);
/** These moments are brought back into the pool as machines. */
const SAMPLE = [0, 4, 12, 25, 37, 49, 50];

const LARGER: PoolDefinition = {
  ...CHAIN_POOL,
  storage: (CHAIN_POOL.storage ?? []).map((storage) => ({ ...storage, sizeGiB: 16 })),
  vms: (CHAIN_POOL.vms ?? []).map((vm) =>
    vm.name === 'web' ? { ...vm, disks: (vm.disks ?? []).map((disk) => ({ ...disk, sizeMiB: 3 * disk.sizeMiB })) } : vm,
  ),
};

describe('a guest at work for 50 rounds', function () {
  this.timeout(30 * 60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start({ poolFile: LARGER });
  });

  afterEach(() => world.close());

  it(`comes back as it was at each of ${ROUNDS + 1} moments, and cost hardly more than what changed (seed ${SEED})`, async () => {
    const guest = new GuestAtWork(world, new SeededRandom(SEED));
    await guest.begin();
    for (let round = 1; round <= ROUNDS; round += 1) await guest.round(round);
    await guest.expectAllRestore();
    for (const at of SAMPLE) {
      const { record, digests } = guest.moments[at]!;
      const request = { mode: 'new', name: `as at ${at}` } as const;
      const { targetId } = await reportOf(world.xen.source.restore(request, world.media(record)));
      expect(world.xen.disksOf(targetId!), `moment ${at}`).to.deep.equal(digests);
    }
    const oldest = guest.moments[7]!;
    await reportOf(
      world.xen.source.restore({ mode: 'overwrite', options: { stop: 'hard' } }, world.media(oldest.record)),
    );
    expect(world.xen.disksOf(world.machine)).to.deep.equal(oldest.digests);
    const next = await world.store({ options: { maxChain: 60 } });
    expect(next.record.level).to.equal('full');
    await world.expectRestores(next);
    expect(digestOf(next.moment['0']!)).to.equal(oldest.digests['0']);
  });
});
