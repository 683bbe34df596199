import { expect } from 'chai';
import { SnapshotKeeper } from '../../src/backup/snapshot-keeper.js';
import { CleanupStack } from '../../src/common/cleanup-stack.js';
import { systemClock } from '../../src/common/clock.js';
import { ActiveRuns } from '../../src/session/active-runs.js';
import { OwnObjects } from '../../src/session/own-objects.js';
import { type RunIdentity } from '../../src/session/run-marks.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { type OpenPool, openSmallPool } from '../journeys/support/open-pool.js';

const RUN: RunIdentity = { runId: 'r1', hostId: 'me', startedAtMs: 0 };

/** A cancellation that comes together with the pool's answer to the mark of a base. */
class LastMoment extends OwnObjects {
  readonly cancel = new AbortController();

  override async mark(...args: Parameters<OwnObjects['mark']>): Promise<void> {
    await super.mark(...args);
    const [, , , role] = args;
    if (role === 'base') this.cancel.abort(new Error('enough'));
  }
}

describe('SnapshotKeeper', () => {
  let open: OpenPool;

  beforeEach(async () => {
    open = await openSmallPool();
  });

  afterEach(() => open.close());

  async function handOver(own: OwnObjects, signal: AbortSignal): Promise<{ error: unknown; snapshots: unknown }> {
    const { connection, running } = open;
    const keeper = new SnapshotKeeper(connection, own, new ActiveRuns(), systemClock);
    const [vm] = (await connection.call<RefOf<'VM'>[]>('VM.get_by_name_label', ['db'])) as [RefOf<'VM'>];
    const machine = await connection.record('VM', vm);
    const cleanup = new CleanupStack();
    const snapshot = await keeper.create(machine, vm, 'snapshot', RUN, cleanup, signal);
    const error = await keeper.handOver(snapshot, RUN, signal).catch((thrown: unknown) => thrown);
    await cleanup.run();
    const { snapshots } = running.pool.store.get('VM', vm);
    expect(snapshots).to.include.members(machine.snapshots);
    return { error, snapshots: (snapshots as string[]).length - machine.snapshots.length };
  }

  describe('handOver', () => {
    it('leaves the snapshot where it is when all is cleaned up', async () => {
      const own = new OwnObjects(open.connection, systemClock);
      const { error, snapshots } = await handOver(own, new AbortController().signal);
      expect({ error, snapshots }).to.deep.equal({ error: undefined, snapshots: 1 });
    });

    it('leaves no base when the backup is cancelled while it is marked (found by torture)', async () => {
      const own = new LastMoment(open.connection, systemClock);
      const { error, snapshots } = await handOver(own, own.cancel.signal);
      expect(error).to.equal(own.cancel.signal.reason);
      expect(snapshots).to.equal(0);
    });
  });
});
