import { expect } from 'chai';
import { ChainWorld, filled, mib } from './support/chain-world.js';

const KIB = 1024;

describe('journey: increments', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  it('saves a full, then only what changed, and each point restores to the bytes of its moment', async () => {
    const full = await world.store();
    expect(full.record).to.deep.include({ level: 'full', consistency: 'crash', warnings: [] });
    expect(full.record.items.map(({ name }) => name)).to.deep.equal([
      'machine.xva',
      'disk-0.vhd',
      'disk-1.vhd',
      'disk-2.vhd',
    ]);
    expect(world.levels(full)).to.deep.equal(['0 full POLICY', '1 full POLICY', '2 full POLICY']);

    world.write('0', 3 * 64 * KIB + 17, filled(100, 1));
    world.write('0', mib(5), filled(64 * KIB, 2));
    world.write('2', mib(1), filled(200 * KIB, 3));
    const first = await world.store();
    expect(first.record).to.include({ level: 'incremental', parentSavesetId: 's1' });
    expect(world.levels(first)).to.deep.equal(['0 incremental CBT_OK', '1 incremental CBT_OK', '2 incremental CBT_OK']);
    expect(first.decided.map(({ expectedBytes }) => expectedBytes)).to.deep.equal([128 * KIB, 0, 256 * KIB]);
    const bytesOf = (name: string): number => first.record.items.find((item) => item.name === name)!.bytes;
    expect(bytesOf('disk-0.vhd')).to.be.at.most(1.05 * 128 * KIB + 4096);
    expect(bytesOf('disk-1.vhd')).to.be.at.most(4096);
    expect(bytesOf('disk-2.vhd')).to.be.at.most(1.05 * 256 * KIB + 4096);

    world.write('1', mib(2), filled(64 * KIB, 4));
    const second = await world.store({ level: 'differential' });
    expect(second.record).to.include({ level: 'differential', parentSavesetId: 's1' });
    expect(second.decided.map(({ expectedBytes }) => expectedBytes)).to.deep.equal([128 * KIB, 64 * KIB, 256 * KIB]);

    world.write('0', 0, filled(mib(2), 5));
    const third = await world.store();
    expect(third.record).to.include({ level: 'incremental', parentSavesetId: 's3' });
    expect(third.chain.ancestors).to.deep.equal(['s1', 's3']);

    for (const point of [full, first, second, third]) await world.expectRestores(point);
  });

  it("leaves one base for each disk, and that of the chain's full beside the newest", async () => {
    const before = world.xen.state();
    await world.store();
    expect(world.bases()).to.deep.equal(['data cbt_metadata s1', 'empty cbt_metadata s1', 'root cbt_metadata s1']);
    expect(world.snapshots()).to.deep.equal([]);
    await world.store();
    await world.store();
    expect(world.bases()).to.deep.equal([
      'data cbt_metadata s1',
      'data cbt_metadata s3',
      'empty cbt_metadata s1',
      'empty cbt_metadata s3',
      'root cbt_metadata s1',
      'root cbt_metadata s3',
    ]);
    const after = await world.store({ level: 'full' });
    expect(after.chain.supersedes).to.have.members(['s1', 's2', 's3']);
    expect(world.bases()).to.deep.equal(['data cbt_metadata s4', 'empty cbt_metadata s4', 'root cbt_metadata s4']);
    expect(world.xen.state().VM).to.deep.equal(before.VM);
  });

  it('keeps the old base when the host discards a saveset, and builds on it next time', async () => {
    const full = await world.store();
    world.write('0', 0, filled(64 * KIB, 1));
    const lost = await world.save();
    expect(world.snapshots()).to.deep.equal(['[xen-backup s2] web']);
    await world.xen.source.settle(lost.record, 'discarded');
    await world.xen.source.settle(lost.record, 'discarded');
    expect(world.bases()).to.deep.equal(['data cbt_metadata s1', 'empty cbt_metadata s1', 'root cbt_metadata s1']);
    const next = await world.store();
    expect(next.record).to.include({ level: 'incremental', parentSavesetId: full.record.savesetId });
    await world.expectRestores(next);
  });

  it('makes no base of a copy and moves none', async () => {
    await world.store();
    const copy = await world.store({ level: 'copy' });
    expect(world.levels(copy)).to.deep.equal(['0 copy POLICY', '1 copy POLICY', '2 copy POLICY']);
    expect(copy.chain.disks.map(({ baseId }) => baseId)).to.deep.equal([undefined, undefined, undefined]);
    expect(world.bases()).to.deep.equal(['data cbt_metadata s1', 'empty cbt_metadata s1', 'root cbt_metadata s1']);
    const next = await world.store();
    expect(next.record).to.include({ level: 'incremental', parentSavesetId: 's1' });
    await world.expectRestores(copy);
    await world.expectRestores(next);
  });

  it('begins a new chain when the old one is long enough', async () => {
    const options = { maxChain: 2 };
    await world.store({ options });
    expect((await world.store({ options })).record.level).to.equal('incremental');
    const third = await world.store({ options });
    expect(world.levels(third)[0]).to.equal('0 full POLICY');
    expect(third.record.warnings).to.deep.equal([]);
  });
});
