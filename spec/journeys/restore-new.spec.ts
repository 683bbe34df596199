import { expect } from 'chai';
import { type BackupErrorCode, type RestoreRequest } from '../../src/contract/index.js';
import { errorOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

const asNew = (more: Partial<RestoreRequest> = {}): RestoreRequest => ({ mode: 'new', name: 'copy', ...more });

describe('journey: restore as a new machine', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  for (const name of ['web', 'db', 'frozen']) {
    it(`brings ${name} back with the same disks, as a machine of its own`, async () => {
      const original = world.uuidOf(name);
      const { record, sink } = await world.backup(`vm/${name}`);
      const disks = world.disksOf(original);
      const report = await reportOf(world.source.restore(asNew(), sink.media(record)));
      const copy = report.targetId!;
      expect(report).to.deep.include({ targetName: 'copy', mode: 'new', isRunning: false, warnings: [] });
      expect(world.disksOf(copy)).to.deep.equal(disks);
      // The memory of what had left was filled with something else; this is the witness that it was.
      expect(sink.givenBackBytes, 'given back').to.be.within(sink.totalBytes / 2, sink.totalBytes);
      for (const field of ['is_a_template', 'name_description', 'tags', 'memory_static_max', 'blocked_operations']) {
        expect(world.field('VM', copy, field), field).to.deep.equal(world.field('VM', original, field));
      }
      expect(world.field('VM', copy, 'power_state')).to.equal('Halted');
      expect(JSON.stringify(world.state())).to.not.include('xen-backup');
      expect(await world.source.reconcile()).to.deep.equal({ removed: [], repaired: [], kept: [] });
    });
  }

  it('makes new MAC addresses, and keeps them when asked to', async () => {
    const { record, sink } = await world.backup('vm/db');
    const macOf = (uuid: string): string => {
      const [vif] = world.field('VM', uuid, 'VIFs') as string[];
      return world.running.pool.store.get('VIF', vif!).MAC as string;
    };
    const fresh = await reportOf(world.source.restore(asNew(), sink.media(record)));
    expect(macOf(fresh.targetId!)).to.not.equal('02:00:5e:00:00:21');
    const options = { mac: 'keep' };
    const kept = await reportOf(world.source.restore(asNew({ name: 'second', options }), sink.media(record)));
    expect(macOf(kept.targetId!)).to.equal('02:00:5e:00:00:21');
    expect(kept.warnings.map(({ code }) => code)).to.deep.equal(['DUPLICATE_MAC', 'DUPLICATE_MAC'].slice(0, 1));
  });

  it('brings a template back as a template', async () => {
    const { record, sink } = await world.backup('template/golden');
    const report = await reportOf(world.source.restore(asNew(), sink.media(record)));
    expect(world.field('VM', report.targetId!, 'is_a_template')).to.equal(true);
    expect(world.disksOf(report.targetId!)).to.deep.equal(world.disksOf(world.uuidOf('golden')));
    await expectCode(world.source.planRestore(asNew({ startAfter: true }), record), 'REQUEST_INVALID');
  });

  it('starts the machine when asked to, and says whether it runs', async () => {
    const { record, sink } = await world.backup('vm/web');
    const report = await reportOf(world.source.restore(asNew({ startAfter: true }), sink.media(record)));
    expect(report.isRunning).to.equal(true);
    expect(world.field('VM', report.targetId!, 'power_state')).to.equal('Running');
  });

  it('keeps what it has restored when it does not start', async () => {
    const { record, sink } = await world.backup('vm/web');
    world.running.addFault({
      match: { call: 'VM.start' },
      action: { failWith: ['HOST_NOT_ENOUGH_FREE_MEMORY', '1', '0'] },
    });
    const report = await reportOf(world.source.restore(asNew({ startAfter: true }), sink.media(record)));
    expect(report.isRunning).to.equal(false);
    expect(report.warnings.map(({ code }) => code)).to.deep.equal(['NOT_STARTED']);
  });

  it('goes to the storage that is named, by UUID or by name', async () => {
    const { record, sink } = await world.backup('vm/db');
    const second = world.uuidOf('Second', 'SR');
    for (const [name, storage] of [
      ['one', 'Second'],
      ['two', second],
    ] as const) {
      const plan = await world.source.planRestore(asNew({ name, storage }), record);
      expect(plan.storage).to.deep.include({ id: second, name: 'Second', neededBytes: 2 * 1024 * 1024 });
      const report = await reportOf(world.source.restore(asNew({ name, storage }), sink.media(record)));
      expect(world.disksOf(report.targetId!)).to.deep.equal(world.disksOf(world.uuidOf('db')));
    }
  });

  const refusals: readonly (readonly [what: string, code: BackupErrorCode, request: RestoreRequest])[] = [
    ['a missing name', 'TARGET_NAME_REQUIRED', { mode: 'new' }],
    ['a name that a machine has', 'TARGET_EXISTS', asNew({ name: 'web' })],
    ['a name that a template has', 'TARGET_EXISTS', asNew({ name: 'golden' })],
    ['an unknown storage', 'STORAGE_NOT_FOUND', asNew({ storage: 'nowhere' })],
    ['a storage for images', 'STORAGE_NOT_FOUND', asNew({ storage: 'ISO library' })],
    ['an unknown option', 'REQUEST_INVALID', asNew({ options: { wat: 1 } })],
    ['stop without overwrite', 'REQUEST_INVALID', asNew({ options: { stop: 'hard' } })],
  ];
  for (const [what, code, request] of refusals) {
    it(`refuses ${what} before a byte moves`, async () => {
      const { record, sink } = await world.backup('vm/db');
      const before = world.state();
      await expectCode(world.source.planRestore(request, record), code);
      const media = { ...sink.media(record), openItem: () => Promise.reject(new Error('an item was opened')) };
      expect((await errorOf(world.source.restore(request, media))).code).to.equal(code);
      expect(world.state()).to.deep.equal(before);
    });
  }

  it('lists what there is to choose from when the pool has no default storage', async () => {
    const { record } = await world.backup('vm/db');
    const [pool] = world.running.pool.poolEntry;
    world.running.pool.store.patch('pool', pool, { default_SR: 'OpaqueRef:NULL' });
    const details = structuredClone(record.details) as { disks: { storageId: string }[] };
    details.disks[0]!.storageId = '00000000-0000-4000-8000-00000000dead';
    const gone = { ...record, details };
    const error = await expectCode(world.source.planRestore(asNew(), gone), 'STORAGE_NOT_FOUND');
    expect(error.hint).to.match(/"Main" \(.* free\), "Second"/);
    expect((await world.source.planRestore(asNew(), record)).storage.name).to.equal('Main');
    const lines = await world.source.check();
    expect(lines.find(({ check }) => check === 'default-storage')?.status).to.equal('warning');
  });

  it('refuses a storage that is too full, with the numbers', async () => {
    const { record } = await world.backup('vm/db');
    world.running.pool.store.patch('SR', world.running.pool.store.refByUuid('SR', world.uuidOf('Main', 'SR')), {
      physical_size: 1024,
    });
    const { context } = await expectCode(world.source.planRestore(asNew(), record), 'STORAGE_FULL');
    expect(context.neededBytes).to.be.a('number');
  });

  for (const [what, fault] of [
    ['the connection is cut', { match: { path: '/import' }, action: { cutAtByte: 1_500_000 } }],
    [
      'the pool has no space',
      {
        match: { call: 'task.create' },
        occurrence: 1,
        action: { failWith: ['SR_BACKEND_FAILURE_44', '', 'There is insufficient space', ''] },
      },
    ],
    [
      'the disks can not be read back',
      { match: { call: 'VM.remove_from_other_config' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } },
    ],
  ] as const) {
    it(`leaves nothing when ${what}`, async () => {
      const { record, sink } = await world.backup('vm/db');
      const before = world.state();
      const remove = world.running.addFault(fault);
      const error = await errorOf(world.source.restore(asNew(), sink.media(record)));
      remove();
      expect([
        'TRANSFER_INTERRUPTED',
        'RESTORE_FAILED',
        'STORAGE_FULL',
        'SOURCE_FAILED',
        'DATA_DAMAGED',
        'SAVESET_INVALID',
      ]).to.include(error.code);
      expect(world.state()).to.deep.equal(before);
    });
  }

  it('refuses a saveset that is damaged or cut short, and leaves nothing', async () => {
    const { record, sink } = await world.backup('vm/web');
    const before = world.state();
    const flip = (bytes: Buffer): Buffer => {
      bytes.writeUInt8(bytes.readUInt8(2_000_000) ^ 1, 2_000_000);
      return bytes;
    };
    for (const damage of [flip, (bytes: Buffer) => bytes.subarray(0, 2_000_000)]) {
      const error = await errorOf(world.source.restore(asNew(), sink.media(record, damage)));
      expect(error.code).to.equal('DATA_DAMAGED');
      expect(world.state()).to.deep.equal(before);
    }
  });
});
