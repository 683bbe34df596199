import { expect } from 'chai';
import { type RestoreRequest } from '../../src/contract/index.js';
import { reportOf } from '../contract/support/run-operation.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { ChainWorld, filled, mib, type SavedPoint } from './support/chain-world.js';

const overwrite = (options: RestoreRequest['options'] = {}): RestoreRequest => ({
  mode: 'overwrite',
  options: { stop: 'hard', ...options },
});

describe('journey: backups after a machine was overwritten', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  async function chain(): Promise<readonly [SavedPoint, SavedPoint]> {
    const first = await world.store();
    world.write('0', mib(1), filled(70_000, 1));
    return [first, await world.store()];
  }

  const warnings = ({ events }: SavedPoint): string[] =>
    events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

  for (const from of ['a chain', 'an archive'] as const) {
    it(`from ${from}: say why they are full, leave no base that nobody builds on, and go on`, async () => {
      const [first] = await chain();
      const sink = new RecordingSink();
      if (from === 'a chain') {
        await reportOf(world.xen.source.restore(overwrite(), world.media(first.record)));
      } else {
        const { record } = await reportOf(world.xen.source.backup({ source: 'vm/web', savesetId: 'xva' }, sink));
        await reportOf(world.xen.source.restore(overwrite(), sink.media(record)));
      }
      world.write('0', mib(2), filled(512, 5));
      const next = await world.store();
      expect(world.levels(next)).to.deep.equal([
        '0 full DISK_REVERTED',
        '1 full DISK_REVERTED',
        '2 full DISK_REVERTED',
      ]);
      expect(next.decided.map(({ reason }) => reason)).to.deep.equal(Array(3).fill('DISK_REVERTED'));
      expect(next.record).to.include({ level: 'full' }).and.to.not.have.property('parentSavesetId');
      expect(warnings(next)[0]).to.include('"root" (0) is saved in full').and.include('DISK_REVERTED');
      // Those of the first two are gone.
      expect(world.bases().every((base) => base.endsWith(` ${next.record.savesetId}`))).to.equal(true);
      expect(world.bases()).to.have.length(3);
      world.write('1', 0, filled(4096, 6));
      const last = await world.store();
      expect(last.record).to.include({ level: 'incremental', parentSavesetId: next.record.savesetId });
      for (const point of [first, next, last]) await world.expectRestores(point);
      await reportOf(world.xen.source.restore(overwrite(), world.media(last.record)));
      expect(world.moment()).to.deep.equal(last.moment);
    });
  }

  it('with some of its disks only: the others stay incremental, and so does the chain', async () => {
    const [first] = await chain();
    await reportOf(world.xen.source.restore(overwrite({ disks: ['0'] }), world.media(first.record)));
    const mixed = await world.store();
    expect(world.levels(mixed)).to.deep.equal(['0 full DISK_REVERTED', '1 incremental CBT_OK', '2 incremental CBT_OK']);
    expect(mixed.record).to.include({ level: 'incremental', parentSavesetId: 's2' });
    world.write('0', 0, filled(512, 8));
    const last = await world.store();
    expect(world.levels(last)).to.deep.equal(['0 incremental CBT_OK', '1 incremental CBT_OK', '2 incremental CBT_OK']);
    for (const point of [first, mixed, last]) await world.expectRestores(point);
    // Of the full at the beginning a differential needs the bases: only those that are still of a disk.
    expect(world.bases()).to.deep.equal(
      [
        'data cbt_metadata s1',
        'empty cbt_metadata s1',
        ...['data', 'empty', 'root'].map((name) => `${name} cbt_metadata s4`),
      ].sort(),
    );
  });

  it('leave what the old disks had of bases to reconcile as well', async () => {
    const [first] = await chain();
    await reportOf(world.xen.source.restore(overwrite(), world.media(first.record)));
    const { removed, kept } = await world.xen.source.reconcile();
    expect(new Set(removed.map(({ kind, why }) => `${kind}: ${why}`))).to.deep.equal(
      new Set(['base: the disk that it was a base of is gone']),
    );
    expect(kept).to.deep.equal([]);
    expect(world.bases()).to.deep.equal([]);
    const next = await world.store();
    expect(next.record.level).to.equal('full');
    await world.expectRestores(next);
  });

  it('of a machine that got one of its disks alone: that disk is new, the others are incremental', async () => {
    const [first, second] = await chain();
    await reportOf(
      world.xen.source.restore({ mode: 'disk', disk: '0', attachTo: 'vm/web' }, world.media(first.record)),
    );
    const next = await world.store();
    expect(world.levels(next)).to.deep.equal([
      '0 incremental CBT_OK',
      '1 incremental CBT_OK',
      '2 incremental CBT_OK',
      '3 full DISK_NEW',
    ]);
    for (const point of [second, next]) await world.expectRestores(point);
  });
});
