import { expect } from 'chai';
import { type Writable } from 'node:stream';
import { processOnThisMachine } from '../../src/common/process-identity.js';
import { type BackupSink, type BackupSource } from '../../src/contract/index.js';
import { LEASE_MS, RUN_MARK_KEY } from '../../src/session/run-marks.js';
import { runProcess } from '../../src/session/run-process.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

const HOUR_MS = 60 * 60_000;

/** Does something when the first item is opened: then the snapshot is there and is read. */
class MeetingSink extends RecordingSink {
  constructor(private readonly meet: () => Promise<void>) {
    super();
  }

  override async openItem(...args: Parameters<RecordingSink['openItem']>): Promise<Writable> {
    await this.meet();
    return await super.openItem(...args);
  }
}

describe('journey: two movers at the same machine', function () {
  this.timeout(60_000);
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  /** What another process does, whose clock is so much ahead. */
  const beside = async (aheadMs: number, work: (source: BackupSource) => Promise<void>): Promise<void> => {
    const other = await world.anotherProcess(aheadMs);
    try {
      await work(other.source);
    } finally {
      await other.close();
    }
  };
  const save = (source: BackupSource, savesetId: string, sink: BackupSink): ReturnType<BackupSource['backup']> =>
    source.backup({ source: 'vm/web', savesetId }, sink);

  for (const [what, aheadMs] of [
    ['with the same time', 0],
    ['an hour ahead', HOUR_MS],
    ['an hour behind', -HOUR_MS],
  ] as const) {
    it(`refuses the second backup while the first one reads, ${what}`, async () => {
      const before = world.state();
      const meet = (): Promise<void> =>
        beside(aheadMs, async (source) => {
          const sink = new RecordingSink();
          const error = await errorOf(save(source, 'second', sink));
          expect(error).to.include({ code: 'SOURCE_BUSY', isRetriable: true });
          expect(error.context).to.include({ run: 'first' });
          expect(sink.descriptors).to.deep.equal([]);
        });
      const { record } = await reportOf(save(world.source, 'first', new MeetingSink(meet)));
      expect(record.warnings).to.deep.equal([]);
      expect(world.state()).to.deep.equal(before);
    });
  }

  it('goes on after a backup whose process is gone, without waiting for its lease', async () => {
    const { record, sink } = await world.backup('vm/web');
    expect(sink.items.size).to.equal(record.items.length);
    const { store } = world.running.pool;
    const meet = async (): Promise<void> => {
      const [ref, snapshot] = store
        .all('VM')
        .find(([, { name_label: name }]) => (name as string).startsWith('[xen-backup'))!;
      const config = snapshot.other_config as Record<string, string>;
      const mark = JSON.parse(config[RUN_MARK_KEY]!) as { process: string };
      expect(mark.process).to.equal(runProcess());
      const dead = { ...mark, process: `${runProcess()}0` };
      store.patch('VM', ref, { other_config: { ...config, [RUN_MARK_KEY]: JSON.stringify(dead) } });
      await beside(0, async (source) => {
        await reportOf(save(source, 'second', new RecordingSink()));
      });
    };
    await reportOf(save(world.source, 'first', new MeetingSink(meet)));
  });

  for (const [what, aheadMs] of [
    ['an hour', HOUR_MS],
    ['a day', 24 * HOUR_MS],
  ] as const) {
    it(`a reconcile whose clock jumped ${what} ahead takes nothing from a process that lives`, async () => {
      const before = world.state();
      // As another process of this machine would have marked it.
      const [machine = ''] = runProcess().split(':');
      const living = `${machine}:${process.ppid}:${processOnThisMachine(process.ppid).processStart}`;
      let isMet = false;
      const meet = async (): Promise<void> => {
        const { store } = world.running.pool;
        const [ref, snapshot] = store
          .all('VM')
          .find(([, { name_label: name }]) => (name as string).startsWith('[xen-backup'))!;
        const config = snapshot.other_config as Record<string, string>;
        const mark = { ...(JSON.parse(config[RUN_MARK_KEY]!) as object), process: living };
        store.patch('VM', ref, { other_config: { ...config, [RUN_MARK_KEY]: JSON.stringify(mark) } });
        await beside(aheadMs, async (source) => {
          const { removed, kept } = await source.reconcile();
          expect(removed).to.deep.equal([]);
          expect(kept.map(({ why }) => why)).to.deep.equal(['its run first may still be alive']);
          isMet = true;
        });
      };
      await reportOf(save(world.source, 'first', new MeetingSink(meet)));
      expect(isMet).to.equal(true);
      expect(world.state()).to.deep.equal(before);
    });
  }

  it('a reconcile takes what a run of another machine has left when its lease is over', async () => {
    const before = world.state();
    const remove = world.running.addFault({
      match: { call: 'VDI.destroy' },
      action: { failWith: ['INTERNAL_ERROR', 'x'] },
    });
    await reportOf(save(world.source, 'first', new RecordingSink()));
    remove();
    const { store } = world.running.pool;
    for (const [ref, { other_config: config }] of store.all('VM')) {
      const mark = (config as Record<string, string>)[RUN_MARK_KEY];
      if (mark === undefined) continue;
      const elsewhere = JSON.stringify({ ...(JSON.parse(mark) as object), process: 'elsewhere:1:1' });
      store.patch('VM', ref, { other_config: { ...(config as object), [RUN_MARK_KEY]: elsewhere } });
    }
    await beside(0, async (source) => {
      expect((await source.reconcile()).removed).to.deep.equal([]);
    });
    await beside(LEASE_MS + HOUR_MS, async (source) => {
      expect((await source.reconcile()).removed.map(({ kind }) => kind)).to.deep.equal(['snapshot']);
    });
    expect(world.state()).to.deep.equal(before);
  });
});
