import { expect } from 'chai';
import { type BackupErrorCode } from '../../src/contract/index.js';
import { type Fault } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, eventsOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { ChainWorld } from './support/chain-world.js';
import { recordCalls } from './support/pool-calls.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

describe('journey: backup that meets trouble', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  const faults: readonly (readonly [what: string, codes: readonly BackupErrorCode[], fault: Fault])[] = [
    ['the export is cut', ['TRANSFER_INTERRUPTED'], { match: { path: '/export' }, action: { cutAtByte: 1_000_000 } }],
    [
      'the export ends early and its task says so',
      ['SOURCE_FAILED', 'DATA_DAMAGED'],
      { match: { path: '/export' }, action: { truncateAtByte: 1_000_000, task: 'failure' } },
    ],
    [
      'the export ends early and its task says success',
      ['DATA_DAMAGED'],
      { match: { path: '/export' }, action: { truncateAtByte: 1_000_000, task: 'success' } },
    ],
    ['a bit flips on the way', ['DATA_DAMAGED'], { match: { path: '/export' }, action: { corruptAtByte: 1_500_000 } }],
    [
      'the pool runs into an error in the middle',
      ['SOURCE_FAILED', 'DATA_DAMAGED'],
      { match: { path: '/export' }, action: { bodyError: ['VDI_IO_ERROR', 'Device I/O error'], atByte: 1_200_000 } },
    ],
    [
      'the pool refuses the export',
      ['SOURCE_FAILED', 'SOURCE_BUSY'],
      { match: { path: '/export' }, action: { failWith: ['VDI_NOT_AVAILABLE', 'x'] } },
    ],
    [
      'the storage can not snapshot',
      ['SNAPSHOT_FAILED'],
      {
        match: { call: 'VM.snapshot' },
        action: { failWith: ['SR_BACKEND_FAILURE_82', '', 'Failed to snapshot VDI', ''] },
      },
    ],
    [
      'the storage has no room for the snapshot',
      ['STORAGE_FULL'],
      {
        match: { call: 'VM.snapshot' },
        action: { failWith: ['SR_BACKEND_FAILURE_44', '', 'There is insufficient space', ''] },
      },
    ],
    [
      'the snapshot can not be marked',
      ['SOURCE_FAILED'],
      { match: { call: 'VM.add_to_other_config' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } },
    ],
  ];
  for (const [what, codes, fault] of faults) {
    it(`fails and leaves nothing when ${what}`, async () => {
      const before = world.state();
      const remove = world.running.addFault(fault);
      const sink = new RecordingSink();
      const error = await errorOf(world.source.backup({ source: 'vm/web', savesetId: 'trouble' }, sink));
      remove();
      expect(codes, `${error.code}: ${error.message}`).to.include(error.code);
      expect(sink.items.size).to.equal(0);
      expect(world.state()).to.deep.equal(before);
      expect(world.running.pool.store.all('task')).to.deep.equal([]);
    });
  }

  it('waits for a disk that the pool still holds', async () => {
    const before = world.state();
    for (const occurrence of [1, 2, 3]) {
      world.running.addFault({
        match: { call: 'VDI.destroy' },
        occurrence,
        action: { failWith: ['VDI_IN_USE', 'x', 'destroy'] },
      });
    }
    const { record } = await world.backup('vm/web');
    expect(record.warnings).to.deep.equal([]);
    expect(world.state()).to.deep.equal(before);
  });

  it('warns of what it could not remove, and reconcile removes it later', async () => {
    const before = world.state();
    const remove = world.running.addFault({
      match: { call: 'VDI.destroy' },
      action: { failWith: ['VDI_IN_USE', 'x', 'destroy'] },
    });
    const events = await eventsOf(world.source.backup({ source: 'vm/web', savesetId: 'left' }, new RecordingSink()));
    remove();
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
    expect(warnings).to.deep.equal(['LEFTOVER']);
    const lines = await world.source.check();
    expect(lines.find(({ check }) => check === 'leftovers')?.status).to.equal('warning');
    const { removed, kept } = await world.source.reconcile();
    expect(removed.map(({ kind, name }) => [kind, name])).to.deep.equal([['snapshot', '[xen-backup left] web']]);
    expect(kept).to.deep.equal([]);
    expect(world.state()).to.deep.equal(before);
  });

  it('finds a snapshot by its name when the answer was lost', async () => {
    const before = world.state();
    world.running.addFault({ match: { call: 'task.get_record' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } });
    world.running.addFault({
      match: { call: 'event.from' },
      occurrence: 4,
      action: { failWith: ['INTERNAL_ERROR', 'x'] },
    });
    const remove = world.running.addFault({ match: { call: 'VM.add_to_other_config' }, action: { cutAtByte: 0 } });
    await errorOf(world.source.backup({ source: 'vm/web', savesetId: 'lost' }, new RecordingSink()));
    remove();
    expect(world.state()).to.deep.equal(before);
  });

  it('says what saving a suspended machine means', async () => {
    const { record } = await world.backup('vm/frozen');
    expect(record.warnings.map(({ code }) => code)).to.deep.equal(['MEMORY_NOT_SAVED']);
    expect(record.consistency).to.equal('crash');
  });

  it('refuses what it does not offer', async () => {
    for (const [request, code] of [
      [{ source: 'vm/web', savesetId: 'x', level: 'incremental', options: { format: 'xva' } }, 'REQUEST_INVALID'],
      [{ source: 'pool/metadata', savesetId: 'x', level: 'incremental' }, 'REQUEST_INVALID'],
      [{ source: 'vm/web', savesetId: 'x', options: { speed: 'fast' } }, 'REQUEST_INVALID'],
      [{ source: 'vm/web', savesetId: '../x' }, 'REQUEST_INVALID'],
      [{ source: 'Debian 12', savesetId: 'x' }, 'OBJECT_NOT_SUPPORTED'],
      [{ source: 'twin', savesetId: 'x' }, 'OBJECT_AMBIGUOUS'],
    ] as const) {
      expect((await errorOf(world.source.backup(request, new RecordingSink()))).code).to.equal(code);
    }
    const estimate = await world.source.estimate({ source: 'vm/web', savesetId: 'x', level: 'auto' });
    expect(estimate.disks.map(({ level, reason }) => [level, reason])).to.deep.equal([
      ['full', 'POLICY'],
      ['full', 'POLICY'],
    ]);
  });

  it('asks for one machine when it is named by its UUID, and for all when that is only a name', async () => {
    const calls = recordCalls(world.running);
    const uuid = world.uuidOf('db');
    const resolved = await world.source.resolve([uuid, `vm/${uuid.toUpperCase()}`]);
    expect(resolved.map(({ id }) => id)).to.deep.equal([uuid, uuid]);
    expect(calls).to.include('VM.get_by_uuid').and.not.include('VM.get_all_records');
    const name = '00000000-1111-2222-3333-444444444444';
    world.patch('VM', uuid, { name_label: name });
    expect((await world.source.resolve([`vm/${name}`])).map(({ id }) => id)).to.deep.equal([uuid]);
  });

  it('makes few calls for a machine with one disk', async () => {
    const calls = recordCalls(world.running);
    world.patch('VM', world.uuidOf('db'), {
      power_state: 'Running',
      resident_on: world.running.pool.store.all('host')[0]![0],
    });
    const source = await world.open();
    // As the command line does it: what a name stands for first, then that by its path.
    const [found] = await source.resolve([world.uuidOf('db')]);
    await reportOf(source.backup({ source: found!.path, savesetId: 'few' }, new RecordingSink()));
    await source.close();
    expect(calls).to.include('session.login_with_password').and.include('session.logout');
    expect(calls.length, calls.join(' ')).to.be.at.most(25);
  });

  it('saves a machine as it is by then, not as it was when its name was looked up', async () => {
    const chain = await ChainWorld.start();
    try {
      const { xen } = chain;
      const [found] = await xen.source.resolve(['vm/web']);
      await chain.addDisk('plugged in since', 1024 ** 2, '7');
      xen.patch('VM', found!.id, { name_label: 'renamed since' });
      const { record } = await xen.backup(found!.path);
      expect(record.source.displayName).to.equal('renamed since');
      expect(record.disks.map(({ name }) => name)).to.include('plugged in since');
    } finally {
      await chain.close();
    }
  });
});

