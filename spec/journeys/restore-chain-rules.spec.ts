import { expect } from 'chai';
import { type RestoreEvent, type RestoreMedia, type RestoreRequest } from '../../src/contract/index.js';
import { errorOf, eventsOf, reportOf } from '../contract/support/run-operation.js';
import { ChainWorld, filled, mib, type SavedPoint } from './support/chain-world.js';

const overwrite: RestoreRequest = { mode: 'overwrite', options: { stop: 'hard' } };

describe('journey: restores from a chain keep the rules of all restores', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  /** A full, a differential and two increments; the last one has disk 1 in full. */
  async function chain(): Promise<SavedPoint[]> {
    const points = [await world.store()];
    world.write('0', mib(1), filled(70_000, 1));
    points.push(await world.store({ level: 'differential' }));
    world.write('0', mib(2), filled(512, 2));
    world.write('1', mib(3), filled(mib(1), 3));
    points.push(await world.store({ level: 'incremental' }));
    await world.replaceByClone('1');
    world.write('2', 0, filled(4096, 4));
    points.push(await world.store({ level: 'incremental' }));
    return points;
  }

  const uuidAt = (position: string): string =>
    world.xen.running.pool.store.get('VDI', world.vdi(position)).uuid as string;

  it('brings a chain with a disk in full amid increments back as a new machine, spread over storages', async () => {
    const points = await chain();
    const last = points.at(-1)!;
    expect(world.levels(last)[1]).to.equal('1 full DISK_REVERTED');
    const request: RestoreRequest = {
      mode: 'new',
      name: 'copy',
      startAfter: true,
      options: { 'storage.0': 'Second', mac: 'generate', tags: 'drop', host: 'host-a' },
    };
    const plan = await world.xen.source.planRestore(request, last.record);
    expect(plan.disks?.map(({ toStorage }) => toStorage)).to.deep.equal(['Second', 'Second', 'Main']);
    expect(plan.steps[0]!.description).to.include('merged from 4 savesets');
    const events = await eventsOf<RestoreEvent>(world.xen.source.restore(request, world.media(last.record)));
    const items = (type: RestoreEvent['type']): string[] =>
      events.flatMap((event) => (event.type === type && 'item' in event ? [event.item] : []));
    expect(items('item-completed')).to.include.members(['machine.xva', 'disk-0.vhd', 's1/disk-0.vhd']);
    expect(items('item-completed')).to.deep.equal(items('item-started'));
    const done = events.at(-1)!;
    if (done.type !== 'completed') return expect.fail(done.type);
    expect(done.report).to.include({ isRunning: true });
    expect(world.contentOf(done.report.targetId!)).to.deep.equal(last.moment);
    return undefined;
  });

  it('brings every point back over the machine, newest and oldest', async () => {
    const points = await chain();
    for (const point of [points[1]!, points[3]!, points[0]!]) {
      const { targetId } = await reportOf(world.xen.source.restore(overwrite, world.media(point.record)));
      expect(targetId).to.equal(world.machine);
      expect(world.moment()).to.deep.equal(point.moment);
    }
  });

  it('refuses a chain with a member missing before anything moves', async () => {
    const [, , , last] = await chain();
    const media = world.media(last!.record);
    const before = world.xen.state();
    for (const request of [overwrite, { mode: 'new', name: 'copy' } as const]) {
      const phases: string[] = [];
      const holes: RestoreMedia = {
        ...media,
        ancestors: media.ancestors!.filter(({ savesetId }) => savesetId !== 's1'),
        openItem: () => expect.fail('an item was opened'),
      };
      const events = world.xen.source.restore(request, holes);
      const error = await new Promise<{ code?: string; message?: string }>((resolve) => {
        events.subscribe({
          next: (event) => {
            if (event.type === 'phase-entered') phases.push(event.phase);
          },
          error: resolve,
        });
      });
      expect(error.code, error.message).to.equal('CHAIN_BROKEN');
      expect(error.message).to.include('s1');
      expect(phases).to.deep.equal(['plan', 'check', 'release'].slice(0, phases.length));
    }
    expect(world.xen.state()).to.deep.equal(before);
  });

  for (const [savesetId, item] of [
    ['s1', 'disk-0.vhd'],
    ['s3', 'disk-1.vhd'],
    ['s3', 'machine.xva'],
    ['s1', 'disk-2.vhd'],
  ] as const) {
    it(`leaves nothing when ${item} of ${savesetId} is damaged`, async () => {
      const [, , third] = await chain();
      const before = world.xen.state();
      const damaged = world.media(third!.record, { savesetId, item });
      for (const request of [overwrite, { mode: 'new', name: 'copy' } as const]) {
        const error = await errorOf(world.xen.source.restore(request, damaged));
        expect(error.code, error.message).to.equal('DATA_DAMAGED');
      }
      expect(world.xen.state()).to.deep.equal(before);
    });
  }

  it('never throws a disk away that was left out of the backup', async () => {
    const scratch = uuidAt('2');
    const point = await world.store({ options: { excludeDisks: ['2'] } });
    world.write('0', 0, filled(4096, 9));
    world.write('2', 0, filled(4096, 9));
    const now = world.moment();
    const plan = await world.xen.source.planRestore(overwrite, point.record);
    expect(plan.warnings.map(({ code }) => code)).to.deep.equal(['DISK_NOT_SAVED']);
    expect(plan.warnings[0]!.message).to.include('"empty"').and.include('keeps the one that it has now');
    expect(JSON.stringify(plan.changes)).to.not.include('empty');
    const { warnings } = await reportOf(world.xen.source.restore(overwrite, world.media(point.record)));
    expect(warnings.map(({ code }) => code)).to.deep.equal(['DISK_NOT_SAVED']);
    expect(uuidAt('2')).to.equal(scratch);
    expect(world.moment()).to.deep.equal({ 0: point.moment['0'], 1: point.moment['1'], 2: now['2'] });
  });

  it('gives a disk that was left out another place when the backup has a disk in its own', async () => {
    const point = await world.store({ options: { excludeDisks: ['2'] } });
    const scratch = uuidAt('2');
    await world.call('VM.hard_shutdown', world.xen.running.pool.store.refByUuid('VM', world.machine));
    world.swapPlaces('1', '2');
    await reportOf(world.xen.source.restore(overwrite, world.media(point.record)));
    expect(uuidAt('2')).to.equal(scratch);
    expect(world.positions()).to.deep.equal(['0', '1', '2']);
    expect(world.moment()).to.deep.equal(point.moment);
  });

  it('says of a new machine that the disk does not come back', async () => {
    const point = await world.store({ options: { excludeDisks: ['2'] } });
    const plan = await world.xen.source.planRestore({ mode: 'new', name: 'copy' }, point.record);
    expect(plan.warnings[0]!.message).to.include('it does not come back');
    const { targetId } = await reportOf(
      world.xen.source.restore({ mode: 'new', name: 'copy' }, world.media(point.record)),
    );
    expect(Object.keys(world.contentOf(targetId!))).to.deep.equal(['0', '1']);
  });
});
