import { expect } from 'chai';
import { type RestorePlan, type RestoreRequest, type SavesetRecord } from '../../src/contract/index.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { type RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { dieAtCall, recordCalls } from './support/pool-calls.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

/** Two hosts, storage of one of them, and a machine with a disk on each kind of storage. */
const POOL: PoolDefinition = {
  ...SMALL_POOL,
  hosts: [{ name: 'host-a' }, { name: 'host-b' }],
  networks: [...(SMALL_POOL.networks ?? [])],
  storage: [...(SMALL_POOL.storage ?? []), { name: 'Third', type: 'nfs', sizeGiB: 3 }],
  vms: [
    {
      name: 'web',
      memoryMiB: 128,
      disks: [
        { name: 'root', sizeMiB: 3, content: { kind: 'random', seed: 1 } },
        { name: 'data', sizeMiB: 2, storage: 'Second', content: { kind: 'text', seed: 2 } },
        { name: 'logs', sizeMiB: 1, content: { kind: 'random', seed: 3 } },
      ],
      interfaces: [{ network: 'Production' }],
    },
  ],
};

const asNew = (options: Record<string, unknown> = {}, more: Partial<RestoreRequest> = {}): RestoreRequest => ({
  mode: 'new',
  name: 'copy',
  options,
  ...more,
});
const targets = ({ disks = [] }: RestorePlan): readonly string[] => disks.map(({ toStorage }) => toStorage);
const codes = ({ warnings }: Pick<RestorePlan, 'warnings'>): readonly string[] => warnings.map(({ code }) => code);

