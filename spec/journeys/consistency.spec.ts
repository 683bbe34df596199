import { expect } from 'chai';
import { type ReconcileReport, type SavesetRecord } from '../../src/contract/index.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { dieAtCall, recordCalls } from './support/pool-calls.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

type Vm = NonNullable<PoolDefinition['vms']>[number];

const vm = (name: string, fields: Partial<Vm> = {}): Vm => ({
  name,
  powerState: 'Running',
  memoryMiB: 64,
  disks: [{ name: `${name} disk`, sizeMiB: 1, content: { kind: 'random', seed: 1 } }],
  guest: { os: 'Windows Server' },
  ...fields,
});

const POOL: PoolDefinition = {
  name: 'Modes',
  seed: 8,
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'Main', type: 'nfs', sizeGiB: 4, isDefault: true }],
  vms: [
    vm('web'),
    vm('deaf', { guest: { os: 'Linux', shutdown: 'ignored' } }),
    vm('slow', { guest: { os: 'Linux', shutdown: 'endless' } }),
    vm('bare', { guest: { os: 'Linux', hasTools: false } }),
    vm('sql', { guest: { os: 'Windows Server', vss: true } }),
    vm('broken', { guest: { os: 'Windows Server', vss: 'XEN_VSS_REQ_ERROR_PREPARING_WRITERS' } }),
    vm('offline-tag', { tags: ['xo-offline-backup'] }),
    vm('memory-tag', { tags: ['xo-memory-backup'] }),
    vm('no-bak', { tags: ['xo:no-bak=scratch'] }),
    vm('asleep', { powerState: 'Suspended' }),
  ],
};

/** A release that still has VSS. */
const OLD_RELEASE = '7.1';

