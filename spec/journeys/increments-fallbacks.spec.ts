import { expect } from 'chai';
import { loseTracking } from '../../src/simulator/behaviour/change-logs.js';
import { ChainWorld, filled, mib } from './support/chain-world.js';
import { errorOf, expectCode } from '../contract/support/run-operation.js';
import { RecordingSink } from '../contract/support/recording-sink.js';

describe('journey: increments that can not be', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  const rest = ['1 incremental CBT_OK', '2 incremental CBT_OK'];
  const troubles: readonly (readonly [reason: string, what: string, trouble: (world: ChainWorld) => unknown])[] = [
    ['BASE_MISSING', 'somebody removed the base', (at) => at.call('VDI.destroy', at.baseOf('root'))],
    ['CBT_DISABLED', 'somebody switched tracking off', (at) => at.call('VDI.disable_cbt', at.vdi('0'))],
    [
      'CBT_INVALID',
      'a crash of the host spoilt the bitmap of the base',
      (at) => {
        at.patchVdi(at.baseOf('root'), { cbt_enabled: false });
      },
    ],
    [
      'CBT_INVALID',
      'the storage gave up tracking, and said so in a message',
      (at) => {
        loseTracking(at.xen.running.pool, at.vdi('0'), 'VDI_CBT_METADATA_INCONSISTENT');
      },
    ],
    [
      'DISK_RESIZED',
      'the disk grew',
      (at) => {
        at.grow('0', mib(10));
      },
    ],
    [
      'DISK_REVERTED',
      'the base is of another disk',
      (at) => {
        at.patchVdi(at.baseOf('root'), { snapshot_of: at.vdi('1') });
      },
    ],
  ];
  for (const [reason, what, trouble] of troubles) {
    it(`goes full with that disk alone when ${what}: ${reason}`, async () => {
      await world.store();
      await trouble(world);
      world.write('0', 0, filled(1000, 1));
      world.write('1', 0, filled(1000, 2));
      const point = await world.store();
      expect(world.levels(point)).to.deep.equal([`0 full ${reason}`, ...rest]);
      expect(point.record.level).to.equal('incremental');
      expect(point.record.warnings.map(({ code }) => code)).to.deep.equal(['FULL_FALLBACK']);
      expect(point.record.warnings[0]!.message).to.include('"root" (0)').and.include(reason);
      await world.expectRestores(point);
      world.write('0', 0, filled(1000, 3));
      const next = await world.store();
      expect(world.levels(next)).to.deep.equal(['0 incremental CBT_OK', ...rest]);
      expect(next.record.warnings).to.deep.equal([]);
      await world.expectRestores(next);
    });
  }

  it('goes full with a disk alone when the pool can not compare it after all', async () => {
    await world.store();
    const remove = world.xen.running.addFault({
      match: { call: 'VDI.list_changed_blocks' },
      occurrence: 1,
      action: { failWith: ['SR_BACKEND_FAILURE_460', '', 'Failed to calculate changed blocks for given VDIs.', ''] },
    });
    const point = await world.store();
    remove();
    expect(world.levels(point)).to.deep.equal(['0 full CBT_INVALID', ...rest]);
    expect(point.record.warnings.map(({ code }) => code)).to.deep.equal(['FULL_FALLBACK']);
    await world.expectRestores(point);
  });

  it('saves a new disk in full, without a warning, and goes on with the others', async () => {
    await world.store();
    await world.addDisk('late', mib(2), '5');
    world.write('5', 0, filled(5000, 9));
    const point = await world.store();
    expect(world.levels(point)).to.deep.equal(['0 incremental CBT_OK', ...rest, '5 full DISK_NEW']);
    expect(point.record.warnings).to.deep.equal([]);
    await world.expectRestores(point);
  });

  it('begins anew after the machine was reverted to a snapshot', async () => {
    const { xen } = world;
    const snapshot = await world.call('VM.snapshot', xen.running.pool.store.refByUuid('VM', world.machine), 'mine');
    await world.store();
    await world.call('VM.revert', snapshot);
    const point = await world.store();
    expect(world.levels(point)).to.deep.equal(['0 full DISK_REVERTED', '1 full DISK_REVERTED', '2 full DISK_REVERTED']);
    expect(point.record).to.include({ level: 'full' });
    expect(point.record.parentSavesetId).to.equal(undefined);
    await world.expectRestores(point);
    const next = await world.store();
    expect(next.record).to.include({ level: 'incremental', parentSavesetId: point.record.savesetId });
  });

  describe('onFullFallback', () => {
    const options = { onFullFallback: 'fail' };

    it('fail: names each disk and its reason before a snapshot is made', async () => {
      await world.store();
      await world.call('VDI.destroy', world.baseOf('root'));
      const before = world.xen.state();
      const error = await expectCode(world.save({ options }), 'LEVEL_UNAVAILABLE');
      expect(error.message).to.include('"root" (0)').and.include('BASE_MISSING');
      expect(world.xen.state()).to.deep.equal(before);
    });

    it('fail: leaves nothing when the pool loses track after the snapshot', async () => {
      await world.store();
      const before = [world.bases(), world.snapshots()];
      world.xen.running.addFault({
        match: { call: 'VDI.list_changed_blocks' },
        action: { failWith: ['SR_BACKEND_FAILURE_459', '', 'bitmap', ''] },
      });
      await expectCode(world.save({ options }), 'LEVEL_UNAVAILABLE');
      expect([world.bases(), world.snapshots()]).to.deep.equal(before);
    });

    it('fail: does not mind a full that is due', async () => {
      expect((await world.store({ options })).record.level).to.equal('full');
    });

    it('allow: says nothing', async () => {
      await world.store();
      await world.call('VDI.destroy', world.baseOf('root'));
      const point = await world.store({ options: { onFullFallback: 'allow' } });
      expect(point.record.warnings).to.deep.equal([]);
    });
  });

  it('refuses an increment as an archive', async () => {
    const request = { source: 'vm/web', savesetId: 'x', level: 'incremental', options: { format: 'xva' } } as const;
    const error = await errorOf(world.xen.source.backup(request, new RecordingSink()));
    expect(error).to.include({ code: 'REQUEST_INVALID' });
  });

  it('refuses a template disk by disk, and an increment of the pool', async () => {
    const sink = new RecordingSink();
    const template = { source: 'template/golden', savesetId: 'x', options: { format: 'disks' } };
    expect(await errorOf(world.xen.source.backup(template, sink))).to.include({ code: 'OBJECT_NOT_SUPPORTED' });
    const pool = { source: 'pool/metadata', savesetId: 'x', level: 'incremental' } as const;
    expect(await errorOf(world.xen.source.backup(pool, sink))).to.include({ code: 'REQUEST_INVALID' });
    expect(sink.descriptors).to.deep.equal([]);
  });
});
