import { expect } from 'chai';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { machineDetailsSchema } from '../../src/format/machine-details.js';
import { CHAIN_POOL, ChainWorld, filled, mib } from './support/chain-world.js';

const KIB = 1024;
const GIB = 1024 * 1024 * KIB;

describe('journey: some disks, and what they will cost', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  describe('disks that are left out', () => {
    const releases = [undefined, '8.2'] as const;
    for (const release of releases) {
      it(`cost nothing, and a record says so${release === undefined ? '' : ` (release ${release})`}`, async () => {
        await world.close();
        world = await ChainWorld.start(release === undefined ? {} : { release });
        const vdi = world.xen.running.pool.store.get('VDI', world.vdi('1'));
        const before = { ...vdi };
        const point = await world.save({ options: { excludeDisks: 'data' } });
        expect(world.levels(point)).to.deep.equal(['0 full POLICY', '2 full POLICY']);
        expect(world.bases()).to.deep.equal(['empty user s1', `root ${world.typeOfRoot()} s1`]);
        const { excludedDisks } = machineDetailsSchema.parse(point.record.details);
        expect(excludedDisks?.map(({ name, position, by }) => [name, position, by])).to.deep.equal([
          ['data', '1', 'request'],
        ]);
        await world.expectRestores(point);
        await world.xen.source.settle(point.record, 'discarded');
        expect([world.bases(), world.snapshots()]).to.deep.equal([[], []]);
        expect(vdi).to.include({ cbt_enabled: false, physical_utilisation: before.physical_utilisation });
      });
    }

    it('are warned about when no disk is left to be saved', async () => {
      const { record } = await world.save({ options: { disks: ['0'], excludeDisks: ['0'] } });
      expect(record.disks).to.deep.equal([]);
      expect(record.warnings.map(({ code }) => code)).to.deep.equal(['NO_DISK_SAVED']);
    });

    it('may come back later: then they are new to the chain', async () => {
      await world.store({ options: { excludeDisks: ['1'] } });
      const point = await world.store();
      expect(world.levels(point)).to.deep.equal(['0 incremental CBT_OK', '1 full DISK_NEW', '2 incremental CBT_OK']);
      await world.expectRestores(point);
    });

    it('are left out of an archive as well, also that of a machine at rest', async () => {
      world.patchVdi(world.vdi('2'), { name_label: 'scratch [NOBAK]' });
      await world.call('VM.hard_shutdown', world.xen.running.pool.store.refByUuid('VM', world.machine));
      const before = world.xen.state();
      const sink = new RecordingSink();
      const request = { source: 'vm/web', savesetId: 'x', options: { disks: ['root', 'data'] } };
      const { record } = await reportOf(world.xen.source.backup(request, sink));
      expect(record).to.include({ level: 'full', consistency: 'offline' });
      expect(record.disks.map(({ name, item }) => [name, item])).to.deep.equal([
        ['root', 'vm.xva'],
        ['data', 'vm.xva'],
      ]);
      expect(world.xen.state()).to.deep.equal(before);
      const { record: byName } = await reportOf(
        world.xen.source.backup({ source: 'vm/web', savesetId: 'y' }, new RecordingSink()),
      );
      expect(machineDetailsSchema.parse(byName.details).excludedDisks?.map(({ by }) => by)).to.deep.equal(['name']);
    });

    it('must be there to be left out', async () => {
      const request = { source: 'vm/web', savesetId: 'x', options: { excludeDisks: 'nobody' } };
      const error = await errorOf(world.xen.source.backup(request, new RecordingSink()));
      expect(error).to.include({ code: 'REQUEST_INVALID' });
      expect(error.hint).to.include('0 "root"');
    });
  });

  it('refuses a disk that no VHD can hold before it makes a snapshot', async () => {
    world.patchVdi(world.vdi('1'), { virtual_size: 2041 * GIB });
    const before = world.xen.state();
    const request = { source: 'vm/web', savesetId: 'x', options: { format: 'disks', space: 'skip' } };
    const error = await errorOf(world.xen.source.backup(request, new RecordingSink()));
    expect(error).to.include({ code: 'SOURCE_UNSUPPORTED' });
    expect(error.message).to.include('2040 GiB').and.include('"data"');
    expect(world.xen.state()).to.deep.equal(before);
  });

  it('saves a halted machine from a snapshot, offline, and estimates its next increment to the byte', async () => {
    await world.call('VM.hard_shutdown', world.xen.running.pool.store.refByUuid('VM', world.machine));
    const first = await world.store();
    expect(first.record).to.include({ consistency: 'offline' });
    world.write('0', mib(1), filled(100 * KIB, 1));
    const before = world.xen.state();
    const request = { source: 'vm/web', savesetId: 'x', level: 'auto', history: world.history } as const;
    const estimate = await world.xen.source.estimate(request);
    expect(world.xen.state()).to.deep.equal(before);
    expect(estimate.level).to.equal('incremental');
    expect(estimate.disks.map(({ level, reason, expectedBytes }) => [level, reason, expectedBytes])).to.deep.equal([
      ['incremental', 'CBT_OK', 128 * KIB],
      ['incremental', 'CBT_OK', 0],
      ['incremental', 'CBT_OK', 0],
    ]);
    expect((await world.store()).decided[0]!.expectedBytes).to.equal(128 * KIB);
  });

  it('shows in an estimate why a disk will be a full, without a word of failure', async () => {
    await world.store();
    await world.call('VDI.destroy', world.baseOf('root'));
    const request = { source: 'vm/web', savesetId: 'x', level: 'incremental', history: world.history } as const;
    const { disks } = await world.xen.source.estimate(request);
    expect(disks.map(({ level, reason }) => `${level} ${reason}`)).to.deep.equal([
      'full BASE_MISSING',
      'incremental CBT_OK',
      'incremental CBT_OK',
    ]);
    expect(disks[0]!.expectedBytes).to.be.greaterThan(0);
  });
});

