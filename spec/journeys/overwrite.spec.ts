import { expect } from 'chai';
import { type PoolState } from '../../src/simulator/index.js';
import { errorOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { dieAtCall, recordCalls } from './support/pool-calls.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

/** The state of the pool in terms that survive a VBD or VIF being made anew: no references or UUIDs of those. */
function essence(state: PoolState): unknown {
  const { VM = {}, VBD = {}, VIF = {}, VDI = {} } = state;
  const places = (table: PoolState[string], keys: readonly string[]): unknown =>
    Object.values(table)
      .map((record) => keys.map((key) => JSON.stringify(record[key])).join())
      .sort();
  const bare = (table: PoolState[string], without: readonly string[]): unknown =>
    Object.fromEntries(
      Object.entries(table).map(([ref, record]) => [
        ref,
        Object.fromEntries(Object.entries(record).filter(([field]) => !without.includes(field))),
      ]),
    );
  return {
    machines: bare(VM, ['VBDs', 'VIFs', 'allowed_operations', 'generation_id']),
    disks: bare(VDI, ['VBDs', 'allowed_operations']),
    places: places(VBD, ['VM', 'VDI', 'userdevice', 'bootable', 'mode', 'type', 'empty', 'other_config']),
    interfaces: places(VIF, ['VM', 'network', 'device', 'MAC', 'MTU', 'other_config', 'locking_mode']),
  };
}

/** Somebody has been at the machine since the backup. */
function change(world: XenWorld, uuid: string): void {
  world.scribble(uuid);
  const otherConfig = world.field('VM', uuid, 'other_config') as Record<string, string>;
  world.patch('VM', uuid, {
    name_label: 'renamed since',
    name_description: 'changed',
    VCPUs_max: 7,
    VCPUs_at_startup: 7,
    memory_static_max: 999 * 1024 * 1024,
    tags: ['changed'],
    other_config: { ...otherConfig, owner: 'nobody', extra: 'yes' },
  });
}

describe('journey: overwrite', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  it('brings an existing machine back: same identity, same snapshots, the disks and fields of the backup', async () => {
    const uuid = world.uuidOf('db');
    const ref = world.running.pool.store.refByUuid('VM', uuid);
    const before = world.state();
    const { record, sink } = await world.backup('vm/db');
    const disks = world.disksOf(uuid);
    change(world, uuid);
    const report = await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record)));
    expect(report).to.deep.include({ targetId: uuid, targetName: 'db', mode: 'overwrite', warnings: [] });
    expect(world.disksOf(uuid)).to.deep.equal(disks);
    const after = world.state();
    const skipped = ['VBDs', 'VIFs', 'allowed_operations', 'last_boot_CPU_flags'];
    for (const [field, value] of Object.entries(before.VM![ref]!)) {
      if (!skipped.includes(field)) expect(after.VM![ref]![field], field).to.deep.equal(value);
    }
    expect(Object.keys(after.VM!)).to.have.members(Object.keys(before.VM!));
    expect(Object.keys(after.VDI!)).to.have.length(Object.keys(before.VDI!).length);
    expect(JSON.stringify(after)).to.not.include('xen-backup');
    const interfaces = (state: PoolState): unknown => (essence(state) as { interfaces: unknown }).interfaces;
    expect(interfaces(after)).to.deep.equal(interfaces(before));
  });

  it('brings the copy of a running machine back over it when it may stop it, and starts it when asked to', async () => {
    const uuid = world.uuidOf('web');
    const { record, sink } = await world.backup('vm/web');
    const disks = world.disksOf(uuid);
    world.scribble(uuid);
    const media = sink.media(record);
    await expectCode(world.source.planRestore({ mode: 'overwrite' }, record), 'TARGET_RUNNING');
    expect((await errorOf(world.source.restore({ mode: 'overwrite' }, media))).code).to.equal('TARGET_RUNNING');
    const request = { mode: 'overwrite', startAfter: true, options: { stop: 'clean' } } as const;
    const report = await reportOf(world.source.restore(request, sink.media(record)));
    expect(report.isRunning).to.equal(true);
    expect(world.disksOf(uuid)).to.deep.equal(disks);
  });

  it('gives a machine that is gone its UUID and MAC addresses back', async () => {
    const uuid = world.uuidOf('db');
    const { record, sink } = await world.backup('vm/db');
    const disks = world.disksOf(uuid);
    const { store } = world.running.pool;
    const ref = store.refByUuid('VM', uuid);
    for (const vbd of world.field('VM', uuid, 'VBDs') as string[]) store.destroy('VBD', vbd);
    for (const vif of world.field('VM', uuid, 'VIFs') as string[]) store.destroy('VIF', vif);
    store.destroy('VM', ref);
    const report = await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record)));
    expect(report.targetId).to.equal(uuid);
    expect(world.field('VM', uuid, 'name_label')).to.equal('db');
    expect(world.disksOf(uuid)).to.deep.equal(disks);
    expect(JSON.stringify(world.state().VIF)).to.include('02:00:5e:00:00:21');
    expect(JSON.stringify(world.state())).to.not.include('xen-backup');
  });

  it('also does so for a machine that was saved from a snapshot', async () => {
    const uuid = world.uuidOf('web');
    const { record, sink } = await world.backup('vm/web');
    const disks = world.disksOf(uuid);
    const { store } = world.running.pool;
    for (const vbd of world.field('VM', uuid, 'VBDs') as string[]) store.destroy('VBD', vbd);
    for (const vif of world.field('VM', uuid, 'VIFs') as string[]) store.destroy('VIF', vif);
    store.destroy('VM', store.refByUuid('VM', uuid));
    const report = await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record)));
    expect(report.targetId).to.equal(uuid);
    expect(world.field('VM', uuid, 'is_a_template')).to.equal(false);
    expect(world.field('VM', uuid, 'name_label')).to.equal('web');
    expect(world.disksOf(uuid)).to.deep.equal(disks);
  });

  it('refuses another name as a contradiction, and takes its own', async () => {
    const { record } = await world.backup('vm/db');
    await expectCode(world.source.planRestore({ mode: 'overwrite', name: 'other' }, record), 'REQUEST_INVALID');
    const plan = await world.source.planRestore({ mode: 'overwrite', name: 'db' }, record);
    expect(plan.steps.filter(({ isDestructive }) => isDestructive).map(({ action }) => action)).to.deep.equal([
      'swap',
      'configure',
      'release',
    ]);
  });

  it('starts the machine again when it has stopped it and then fails', async () => {
    const uuid = world.uuidOf('web');
    const { record, sink } = await world.backup('vm/web');
    world.running.addFault({
      match: { call: 'VBD.create' },
      occurrence: 1,
      action: { failWith: ['INTERNAL_ERROR', 'no'] },
    });
    const request = { mode: 'overwrite', options: { stop: 'hard' } } as const;
    await errorOf(world.source.restore(request, sink.media(record)));
    expect(world.field('VM', uuid, 'power_state')).to.equal('Running');
  });
});

