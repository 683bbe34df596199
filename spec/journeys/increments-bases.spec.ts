import { expect } from 'chai';
import { type BackupSource } from '../../src/contract/index.js';
import { PENDING_BASE_LEASE_MS } from '../../src/session/run-marks.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf } from '../contract/support/run-operation.js';
import { CHAIN_POOL, ChainWorld, filled, mib } from './support/chain-world.js';

const DAY_AND_MORE_MS = PENDING_BASE_LEASE_MS + 60_000;
const S1 = ['data cbt_metadata s1', 'empty cbt_metadata s1', 'root cbt_metadata s1'];

describe('journey: the bases of increments', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  afterEach(() => world.close());

  describe('after a crash', () => {
    beforeEach(async () => {
      world = await ChainWorld.start();
    });

    const later = async (laterMs: number, work: (source: BackupSource) => Promise<void>): Promise<void> => {
      const other = await world.xen.anotherProcess(laterMs);
      try {
        await work(other.source);
      } finally {
        await other.close();
      }
    };

    it('between the record and the word of the host: the next backup settles what was stored', async () => {
      const full = await world.save();
      world.history.push(full.record);
      expect(world.snapshots()).to.deep.equal(['[xen-backup s1] web']);
      world.write('0', 0, filled(1000, 1));
      const next = await world.store();
      expect(next.record).to.include({ level: 'incremental', parentSavesetId: 's1' });
      expect(world.snapshots()).to.deep.equal([]);
      expect(world.bases().filter((base) => base.endsWith(' s1'))).to.deep.equal(S1);
      await world.expectRestores(next);
    });

    it('reconcile leaves a base alone while its host may still store the saveset, and removes it afterwards', async () => {
      const before = world.xen.state();
      const { record } = await world.save();
      const early = await world.xen.source.reconcile();
      expect(early.removed).to.deep.equal([]);
      expect(early.kept.map(({ kind, why }) => `${kind}: ${why}`)).to.deep.equal([
        'base: saveset s1 may still be stored',
      ]);
      await later(DAY_AND_MORE_MS, async (source) => {
        const report = await source.reconcile();
        expect(report.removed.map(({ why }) => why)).to.deep.equal(['saveset s1 was never stored']);
      });
      expect(world.bases()).to.deep.equal([]);
      expect(world.snapshots()).to.deep.equal([]);
      expect(world.xen.state().VM).to.deep.equal(before.VM);
      // A word that comes too late finds nothing to do.
      await world.xen.source.settle(record, 'stored');
    });

    it('in the middle of settling: reconcile finishes what was begun', async () => {
      const { record } = await world.save();
      const remove = world.xen.running.addFault({
        match: { call: 'VM.destroy' },
        action: { failWith: ['INTERNAL_ERROR', 'out of luck'] },
      });
      const outcome: unknown = await world.xen.source.settle(record, 'stored').catch((error: unknown) => error);
      expect(outcome).to.have.property('code');
      remove();
      const report = await world.xen.source.reconcile();
      expect(report.repaired.map(({ why }) => why)).to.deep.equal(['the base of saveset s1 was half made']);
      expect(world.bases()).to.deep.equal(S1);
      expect(world.snapshots()).to.deep.equal([]);
    });

    it('reconcile keeps settled bases and says so, and removes those that nothing can build on', async () => {
      await world.store();
      const kept = await world.xen.source.reconcile();
      expect(kept.removed).to.deep.equal([]);
      expect(kept.kept.map(({ kind, name, why }) => `${kind} ${name}: ${why}`).sort()).to.deep.equal(
        ['data', 'empty', 'root'].map((name) => `base ${name}: increments build on it: saveset s1`),
      );
      world.patchVdi(world.baseOf('root'), { cbt_enabled: false });
      const report = await world.xen.source.reconcile();
      expect(report.removed.map(({ name, why }) => `${name}: ${why}`)).to.deep.equal([
        'root: the pool lost track of changes since it was made',
      ]);
      expect(world.bases()).to.deep.equal(S1.slice(0, 2));
    });
  });

  it('leaves none of a backup that was all done when nobody listened any more (found by torture)', async () => {
    world = await ChainWorld.start();
    const before = world.xen.state();
    const request = { source: 'vm/web', savesetId: 's1', level: 'full', options: { format: 'disks' } } as const;
    await new Promise<void>((resolve) => {
      const running = world.xen.source.backup(request, new RecordingSink()).subscribe((event) => {
        if (event.type !== 'phase-entered' || event.phase !== 'release') return;
        running.unsubscribe();
        resolve();
      });
    });
    await world.xen.source.close();
    const after = world.xen.state();
    expect(after.VM).to.deep.equal(before.VM);
    expect(Object.keys(after.VDI ?? {})).to.deep.equal(Object.keys(before.VDI ?? {}));
  });

  it('leaves none of a backup that is cancelled while its base is marked', async () => {
    world = await ChainWorld.start();
    const before = world.xen.state();
    const { faults } = world.xen.running.pool;
    const forCall = faults.forCall.bind(faults);
    const cancel = new AbortController();
    let isMarkedAnew = false;
    faults.forCall = (call) => {
      // The mark of the snapshot goes, and then that of the base comes.
      if (call === 'VM.remove_from_other_config') isMarkedAnew = true;
      if (call === 'VM.add_to_other_config' && isMarkedAnew) cancel.abort();
      return forCall(call);
    };
    const { signal } = cancel;
    const request = { source: 'vm/web', savesetId: 's1', level: 'full', options: { format: 'disks' }, signal } as const;
    const saving = world.xen.source.backup(request, new RecordingSink());
    expect(await errorOf(saving)).to.include({ code: 'CANCELLED' });
    expect(signal.aborted).to.equal(true);
    const after = world.xen.state();
    expect(after.VM).to.deep.equal(before.VM);
    expect(Object.keys(after.VDI ?? {})).to.deep.equal(Object.keys(before.VDI ?? {}));
  });

  it('keeps whole snapshots with base=snapshot, and increments still go by the bitmap', async () => {
    world = await ChainWorld.start();
    const options = { base: 'snapshot' };
    await world.store({ options });
    expect(world.bases()).to.deep.equal(['data user s1', 'empty user s1', 'root system s1']);
    world.write('0', mib(1), filled(1000, 1));
    const next = await world.store({ options });
    expect(world.levels(next)[0]).to.equal('0 incremental CBT_OK');
    await world.expectRestores(next);
  });

  const without: readonly (readonly [what: string, pool: typeof CHAIN_POOL])[] = [
    [
      'a network for NBD',
      { ...CHAIN_POOL, networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true }] },
    ],
    ['a licence for tracking', { ...CHAIN_POOL, restrictions: { restrict_cbt: true } }],
  ];
  for (const [what, poolFile] of without) {
    it(`without ${what} keeps the snapshot whole, and the storage finds the difference`, async () => {
      world = await ChainWorld.start({ poolFile });
      const full = await world.store();
      expect(full.record.warnings).to.deep.equal([]);
      expect(world.bases()).to.deep.equal(['data user s1', 'empty user s1', 'root system s1']);
      world.write('0', mib(3), filled(70_000, 1));
      world.write('2', 0, filled(512, 2));
      const first = await world.store();
      expect(world.levels(first)).to.deep.equal([
        '0 incremental SNAPSHOT_DIFFERENCE',
        '1 incremental SNAPSHOT_DIFFERENCE',
        '2 incremental SNAPSHOT_DIFFERENCE',
      ]);
      // Only the storage finds out, while it sends.
      expect(first.decided.map(({ expectedBytes }) => expectedBytes)).to.deep.equal([undefined, undefined, undefined]);
      expect(first.record.items.find(({ name }) => name === 'disk-1.vhd')!.bytes).to.be.lessThan(8192);
      world.write('1', mib(1), filled(mib(1), 3));
      const second = await world.store();
      for (const point of [full, first, second]) await world.expectRestores(point);
    });
  }

  it('goes full where only the bitmap was kept and NBD is gone, and keeps whole snapshots from then on', async () => {
    world = await ChainWorld.start();
    await world.store();
    const network = world.xen.running.pool.store.refByUuid('network', world.xen.uuidOf('Management', 'network'));
    await world.call('network.remove_purpose', network, 'nbd');
    const point = await world.store();
    expect(world.levels(point)[0]).to.equal('0 full NBD_UNAVAILABLE');
    const next = await world.store();
    expect(world.levels(next)[0]).to.equal('0 incremental SNAPSHOT_DIFFERENCE');
    await world.expectRestores(next);
  });
});