describe('journey: where the disks of a restore go', function () {
  this.timeout(120_000);
  let world: XenWorld;
  let uuid: string;
  let record: SavesetRecord;
  let sink: RecordingSink;

  beforeEach(async () => {
    world = await startXenWorld({ poolFile: POOL });
    uuid = world.uuidOf('web');
    ({ record, sink } = await world.backup('vm/web'));
  });

  afterEach(() => world.close());

  /** Name of the storage of each disk of a machine, by position. */
  const storagesOf = (machine: string): readonly string[] => {
    const { store } = world.running.pool;
    const devices = (world.field('VM', machine, 'VBDs') as string[]).map((ref) => store.get('VBD', ref));
    return devices
      .filter(({ type }) => type === 'Disk')
      .sort((one, other) => Number(one.userdevice) - Number(other.userdevice))
      .map(({ VDI }) => store.get('SR', store.get('VDI', VDI as string).SR as string).name_label as string);
  };
  const count = (cls: string): number => world.running.pool.store.all(cls).length;
  const shrink = (name: string, bytes: number): void => {
    world.patch('SR', world.uuidOf(name, 'SR'), { physical_size: bytes });
  };

  it('brings each disk back to where it was, as the plan has said', async () => {
    const images = count('VDI');
    const plan = await world.source.planRestore(asNew(), record);
    expect(targets(plan)).to.deep.equal(['Main', 'Second', 'Main']);
    expect(plan.storage.name).to.equal('Main');
    expect(plan.steps.map(({ description }) => description).join('\n')).to.match(
      /Copy disk 1 "data" \(2\.0 MiB\) on to storage "Second" and remove the first copy/,
    );
    const { targetId } = await reportOf(world.source.restore(asNew(), sink.media(record)));
    expect(storagesOf(targetId!)).to.deep.equal(['Main', 'Second', 'Main']);
    expect(world.disksOf(targetId!)).to.deep.equal(world.disksOf(uuid));
    expect(count('VDI')).to.equal(images + 3);
    expect(JSON.stringify(world.state())).to.not.include('xen-backup');
  });

  it('takes a storage for each disk, by position, name or UUID', async () => {
    const [, data] = record.disks;
    const options = {
      'storage.0': 'Third',
      [`storage.${data!.id}`]: world.uuidOf('Main', 'SR'),
      'storage.logs': 'Second',
    };
    expect(targets(await world.source.planRestore(asNew(options), record))).to.deep.equal(['Third', 'Main', 'Second']);
    const { targetId } = await reportOf(world.source.restore(asNew(options), sink.media(record)));
    expect(storagesOf(targetId!)).to.deep.equal(['Third', 'Main', 'Second']);
    expect(world.disksOf(targetId!)).to.deep.equal(world.disksOf(uuid));
  });

  it('overwrites a machine with its disks spread the same way', async () => {
    const disks = world.disksOf(uuid);
    const images = count('VDI');
    world.scribble(uuid);
    const request: RestoreRequest = { mode: 'overwrite', options: { 'storage.logs': 'Third' } };
    const { targetId } = await reportOf(world.source.restore(request, sink.media(record)));
    expect(targetId).to.equal(uuid);
    expect(storagesOf(uuid)).to.deep.equal(['Main', 'Second', 'Third']);
    expect(world.disksOf(uuid)).to.deep.equal(disks);
    expect(count('VDI')).to.equal(images);
    expect(JSON.stringify(world.state())).to.not.include('xen-backup');
  });

  it('takes the default for a disk whose storage has no room, and refuses when that has none either', async () => {
    shrink('Second', 1024);
    expect(targets(await world.source.planRestore(asNew(), record))).to.deep.equal(['Main', 'Main', 'Main']);
    shrink('Main', 1024);
    const { hint } = await expectCode(world.source.planRestore(asNew(), record), 'STORAGE_FULL');
    expect(hint).to.include('"Third"');
    const media = { ...sink.media(record), openItem: () => Promise.reject(new Error('an item was opened')) };
    expect((await errorOf(world.source.restore(asNew(), media))).code).to.equal('STORAGE_FULL');
  });

  it('leaves nothing behind, whichever call fails on the way round', async () => {
    const before = world.state();
    for (const [call, occurrence] of [
      ['VDI.copy', 1],
      ['VBD.destroy', 1],
      ['VBD.create', 1],
      ['VDI.destroy', 1],
      ['VDI.add_to_other_config', 1],
    ] as const) {
      const action = { failWith: ['INTERNAL_ERROR', 'injected'] as [string, string] };
      const remove = world.running.addFault({ match: { call }, occurrence, action });
      const failed = await reportOf(world.source.restore(asNew(), sink.media(record))).then(
        () => false,
        () => true,
      );
      remove();
      if (failed) expect(world.state(), call).to.deep.equal(before);
      else expect(call).to.equal('VDI.add_to_other_config');
    }
  });

  it('is taken away by another process after a crash at any moment of the way round', async () => {
    const calls = recordCalls(world.running);
    await reportOf(world.source.restore(asNew({}, { name: 'first' }), sink.media(record)));
    const from = calls.indexOf('VDI.copy');
    const to = calls.lastIndexOf('VDI.destroy');
    expect(from).to.be.greaterThan(0);
    const before = world.state();
    for (let last = from; last <= to + 1; last += 1) {
      const end = dieAtCall(world.running, (_call, callsBefore) => callsBefore >= last);
      await reportOf(world.source.restore(asNew(), sink.media(record))).catch(() => undefined);
      end();
      const later = await world.anotherProcess(3_600_000);
      const report = await later.source.reconcile();
      await later.close();
      expect(report.kept, calls[last] ?? '').to.deep.equal([]);
      expect(world.state(), `${calls[last] ?? ''} ${JSON.stringify(report)}`).to.deep.equal(before);
    }
  });

  it('does not take a copy that the pool still works on for one that a machine uses', async () => {
    const { store } = world.running.pool;
    const mark = JSON.stringify({ run: 'r', host: 'spec-host', sinceMs: 0, aliveUntilMs: 1, role: 'import' });
    const [disk] = store.all('VDI').find(([, { name_label: name }]) => name === 'root')!;
    const [domain] = store.all('VM').find(([, machine]) => machine.is_control_domain === true)!;
    const device = store.create('VBD', { VM: domain, VDI: disk, type: 'Disk', userdevice: '9', mode: 'RO' });
    for (const held of store.get('VDI', disk).VBDs as string[]) if (held !== device) store.destroy('VBD', held);
    store.patch('VDI', disk, { other_config: { 'xen-backup:run': mark } });
    const { kept, repaired, removed } = await world.source.reconcile();
    expect(kept.map(({ why }) => why)).to.deep.equal(['the pool still works on it']);
    expect([...repaired, ...removed]).to.deep.equal([]);
  });

  describe('some disks only', () => {
    for (const options of [
      { disks: '0,logs' },
      { disks: ['root', 2] },
      { excludeDisks: 1 },
      { excludeDisks: 'data' },
    ]) {
      it(`brings back what ${JSON.stringify(options)} names`, async () => {
        const plan = await world.source.planRestore(asNew(options), record);
        expect(plan.disks?.map(({ position }) => position)).to.deep.equal(['0', '2']);
        expect(plan.changes?.map(({ what, to }) => `${what}: ${to ?? ''}`)).to.include('disk 1: does not come back');
        const { targetId } = await reportOf(world.source.restore(asNew(options), sink.media(record)));
        const { 0: root, 2: logs } = world.disksOf(uuid);
        expect(world.disksOf(targetId!)).to.deep.equal({ 0: root, 2: logs });
        expect(JSON.stringify(world.state())).to.not.include('xen-backup');
      });
    }

    it('checks the data of the others all the same', async () => {
      const before = world.state();
      const middle = sink.items.get('vm.xva')!.length - 1.5 * 1024 * 1024;
      const media = sink.media(record, (bytes) => {
        bytes[middle] = bytes[middle]! ^ 1;
        return bytes;
      });
      const { code } = await errorOf(world.source.restore(asNew({ disks: '0' }), media));
      expect(code).to.equal('DATA_DAMAGED');
      expect(world.state()).to.deep.equal(before);
    });

    it('leaves the others of a machine that is overwritten as they are', async () => {
      const saved = world.disksOf(uuid);
      world.scribble(uuid);
      const { 0: root, 2: logs } = world.disksOf(uuid);
      const images = count('VDI');
      await reportOf(world.source.restore({ mode: 'overwrite', options: { disks: 'data' } }, sink.media(record)));
      expect(world.disksOf(uuid)).to.deep.equal({ 0: root, 1: saved[1], 2: logs });
      expect(count('VDI')).to.equal(images);
    });

    it('warns when a new machine is to come back without the disk that it boots from', async () => {
      const without = { excludeDisks: '0' };
      expect(codes(await world.source.planRestore(asNew(without), record))).to.deep.equal(['BOOT_DISK_LEFT_OUT']);
      const over: RestoreRequest = { mode: 'overwrite', options: without };
      expect(codes(await world.source.planRestore(over, record))).to.deep.equal([]);
    });

    for (const [what, options] of [
      ['a disk that is not there', { disks: '0,9' }],
      ['no disk at all', { excludeDisks: '0,1,2' }],
      ['both lists', { disks: '0', excludeDisks: '1' }],
      ['an empty name', { disks: '0,' }],
      ['a storage for a disk that does not come back', { disks: '0', 'storage.1': 'Main' }],
    ] as const) {
      it(`refuses ${what}`, async () => {
        await expectCode(world.source.planRestore(asNew(options), record), 'REQUEST_INVALID');
      });
    }
  });

  describe('on a host', () => {
    const hostRef = (name: string): string => world.running.pool.store.refByUuid('host', world.uuidOf(name, 'host'));

    for (const mode of ['new', 'overwrite'] as const) {
      it(`starts it there and lets it belong there, in mode ${mode}`, async () => {
        const options = { host: 'host-b', 'storage.1': 'Main' };
        const request: RestoreRequest =
          mode === 'new' ? asNew(options, { startAfter: true }) : { mode, options, startAfter: true };
        const plan = await world.source.planRestore(request, record);
        expect(plan.changes?.map(({ what, to }) => `${what}: ${to ?? ''}`)).to.include('host: host-b');
        const { targetId, isRunning } = await reportOf(world.source.restore(request, sink.media(record)));
        expect(isRunning).to.equal(true);
        expect(world.field('VM', targetId!, 'resident_on')).to.equal(hostRef('host-b'));
        expect(world.field('VM', targetId!, 'affinity')).to.equal(hostRef('host-b'));
      });
    }

    it('takes no storage that the host does not see', async () => {
      const implied = await world.source.planRestore(asNew({ host: 'host-b' }), record);
      expect(targets(implied)).to.deep.equal(['Main', 'Main', 'Main']);
      const named = asNew({ host: 'host-b', 'storage.0': 'Second' });
      const { message } = await expectCode(world.source.planRestore(named, record), 'STORAGE_NOT_FOUND');
      expect(message).to.include('host-b');
    });

    it('refuses a host that is unknown, disabled, or has no card in a network', async () => {
      await expectCode(world.source.planRestore(asNew({ host: 'nobody' }), record), 'OBJECT_NOT_FOUND');
      const { store } = world.running.pool;
      const network = store.refByUuid('network', world.uuidOf('Production', 'network'));
      const [card] = store.all('PIF').find(([, pif]) => pif.network === network && pif.host === hostRef('host-b'))!;
      store.destroy('PIF', card);
      await expectCode(world.source.planRestore(asNew({ host: 'host-b' }), record), 'REQUEST_INVALID');
      world.patch('host', world.uuidOf('host-a', 'host'), { enabled: false });
      await expectCode(world.source.planRestore(asNew({ host: 'host-a' }), record), 'REQUEST_INVALID');
    });
  });
});