describe('journey: consistency', () => {
  let world: XenWorld;

  const start = async (release?: string): Promise<void> => {
    world = await startXenWorld({ poolFile: POOL, ...(release === undefined ? {} : { release }) });
    const { timings } = world.running.pool;
    timings.shutdownAcknowledgeMs = 20;
    timings.shutdownMs = 5_000;
  };
  const save = async (name: string, options: object = {}): Promise<SavesetRecord> =>
    (
      await reportOf(
        world.source.backup({ source: `vm/${name}`, savesetId: 'one', options: { ...options } }, new RecordingSink()),
      )
    ).record;
  const refusal = async (name: string, options: object): Promise<{ code: string; message: string }> =>
    await errorOf(
      world.source.backup({ source: `vm/${name}`, savesetId: 'one', options: { ...options } }, new RecordingSink()),
    );
  const powerOf = (name: string): unknown => world.field('VM', world.uuidOf(name), 'power_state');
  const codesOf = ({ warnings }: SavesetRecord): readonly string[] => warnings.map(({ code }) => code);

  afterEach(() => world.close());

  describe('offline', () => {
    beforeEach(() => start());

    it('shuts the machine down, saves it without a snapshot, and starts it again', async () => {
      const calls = recordCalls(world.running);
      const record = await save('web', { consistency: 'offline' });
      expect(record).to.deep.include({ consistency: 'offline', warnings: [] });
      expect(calls).to.include('VM.clean_shutdown').and.not.include('VM.snapshot');
      expect(calls.indexOf('VM.start')).to.be.greaterThan(calls.indexOf('VM.clean_shutdown'));
      expect(powerOf('web')).to.equal('Running');
      expect(world.field('VM', world.uuidOf('web'), 'other_config')).to.not.have.property('xen-backup:run');
    });

    it('starts the machine again as soon as it has a snapshot, when that is asked for', async () => {
      const before = world.state();
      const sink = new RecordingSink();
      const seen: unknown[] = [];
      const open = sink.openItem.bind(sink);
      sink.openItem = (item) => {
        seen.push(powerOf('web'));
        return open(item);
      };
      const calls = recordCalls(world.running);
      const options = { consistency: 'offline', offline: 'short' };
      const { record } = await reportOf(world.source.backup({ source: 'vm/web', savesetId: 'one', options }, sink));
      expect(record).to.deep.include({ consistency: 'offline', warnings: [] });
      expect(seen).to.deep.equal(['Running']);
      expect(calls.filter((call) => call === 'VM.start')).to.have.length(1);
      const order = ['VM.clean_shutdown', 'VM.snapshot', 'VM.start', 'VM.destroy'].map((call) => calls.indexOf(call));
      expect([...order].sort((one, other) => one - other)).to.deep.equal(order);
      expect(Object.keys(world.state().VDI!)).to.deep.equal(Object.keys(before.VDI!));
      expect(JSON.stringify(world.state())).to.not.include('xen-backup');
    });

    it('looks for the room of that snapshot before the machine goes down', async () => {
      world.patch('SR', world.uuidOf('Main', 'SR'), { physical_size: 1024 });
      const calls = recordCalls(world.running);
      expect((await refusal('web', { consistency: 'offline', offline: 'short' })).code).to.equal('STORAGE_FULL');
      expect(calls).to.not.include('VM.clean_shutdown');
    });

    describe('after a crash of the process', () => {
      /** Dies when the machine is down. */
      const crash = async (): Promise<void> => {
        const end = dieAtCall(world.running, (call) => call === 'task.create' && powerOf('web') === 'Halted');
        await refusal('web', { consistency: 'offline' });
        end();
        expect(powerOf('web')).to.equal('Halted');
      };
      const reconcileLater = async (laterMs = 3_600_000): Promise<ReconcileReport> => {
        const later = await world.anotherProcess(laterMs);
        const report = await later.source.reconcile();
        await later.close();
        return report;
      };

      it('reconcile starts the machine, and says so', async () => {
        await crash();
        const { repaired, removed } = await reconcileLater();
        expect(removed).to.deep.equal([]);
        expect(repaired.map(({ name, why }) => `${name}: ${why}`)).to.deep.equal([
          'web: was shut down for a backup that broke off; started again',
        ]);
        expect(powerOf('web')).to.equal('Running');
        expect(JSON.stringify(world.state())).to.not.include('xen-backup');
        expect((await reconcileLater()).repaired).to.deep.equal([]);
      });

      it('reconcile leaves it alone while the run may live', async () => {
        await crash();
        const { kept } = await reconcileLater(0);
        expect(kept.map(({ name }) => name)).to.deep.equal(['web']);
        expect(powerOf('web')).to.equal('Halted');
      });

      it('reconcile does not start what somebody has started and stopped since', async () => {
        await crash();
        const { pool } = world.running;
        const uuid = world.uuidOf('web');
        const timestamp = new Date(Date.now() + 60_000).toISOString().replace(/-|\.\d+/g, '');
        pool.store.create('message', {
          name: 'VM_STARTED',
          cls: 'VM',
          obj_uuid: uuid,
          timestamp,
          body: '',
          priority: 5,
        });
        expect((await reconcileLater()).repaired[0]?.why).to.include('stays as it is');
        expect(powerOf('web')).to.equal('Halted');
        expect(JSON.stringify(world.state().VM)).to.not.include('xen-backup');
      });
    });

    it('starts the machine again after a failure in the middle', async () => {
      const remove = world.running.addFault({ match: { path: '/export' }, action: { cutAtByte: 100_000 } });
      const error = await refusal('web', { consistency: 'offline' });
      remove();
      // Which of the two is seen first, the cut or the torn archive, is a matter of moments.
      expect(['TRANSFER_INTERRUPTED', 'DATA_DAMAGED']).to.include(error.code);
      expect(powerOf('web')).to.equal('Running');
    });

    it('starts the machine again when the backup is cancelled', async () => {
      const cancel = new AbortController();
      const sink = new RecordingSink();
      const open = sink.openItem.bind(sink);
      sink.openItem = (item) => {
        cancel.abort();
        return open(item);
      };
      const request = {
        source: 'vm/web',
        savesetId: 'one',
        options: { consistency: 'offline' },
        signal: cancel.signal,
      };
      expect((await errorOf(world.source.backup(request, sink))).code).to.equal('CANCELLED');
      expect(powerOf('web')).to.equal('Running');
    });

    it('warns when the machine can not be started again, and the backup stands', async () => {
      world.running.addFault({ match: { call: 'VM.start' }, action: { failWith: ['NO_HOSTS_AVAILABLE'] } });
      const record = await save('web', { consistency: 'offline' });
      expect(record.consistency).to.equal('offline');
      expect(codesOf(record)).to.deep.equal(['MACHINE_NOT_STARTED']);
      expect(powerOf('web')).to.equal('Halted');
    });

    for (const [name, what] of [
      ['deaf', 'does not answer'],
      ['slow', 'never ends'],
    ] as const) {
      const options = { consistency: 'offline', shutdownTimeoutSeconds: 1 };

      it(`fails for a guest that ${what}, and leaves it running`, async () => {
        const error = await refusal(name, options);
        expect(error.code).to.equal('SOURCE_FAILED');
        expect(error.message).to.contain('did not shut down');
        expect(powerOf(name)).to.equal('Running');
      });

      it(`switches off a guest that ${what} when it may`, async () => {
        const record = await save(name, { ...options, shutdown: 'force' });
        expect([record.consistency, codesOf(record)]).to.deep.equal(['crash', ['SHUTDOWN_FORCED']]);
        expect(powerOf(name)).to.equal('Running');
      });

      it(`saves a snapshot of a guest that ${what} when that will do`, async () => {
        const record = await save(name, { ...options, shutdown: 'snapshot' });
        expect([record.consistency, codesOf(record)]).to.deep.equal(['crash', ['OFFLINE_UNAVAILABLE']]);
        expect(powerOf(name)).to.equal('Running');
      });
    }

    it('is what the tag xo-offline-backup asks for', async () => {
      expect((await save('offline-tag')).consistency).to.equal('offline');
      expect(powerOf('offline-tag')).to.equal('Running');
    });
  });

  describe('quiesced', () => {
    it('is had where release and guest offer it, without being asked for', async () => {
      await start(OLD_RELEASE);
      const before = world.state();
      const calls = recordCalls(world.running);
      expect(await save('sql')).to.deep.include({ consistency: 'quiesced', warnings: [] });
      expect(calls).to.include('VM.snapshot_with_quiesce').and.not.include('VM.snapshot');
      expect(world.state()).to.deep.equal(before);
    });

    it('becomes crash with a warning when the guest fails, unless it is required', async () => {
      await start(OLD_RELEASE);
      const before = world.state();
      const record = await save('broken', { consistency: 'quiesced' });
      expect([record.consistency, codesOf(record)]).to.deep.equal(['crash', ['QUIESCE_FAILED']]);
      expect((await refusal('broken', { quiesce: 'require' })).code).to.equal('SNAPSHOT_FAILED');
      expect(world.state()).to.deep.equal(before);
    });

    it('is crash with a warning, or a refusal, where the release has it no more', async () => {
      await start();
      const record = await save('sql', { consistency: 'quiesced' });
      expect([record.consistency, codesOf(record)]).to.deep.equal(['crash', ['QUIESCE_UNAVAILABLE']]);
      expect((await refusal('sql', { quiesce: 'require' })).code).to.equal('OBJECT_NOT_SUPPORTED');
    });

    it('says so when a machine has no tools, and saves it', async () => {
      await start();
      expect(codesOf(await save('bare'))).to.deep.equal(['GUEST_TOOLS_MISSING']);
    });
  });

  describe('memory', () => {
    beforeEach(() => start());

    it('comes along in a checkpoint, of which nothing stays', async () => {
      const before = world.state();
      const record = await save('web', { consistency: 'memory' });
      expect(record).to.deep.include({ consistency: 'memory', warnings: [] });
      expect(world.state()).to.deep.equal(before);
    });

    it('of a suspended machine is exported as it is', async () => {
      const before = world.state();
      expect(await save('asleep', { consistency: 'memory' })).to.deep.include({ consistency: 'memory', warnings: [] });
      expect(world.state()).to.deep.equal(before);
    });

    it('is what the tag xo-memory-backup asks for', async () => {
      expect((await save('memory-tag')).consistency).to.equal('memory');
    });

    it('is refused where the guest can not be suspended', async () => {
      expect((await refusal('bare', { consistency: 'memory' })).code).to.equal('OBJECT_NOT_SUPPORTED');
    });

    it('leaves nothing when the export fails', async () => {
      const before = world.state();
      const remove = world.running.addFault({ match: { path: '/export' }, action: { cutAtByte: 100_000 } });
      await refusal('web', { consistency: 'memory' });
      remove();
      expect(world.state()).to.deep.equal(before);
    });
  });

  describe('selection', () => {
    beforeEach(() => start());

    it('leaves out what carries xo:no-bak, and saves it with a warning when it is named', async () => {
      const all = await world.source.resolve(['vm/*']);
      expect(
        all.filter(({ skipReason }) => skipReason !== undefined).map(({ displayName }) => displayName),
      ).to.deep.equal(['no-bak']);
      expect(codesOf(await save('no-bak'))).to.deep.equal(['NO_BACKUP_TAG']);
    });

    it('is resolved when it is asked for', async () => {
      const running = (): Promise<number> => world.source.resolve(['state:running']).then(({ length }) => length);
      const before = await running();
      world.patch('VM', world.uuidOf('web'), { power_state: 'Halted' });
      expect(await running()).to.equal(before - 1);
    });
  });
});