describe('journey: a pool that can not be opened', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  for (const [what, code, settings] of [
    ['a wrong password', 'SOURCE_AUTH_REFUSED', { username: 'nobody' }],
    ['an untrusted certificate', 'SOURCE_UNTRUSTED', { trust: { fingerprints: ['00'.repeat(32)] } }],
    ['an unreachable host', 'SOURCE_UNREACHABLE', { url: 'https://127.0.0.9:1', reconnectTimeoutMs: 100 }],
    ['bad settings', 'CONFIG_INVALID', { url: 'ftp://x' }],
  ] as const) {
    it(`refuses ${what} with ${code} and leaves no session`, async () => {
      await world.source.close();
      await expectCode(world.open(settings), code);
      expect(world.running.pool.store.all('session')).to.deep.equal([]);
    });
  }

  it('warns once of plain http, and not at all when the task forces https', async () => {
    const source = await world.open({ dataTransport: 'http' });
    const warningsOf = async (savesetId: string, options: object = {}): Promise<string[]> =>
      (await eventsOf(source.backup({ source: 'vm/db', savesetId, ...options }, new RecordingSink()))).flatMap(
        (event) => (event.type === 'warning' ? [event.code] : []),
      );
    expect(await warningsOf('a', { options: { http: 'https' } })).to.deep.equal([]);
    expect(await warningsOf('b')).to.deep.equal(['PLAIN_HTTP']);
    expect(await warningsOf('c')).to.deep.equal([]);
    expect((await source.check()).some(({ check, status }) => check === 'transport' && status === 'warning')).to.equal(
      true,
    );
  });

  it('never logs the password or a session', async () => {
    await world.backup('vm/web');
    const text = JSON.stringify(world.log);
    expect(world.log).to.not.be.empty;
    expect(text).to.not.include(world.running.password);
    for (const [ref] of world.running.pool.store.all('session')) expect(text).to.not.include(ref);
  });
});
