import { expect } from 'chai';
import { type RestoreEvent, type RestoreMedia, type RestoreRequest } from '../../src/contract/index.js';
import { errorOf, eventsOf, reportOf } from '../contract/support/run-operation.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { ChainWorld, filled, mib, type SavedPoint } from './support/chain-world.js';

const asDisk = (disk: string, more: Partial<RestoreRequest> = {}): RestoreRequest => ({ mode: 'disk', disk, ...more });

describe('journey: one disk alone', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  /** A full, an increment and another one, each with other bytes on the first disk. */
  async function chain(): Promise<readonly [SavedPoint, SavedPoint, SavedPoint]> {
    const first = await world.store();
    world.write('0', mib(1), filled(70_000, 1));
    const second = await world.store();
    world.write('0', mib(3), filled(512, 2));
    world.write('0', 0, filled(mib(1), 0));
    return [first, second, await world.store()];
  }

  const vdi = (uuid: string): Record<string, unknown> => {
    const { store } = world.xen.running.pool;
    return store.get('VDI', store.refByUuid('VDI', uuid));
  };
  const bytesOf = (uuid: string): Buffer => {
    const { store, contents } = world.xen.running.pool;
    const content = contents.get(store.refByUuid('VDI', uuid))!;
    return content.read(0, content.sizeBytes);
  };
  const storageOf = (uuid: string): unknown =>
    world.xen.running.pool.store.get('SR', vdi(uuid).SR as string).name_label;

  it('comes back from each point of a chain, as it was', async () => {
    for (const { record, moment } of await chain()) {
      const { targetId, targetName, mode } = await reportOf(
        world.xen.source.restore(asDisk('0', { name: `root of ${record.savesetId}` }), world.media(record)),
      );
      expect({ targetName, mode }).to.deep.equal({ targetName: `root of ${record.savesetId}`, mode: 'disk' });
      expect(bytesOf(targetId!).equals(moment['0']!)).to.equal(true);
      expect(vdi(targetId!)).to.deep.include({ name_label: targetName, VBDs: [], other_config: {}, type: 'user' });
      expect(storageOf(targetId!)).to.equal('Main');
    }
  });

  it('comes back from an archive of the machine, to the storage asked for', async () => {
    const sink = new RecordingSink();
    const moment = world.moment();
    const { record } = await reportOf(world.xen.source.backup({ source: 'vm/web', savesetId: 'x' }, sink));
    const events = await eventsOf<RestoreEvent>(
      world.xen.source.restore(asDisk('data', { storage: 'Main' }), sink.media(record)),
    );
    const done = events.at(-1)!;
    if (done.type !== 'completed') return expect.fail(done.type);
    expect(bytesOf(done.report.targetId!).equals(moment['1']!)).to.equal(true);
    expect(vdi(done.report.targetId!).name_label).to.equal('data');
    expect(storageOf(done.report.targetId!)).to.equal('Main');
    const completed = events.flatMap((event) => (event.type === 'item-completed' ? [event.item] : []));
    expect(completed).to.deep.equal(['vm.xva']);
    return undefined;
  });

  it('says before what it will do, and changes nothing', async () => {
    const [, , last] = await chain();
    const before = world.xen.state();
    const plan = await world.xen.source.planRestore(asDisk('1', { name: 'back', attachTo: 'vm/web' }), last.record);
    expect(plan).to.deep.include({ mode: 'disk', targetName: 'back', targetId: undefined, warnings: [] });
    expect(plan.disks).to.deep.equal([
      { position: '1', name: 'data', sizeBytes: mib(6), fromStorage: 'Second', toStorage: 'Second' },
    ]);
    expect(plan.steps.map(({ action }) => action)).to.deep.equal(['import', 'verify', 'attach']);
    expect(plan.steps[0]!.description).to.include('merged from up to 3 savesets');
    expect(world.xen.state()).to.deep.equal(before);
  });

  it('is given to a machine that runs, and plugged in', async () => {
    const [first] = await chain();
    const { targetId, warnings } = await reportOf(
      world.xen.source.restore(asDisk('0', { attachTo: 'vm/web' }), world.media(first.record)),
    );
    expect(warnings).to.deep.equal([]);
    expect(world.positions()).to.deep.equal(['0', '1', '2', '3']);
    expect(world.moment()['3']!.equals(first.moment['0']!)).to.equal(true);
    const [drive] = vdi(targetId!).VBDs as string[];
    const { store } = world.xen.running.pool;
    expect(store.get('VBD', drive!)).to.include({ currently_attached: true, mode: 'RW' });
    expect(JSON.stringify(vdi(targetId!).other_config)).to.equal('{}');
  });

  it('is given to a machine at rest', async () => {
    const [first] = await chain();
    const { store } = world.xen.running.pool;
    await world.call('VM.hard_shutdown', store.refByUuid('VM', world.machine));
    await reportOf(world.xen.source.restore(asDisk('0', { attachTo: 'vm/web' }), world.media(first.record)));
    expect(world.moment()['3']!.equals(first.moment['0']!)).to.equal(true);
  });

  it('stays attached and says so when the machine can not have it now', async () => {
    const [first] = await chain();
    world.xen.running.addFault({
      match: { call: 'VBD.plug' },
      action: { failWith: ['DEVICE_ATTACH_FAILED', 'no more'] },
    });
    const { targetId, warnings } = await reportOf(
      world.xen.source.restore(asDisk('0', { attachTo: 'vm/web' }), world.media(first.record)),
    );
    expect(warnings.map(({ code }) => code)).to.deep.equal(['NOT_PLUGGED']);
    expect(vdi(targetId!).VBDs).to.have.length(1);
  });

  it('refuses what it can not do before anything moves', async () => {
    const [first] = await chain();
    const before = world.xen.state();
    const media: RestoreMedia = { ...world.media(first.record), openItem: () => expect.fail('an item was opened') };
    const refusals: readonly (readonly [RestoreRequest, string])[] = [
      [asDisk('7'), 'REQUEST_INVALID'],
      [{ mode: 'disk' }, 'REQUEST_INVALID'],
      [asDisk('0', { startAfter: true }), 'REQUEST_INVALID'],
      [asDisk('0', { options: { mac: 'keep' } }), 'REQUEST_INVALID'],
      [asDisk('0', { storage: 'nowhere' }), 'STORAGE_NOT_FOUND'],
      [asDisk('0', { attachTo: 'vm/nobody' }), 'OBJECT_NOT_FOUND'],
      [{ mode: 'new', name: 'x', disk: '0' }, 'REQUEST_INVALID'],
    ];
    for (const [request, code] of refusals) {
      const error = await errorOf(world.xen.source.restore(request, media));
      expect(error.code, error.message).to.equal(code);
    }
    world.xen.patch('SR', world.xen.uuidOf('Main', 'SR'), { physical_size: 1 });
    world.xen.patch('SR', world.xen.uuidOf('Second', 'SR'), { physical_size: 1 });
    expect(await errorOf(world.xen.source.restore(asDisk('0'), media))).to.include({ code: 'STORAGE_FULL' });
    world.xen.patch('SR', world.xen.uuidOf('Main', 'SR'), { physical_size: 4 * 1024 ** 3 });
    world.xen.patch('SR', world.xen.uuidOf('Second', 'SR'), { physical_size: 2 * 1024 ** 3 });
    expect(world.xen.state()).to.deep.equal(before);
  });

  it('leaves nothing of a chain that is damaged, broken, or cancelled on its way', async () => {
    const [, , last] = await chain();
    const { record } = last;
    const before = world.xen.state();
    const request = asDisk('0', { attachTo: 'vm/web' });
    for (const savesetId of ['s1', 's2', 's3']) {
      const damaged = world.media(record, { savesetId, item: 'disk-0.vhd' });
      expect(await errorOf(world.xen.source.restore(request, damaged))).to.include({ code: 'DATA_DAMAGED' });
    }
    const broken: RestoreMedia = { ...world.media(record), ancestors: [] };
    expect(await errorOf(world.xen.source.restore(request, broken))).to.include({ code: 'CHAIN_BROKEN' });
    const cancel = new AbortController();
    const media = world.media(record);
    const cancelling: RestoreMedia = {
      ...media,
      openItem: async (...args) => {
        const opened = await media.openItem(...args);
        opened.stream.once('end', () => {
          cancel.abort();
        });
        return opened;
      },
    };
    const cancelled = world.xen.source.restore({ ...request, signal: cancel.signal }, cancelling);
    expect(await errorOf(cancelled)).to.include({ code: 'CANCELLED' });
    expect(world.xen.state()).to.deep.equal(before);
  });

  it('leaves nothing when the storage does not keep what was sent', async () => {
    const [first] = await chain();
    const before = world.xen.state();
    world.xen.running.addFault({ match: { path: '/import_raw_vdi' }, action: { corruptAtByte: mib(3) } });
    const error = await errorOf(world.xen.source.restore(asDisk('0'), world.media(first.record)));
    expect(error.code, error.message).to.equal('RESTORE_FAILED');
    expect(world.xen.state()).to.deep.equal(before);
  });

  it('is removed by reconcile when its restore could not even clean up', async () => {
    const [first] = await chain();
    const before = world.xen.state();
    world.xen.running.addFault({ match: { path: '/import_raw_vdi' }, action: { cutAtByte: mib(2) } });
    const heal = world.xen.running.addFault({ match: { call: 'VDI.destroy' }, action: { failWith: ['SR_BACKEND'] } });
    const error = await errorOf(world.xen.source.restore(asDisk('0'), world.media(first.record)));
    expect(error.code, error.message).to.not.equal('INTERNAL');
    expect(world.xen.state()).to.not.deep.equal(before);
    heal();
    const { removed } = await world.xen.source.reconcile();
    expect(removed.map(({ kind }) => kind)).to.deep.equal(['disk']);
    expect(removed[0]!.name).to.match(/^\[xen-backup restore-.*\] root$/);
    expect(world.xen.state()).to.deep.equal(before);
  });
});
