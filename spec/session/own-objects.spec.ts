import { expect } from 'chai';
import { type Clock } from '../../src/common/clock.js';
import { OwnObjects } from '../../src/session/own-objects.js';
import { type PoolConnection } from '../../src/session/pool-connection.js';
import { LEASE_MS, readRunMark, RUN_MARK_KEY, runMark, type RunIdentity } from '../../src/session/run-marks.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { type OpenPool, openSmallPool } from '../journeys/support/open-pool.js';
import { PLAIN_DISK, PLAIN_DRIVE } from '../support/new-records.js';

const RUN: RunIdentity = { runId: 'r1', hostId: 'me', startedAtMs: 0 };

/** A clock whose long pauses end when the spec says so. */
class SteppedClock implements Clock {
  now = 1_000_000;
  #wake: (() => void)[] = [];

  nowMs(): number {
    return this.now;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (delayMs < 60_000) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#wake.push(() => {
        this.now += delayMs;
        resolve();
      });
      signal?.addEventListener('abort', () => {
        reject(signal.reason as Error);
      });
    });
  }

  step(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

describe('OwnObjects', () => {
  let open: OpenPool;
  let pool: PoolConnection;
  let clock: SteppedClock;
  let own: OwnObjects;
  let vm: RefOf<'VM'>;

  beforeEach(async () => {
    open = await openSmallPool();
    pool = open.connection;
    clock = new SteppedClock();
    own = new OwnObjects(pool, clock);
    [vm] = (await pool.call<RefOf<'VM'>[]>('VM.get_by_name_label', ['db'])) as [RefOf<'VM'>];
  });

  afterEach(() => open.close());

  const markOf = async (ref: RefOf<'VM'>): Promise<number | undefined> =>
    readRunMark((await pool.record('VM', ref)).other_config)?.aliveUntilMs;
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
  };

  it('marks over a mark that was copied along', async () => {
    await own.mark('VM', vm, RUN, 'snapshot');
    clock.now += 5;
    await own.mark('VM', vm, RUN, 'snapshot');
    expect(await markOf(vm)).to.equal(clock.now + LEASE_MS);
    await own.unmark('VM', vm);
    await own.unmark('VM', vm);
    expect(await markOf(vm)).to.equal(undefined);
  });

  for (const [what, keep] of [
    ['an object that is known', (signal: AbortSignal) => own.keepAlive('VM', vm, RUN, 'import', signal)],
    ['a machine that an import is making', (signal: AbortSignal) => own.keepImportAlive('db', RUN, signal)],
  ] as const) {
    it(`renews the mark of ${what} until it is told to stop`, async () => {
      await own.mark('VM', vm, RUN, 'import');
      const first = (await markOf(vm))!;
      const stop = new AbortController();
      const keeping = keep(stop.signal);
      clock.step();
      await until(async () => ((await markOf(vm)) ?? 0) > first);
      stop.abort();
      await keeping;
    });
  }

  it('gives up on a disk that stays in use, and takes one that is gone for done', async () => {
    const { VBDs: devices } = await pool.record('VM', vm);
    const { VDI: disk } = await pool.record('VBD', devices[0]!);
    const remove = open.running.addFault({
      match: { call: 'VDI.destroy' },
      action: { failWith: ['VDI_IN_USE', 'x', 'destroy'] },
    });
    const outcome: unknown = await own.destroyDisk(disk).catch((error: unknown) => error);
    expect(outcome).to.include({ code: 'VDI_IN_USE' });
    remove();
    await own.destroyDisk('OpaqueRef:gone' as RefOf<'VDI'>);
    await own.destroyMachine('OpaqueRef:gone' as RefOf<'VM'>);
  });

  it('removes a machine of ours although its backup blocks that', async () => {
    await own.destroyMachine(vm);
    expect(await pool.call('VM.get_by_name_label', ['db'])).to.deep.equal([]);
  });

  it('removes what an import has marked, and no snapshot of it', async () => {
    const before = (await pool.allRecords('VDI')).size;
    await own.mark('VM', vm, RUN, 'import');
    await own.destroyImported('another');
    expect((await pool.allRecords('VDI')).size).to.equal(before);
    await own.destroyImported('r1');
    expect(await pool.call('VM.get_by_name_label', ['db'])).to.deep.equal([]);
    expect((await pool.allRecords('VDI')).size).to.equal(before - 1);
    expect(await pool.call('VM.get_by_name_label', ['kept'])).to.have.length(1);
  });

  it('removes a disk that the control domain still holds after an upload was cancelled (found by torture)', async () => {
    const { store } = open.running.pool;
    const { VBDs: devices } = await pool.record('VM', vm);
    const { VDI: disk } = await pool.record('VBD', devices[0]!);
    const { SR: storage } = await pool.record('VDI', disk);
    const make = async (name: string, holder: string): Promise<RefOf<'VDI'>> => {
      const other_config = { [RUN_MARK_KEY]: runMark(RUN, 'import', clock.now) };
      const wish = { ...PLAIN_DISK, name_label: name, SR: storage, virtual_size: 1024 * 1024, other_config };
      const made = await pool.call<RefOf<'VDI'>>('VDI.create', [wish]);
      const device = { ...PLAIN_DRIVE, VM: holder, VDI: made, userdevice: '9', unpluggable: true };
      await pool.call('VBD.create', [device]);
      return made;
    };
    const [control] = store.all('VM').find(([, { is_control_domain: isControl }]) => isControl === true)!;
    const held = await make('held', control);
    const used = await make('used', vm);
    await own.destroyImported('r1');
    expect(store.find('VDI', held)).to.equal(undefined);
    expect(store.find('VDI', used)).not.to.equal(undefined);
  });
});
