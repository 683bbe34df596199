import { expect } from 'chai';
import { type Writable } from 'node:stream';
import { type BackupSink } from '../../src/contract/index.js';
import { type Fault } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, eventsOf, reportOf } from '../contract/support/run-operation.js';
import { DIES, FolderSink, startFailoverWorld, WEB } from './support/failover-world.js';
import { type XenWorld } from './support/xen-world.js';

const CHANGED = "The pool's coordinator changed from host-a (127.0.0.1) to host-b (127.0.0.2) while this ran.";

describe('journey: the coordinator goes in the middle of a job', function () {
  this.timeout(60_000);
  let world: XenWorld;

  beforeEach(async () => {
    world = await startFailoverWorld([WEB]);
  });

  afterEach(() => world.close());

  const save = (sink: BackupSink): ReturnType<typeof world.source.backup> =>
    world.source.backup({ source: 'vm/web', savesetId: 'job' }, sink);
  /** Machines, disks and tasks are as they were; what hosts say of themselves is not looked at. */
  const ownState = (): object => {
    const { VM, VDI, VBD } = world.state();
    return { VM, VDI, VBD, tasks: world.running.pool.store.all('task') };
  };

  const moments: readonly (readonly [what: string, match: Fault['match'], atByte?: number])[] = [
    ['before the snapshot', { call: 'VM.snapshot' }],
    ['before the mark', { call: 'VM.add_to_other_config' }],
    ['before the export begins', { path: '/export' }],
    ['in the middle of the export', { path: '/export' }, 1_000_000],
    ['before the clean-up', { call: 'VDI.destroy' }],
  ];
  for (const [what, match, atByte] of moments) {
    it(`a backup goes on when it dies ${what}, and says so`, async () => {
      const before = ownState();
      world.running.addFault({
        match,
        occurrence: 1,
        action: { ...DIES, ...(atByte === undefined ? {} : { atByte }) },
      });
      const sink = new FolderSink();
      const { record } = await reportOf(save(sink));
      expect(record.warnings).to.deep.equal([{ code: 'COORDINATOR_CHANGED', message: CHANGED }]);
      expect(record.items.map(({ bytes }) => bytes)).to.deep.equal(
        [...sink.items.values()].map(({ length }) => length),
      );
      expect(ownState()).to.deep.equal(before);
    });
  }

  it('a backup says nothing of a coordinator that stays', async () => {
    expect((await reportOf(save(new FolderSink()))).record.warnings).to.deep.equal([]);
  });

  it('a backup to a medium that takes an item once fails, may be tried again, and leaves nothing', async () => {
    const before = ownState();
    world.running.addFault({ match: { path: '/export' }, occurrence: 1, action: { ...DIES, atByte: 1_000_000 } });
    const sink = new RecordingSink();
    const seen: { type: string; code?: string }[] = [];
    const error = await errorOf(save(sink), seen as never[]);
    expect(error).to.include({ code: 'TRANSFER_INTERRUPTED', isRetriable: true });
    expect(seen.filter(({ type }) => type === 'warning').map(({ code }) => code)).to.deep.equal([
      'COORDINATOR_CHANGED',
    ]);
    expect(sink.items.size).to.equal(0);
    expect(sink.descriptors.length).to.equal(1);
    expect(ownState()).to.deep.equal(before);
    expect((await reportOf(save(new RecordingSink()))).record.warnings).to.deep.equal([]);
  });

  it('counts only what the last attempt has sent', async () => {
    world.running.addFault({ match: { path: '/export' }, occurrence: 1, action: { ...DIES, atByte: 1_000_000 } });
    const sink = new FolderSink();
    const { transferredBytes } = await reportOf(save(sink));
    expect(transferredBytes).to.equal(sink.totalBytes);
  });

  for (const [what, atByte] of [
    ['before the import begins', undefined],
    ['in the middle of the import', 500_000],
  ] as const) {
    it(`a restore sends all of it once more when it dies ${what}`, async () => {
      const { record, sink } = await world.backup('vm/web');
      const saved = world.disksOf(world.uuidOf('web'));
      const action = { ...DIES, ...(atByte === undefined ? {} : { atByte }) };
      world.running.addFault({ match: { path: '/import', method: 'PUT' }, occurrence: 1, action });
      const events = await eventsOf(world.source.restore({ mode: 'new', name: 'copy' }, sink.media(record)));
      const last = events.at(-1);
      expect(last?.type).to.equal('completed');
      expect(world.disksOf(world.uuidOf('copy'))).to.deep.equal(saved);
      expect(last?.type === 'completed' && last.report.warnings).to.deep.equal([
        { code: 'COORDINATOR_CHANGED', message: CHANGED },
      ]);
      const copies = world.running.pool.store.all('VM').filter(([, { name_label: name }]) => name === 'copy');
      expect(copies.length).to.equal(1);
    });
  }

  it('goes on with the same login when the coordinator hands over', async () => {
    const before = ownState();
    const sink: BackupSink = new FolderSink();
    const openItem = sink.openItem.bind(sink);
    const handing: BackupSink = {
      maxOpenItems: 1,
      openItem: (item, signal): Promise<Writable> => {
        world.running.makeCoordinator(world.uuidOf('host-b', 'host'));
        return openItem(item, signal);
      },
    };
    const { record } = await reportOf(save(handing));
    expect(record.warnings.map(({ code }) => code)).to.deep.equal(['COORDINATOR_CHANGED']);
    expect(ownState()).to.deep.equal(before);
    expect(world.running.pool.store.all('session').length).to.equal(1);
  });
});
