import { expect } from 'chai';
import { tap } from 'rxjs';
import { type BackupError, type BackupSource, type SavesetRecord } from '../../src/contract/index.js';
import { machineDetailsSchema } from '../../src/format/machine-details.js';
import { createPlugin } from '../../src/plugin/create-plugin.js';
import { PENDING_BASE_LEASE_MS } from '../../src/session/run-marks.js';
import { ChainWorld, filled, mib } from './support/chain-world.js';
import { hurriedClock } from './support/xen-world.js';

describe('journey: increments amid people and other programs', function () {
  // Several backups each: on a machine with much to do they take their time.
  this.timeout(60_000);
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  /** What happens once, when the next backup is about to make its snapshot. */
  const atSnapshot = (work: () => void): void => {
    const { source } = world.xen;
    const backup = source.backup.bind(source);
    let isDone = false;
    (source as { backup: BackupSource['backup'] }).backup = (request, sink) =>
      backup(request, sink).pipe(
        tap((event) => {
          if (isDone || event.type !== 'phase-entered' || event.phase !== 'snapshot') return;
          isDone = true;
          work();
        }),
      );
  };

  it('refuse to mix disks up that change places between the plan and the snapshot', async () => {
    await world.addDisk('twin', world.sizeOf('0'), '3');
    await world.store();
    const before = world.bases();
    atSnapshot(() => {
      world.swapPlaces('0', '3');
    });
    const error = (await world.store().catch((reason: unknown) => reason)) as BackupError;
    expect(error).to.include({ code: 'SOURCE_BUSY', isRetriable: true });
    expect([world.bases(), world.snapshots()]).to.deep.equal([before, []]);
    const point = await world.store();
    expect(point.record.level).to.equal('incremental');
    await world.expectRestores(point);
  });

  it('follow disks that change places between backups', async () => {
    await world.addDisk('twin', world.sizeOf('0'), '3');
    world.write('3', 0, filled(5000, 9));
    const points = [await world.store()];
    world.swapPlaces('0', '3');
    world.write('0', 100_000, filled(5000, 7));
    points.push(await world.store());
    world.swapPlaces('1', '2');
    points.push(await world.store({ level: 'differential' }));
    world.write('2', 100_000, filled(5000, 8));
    points.push(await world.store());
    for (const point of points) await world.expectRestores(point);
    expect(points.map(({ record }) => record.level)).to.deep.equal([
      'full',
      'incremental',
      'differential',
      'incremental',
    ]);
  });

  it('see that changes were not tracked for a while', async () => {
    await world.store();
    await world.call('VDI.disable_cbt', world.vdi('0'));
    world.write('0', mib(1), filled(70_000, 3));
    await world.call('VDI.enable_cbt', world.vdi('0'));
    world.write('0', mib(3), filled(70_000, 4));
    const point = await world.store();
    expect(world.levels(point)[0]).to.equal('0 full CBT_INVALID');
    await world.expectRestores(point);
    expect(world.levels(await world.store())[0]).to.equal('0 incremental CBT_OK');
  });

  it('are not misled by marks that a disk has inherited from a base that somebody made it of', async () => {
    for (const position of world.positions()) {
      const run = { run: 'older', host: 'spec-host', sinceMs: 1, aliveUntilMs: 2, role: 'base', object: 'x' };
      const inherited = { 'xen-backup:settled': 'older', 'xen-backup:run': JSON.stringify(run) };
      world.patchVdi(world.vdi(position), { other_config: inherited });
    }
    await world.store();
    const other = await world.xen.anotherProcess(PENDING_BASE_LEASE_MS + 60_000);
    const { removed } = await other.source.reconcile();
    await other.close();
    expect(removed).to.deep.equal([]);
    expect(world.bases()).to.have.length(3);
  });

  it('give no disk the data of another one when somebody has edited a record', async () => {
    await world.addDisk('twin', world.sizeOf('0'), '3');
    world.write('3', 0, filled(5000, 9));
    await world.store();
    await world.store();
    const edit = (change: (record: SavesetRecord) => void): SavesetRecord[] =>
      world.history.map((record) => {
        const edited = structuredClone(record);
        change(edited);
        return edited;
      });
    const swap = (key: 'id' | 'item' | 'position'): SavesetRecord[] =>
      edit(({ disks }) => {
        const [one, other] = [disks[0]!, disks.find(({ position }) => position === '3')!];
        [one[key], other[key]] = [other[key], one[key]];
      });
    const twice = edit(({ details }) => {
      const [one, other] = machineDetailsSchema
        .parse(details)
        .chain!.disks.filter(({ position }) => /[03]/.test(position));
      const swapped = JSON.stringify(details).replaceAll(one!.vhdId, 'x').replaceAll(other!.vhdId, one!.vhdId);
      Object.assign(details, JSON.parse(swapped.replaceAll('"x"', `"${other!.vhdId}"`)));
    });
    for (const records of [swap('item'), swap('id'), swap('position'), twice]) {
      world.history.splice(0, 2, ...records);
      for (const record of records) {
        const error = (await world.restored(record).catch((reason: unknown) => reason)) as BackupError;
        expect(error).to.have.property('code', 'CHAIN_BROKEN');
      }
    }
  });

  it('of two hosts leave each other alone', async () => {
    const other = createPlugin({ clock: hurriedClock });
    const logger = { child: () => logger, error: none, warn: none, info: none, debug: none };
    const resolveSecret = (): Promise<string> => Promise.resolve(world.xen.running.password);
    const { sources } = await other.activate({ logger, hostId: 'other-host', resolveSecret });
    const theirs = new ChainWorld({ ...world.xen, source: await sources[0]!.open(world.xen.client) });
    const points = [];
    for (let round = 1; round <= 4; round += 1) {
      world.write('0', mib(round), filled(70_000, round));
      points.push(await world.store(round === 3 ? { level: 'differential' } : {}));
      world.write('0', mib(round + 1), filled(70_000, 10 + round));
      points.push(await theirs.store({ savesetId: `theirs-${round}` }));
      expect((await world.xen.source.reconcile()).removed).to.deep.equal([]);
      expect((await theirs.xen.source.reconcile()).removed).to.deep.equal([]);
    }
    const levels = points.map(({ record }) => record.level);
    expect(levels.filter((level) => level === 'full')).to.have.length(2);
    for (const [index, point] of points.entries()) await (index % 2 === 0 ? world : theirs).expectRestores(point);
    const roots = world.bases().filter((base) => base.startsWith('root'));
    expect(roots).to.deep.equal(['s1', 's4', 'theirs-1', 'theirs-4'].map((id) => `root cbt_metadata ${id}`));
    await other.deactivate();
  });
});

function none(): void {
  // A host that logs nothing.
}