describe('journey: increments over a bad line', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start({ poolFile: CHAIN_POOL });
    await world.store();
    world.write('0', 0, filled(mib(4), 7));
  });

  afterEach(() => world.close());

  it('goes on where it was when the server dies in the middle', async () => {
    world.xen.running.addFault({ match: { nbd: 'read' }, occurrence: 3, action: { cutAtByte: 1000 } });
    const point = await world.store();
    expect(world.levels(point)[0]).to.equal('0 incremental CBT_OK');
    expect(world.xen.log.some(({ message }) => message.includes('was lost; another one goes on'))).to.equal(true);
    await world.expectRestores(point);
  });

  it('fails, leaves nothing and keeps the base when no server answers any more', async () => {
    const before = [world.bases(), world.snapshots()];
    const remove = world.xen.running.addFault({ match: { nbd: 'connection' }, action: { refuse: true } });
    const request = { source: 'vm/web', savesetId: 'x', level: 'auto', history: world.history } as const;
    const sink = new RecordingSink();
    const error = await errorOf(world.xen.source.backup(request, sink));
    expect(['SOURCE_UNREACHABLE', 'TRANSFER_INTERRUPTED'], error.message).to.include(error.code);
    expect(sink.openNow).to.equal(0);
    expect([world.bases(), world.snapshots()]).to.deep.equal(before);
    remove();
    await world.expectRestores(await world.store());
  });

  it('sends the session to no server with a foreign certificate', async () => {
    world.xen.running.addFault({ match: { nbd: 'connection' }, action: { wrongCertificate: true } });
    const request = { source: 'vm/web', savesetId: 'x', level: 'auto', history: world.history } as const;
    const error = await errorOf(world.xen.source.backup(request, new RecordingSink()));
    expect(error, error.message).to.include({ code: 'SOURCE_UNTRUSTED' });
  });

  it('is cancelled in the middle and leaves nothing', async () => {
    const before = [world.bases(), world.snapshots()];
    const cancel = new AbortController();
    const sink = new RecordingSink({
      onChunk: (item) => {
        if (item === 'disk-0.vhd') cancel.abort();
      },
    });
    const request = {
      source: 'vm/web',
      savesetId: 'x',
      level: 'auto',
      history: world.history,
      signal: cancel.signal,
    } as const;
    expect(await errorOf(world.xen.source.backup(request, sink))).to.include({ code: 'CANCELLED' });
    expect([world.bases(), world.snapshots()]).to.deep.equal(before);
  });
});