describe('journey: overwrite that fails', function () {
  this.timeout(120_000);
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  /** The calls that an overwrite makes, in order, as the pool saw them. */
  async function callsOfOverwrite(): Promise<readonly string[]> {
    const other = await startXenWorld();
    const uuid = other.uuidOf('db');
    const { record, sink } = await other.backup('vm/db');
    change(other, uuid);
    const calls = recordCalls(other.running);
    await reportOf(other.source.restore({ mode: 'overwrite' }, sink.media(record)));
    await other.close();
    return calls;
  }

  it('leaves the machine wholly old or wholly new, whichever call fails', async () => {
    const calls = await callsOfOverwrite();
    const uuid = world.uuidOf('db');
    const { record, sink } = await world.backup('vm/db');
    const wanted = world.disksOf(uuid);
    const seen = new Map<string, number>();
    let failures = 0;
    for (const call of calls) {
      const occurrence = (seen.get(call) ?? 0) + 1;
      seen.set(call, occurrence);
      if (call === 'task.destroy' || call.startsWith('session.')) continue;
      change(world, uuid);
      const changed = world.disksOf(uuid);
      const before = essence(world.state());
      const remove = world.running.addFault({
        match: { call },
        occurrence,
        action: { failWith: ['INTERNAL_ERROR', 'injected'] },
      });
      const where = `${call} no. ${occurrence}`;
      const outcome = await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record))).then(
        () => 'new',
        () => 'old',
      );
      remove();
      if (outcome === 'old') {
        failures += 1;
        expect(essence(world.state()), where).to.deep.equal(before);
        expect(world.disksOf(uuid), where).to.deep.equal(changed);
      } else {
        expect(world.disksOf(uuid), where).to.deep.equal(wanted);
        await world.source.reconcile();
        expect(JSON.stringify(world.state()), where).to.not.include('xen-backup');
      }
    }
    expect(failures).to.be.greaterThan(15);
  });

  it('can be finished or undone by another process after a crash at any moment', async () => {
    const calls = await callsOfOverwrite();
    const uuid = world.uuidOf('db');
    const { record, sink } = await world.backup('vm/db');
    const wanted = world.disksOf(uuid);
    const outcomes = new Set<string>();
    for (let last = calls.indexOf('VBD.destroy') - 4; last < calls.length; last += 1) {
      change(world, uuid);
      const changed = world.disksOf(uuid);
      const before = essence(world.state());
      const end = dieAtCall(world.running, (_call, callsBefore) => callsBefore >= last);
      await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record))).catch(() => undefined);
      end();
      const later = await world.anotherProcess(3_600_000);
      const report = await later.source.reconcile();
      await later.close();
      const where = `dead after ${last} calls (${calls[last] ?? 'all'}): ${JSON.stringify(report)}`;
      const isNew = JSON.stringify(world.disksOf(uuid)) === JSON.stringify(wanted);
      outcomes.add(isNew ? 'new' : 'old');
      expect(report.kept, where).to.deep.equal([]);
      if (isNew) {
        expect(JSON.stringify(world.state()), where).to.not.include('xen-backup');
        expect(world.field('VM', uuid, 'name_label'), where).to.equal('db');
      } else {
        expect(essence(world.state()), where).to.deep.equal(before);
        expect(world.disksOf(uuid), where).to.deep.equal(changed);
      }
    }
    expect([...outcomes].sort()).to.deep.equal(['new', 'old']);
  });
});
