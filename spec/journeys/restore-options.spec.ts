import { expect } from 'chai';
import {
  type BackupErrorCode,
  type RestorePlan,
  type RestoreRequest,
  type SavesetRecord,
} from '../../src/contract/index.js';
import { machineDetailsSchema } from '../../src/format/machine-details.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

const MAC = '02:00:5e:00:00:77';
/** The small pool, with VLANs, two networks of one name, and a machine with everything that must not get lost. */
const POOL: PoolDefinition = {
  ...SMALL_POOL,
  networks: [
    ...(SMALL_POOL.networks ?? []),
    { name: 'Lab', bridge: 'xapi1', device: 'eth1', vlan: 42 },
    { name: 'Private', bridge: 'xapi2' },
  ],
  vms: [
    {
      name: 'full',
      description: 'Everything',
      memoryMiB: 256,
      firmware: 'uefi',
      nvram: { 'EFI-variables': 'AAAA' },
      vtpm: { contents: 'c2VjcmV0' },
      customFields: { Site: 'Bern' },
      otherConfig: { auto_poweron: 'true' },
      haRestartPriority: 'restart',
      tags: ['nightly'],
      disks: [{ name: 'root', sizeMiB: 2, content: { kind: 'random', seed: 8 } }],
      interfaces: [{ network: 'Production', mac: MAC }],
    },
    {
      name: 'awake',
      powerState: 'Running',
      memoryMiB: 128,
      disks: [{ name: 'awake root', sizeMiB: 1, content: { kind: 'random', seed: 9 } }],
      interfaces: [{ network: 'Production', mac: '02:00:5e:00:00:88' }],
      guest: { os: 'Debian GNU/Linux 12' },
    },
    ...(SMALL_POOL.vms ?? []).filter(({ name }) => ['db', 'golden'].includes(name)),
  ],
};

const asNew = (options: Record<string, unknown> = {}, more: Partial<RestoreRequest> = {}): RestoreRequest => ({
  mode: 'new',
  name: 'copy',
  options,
  ...more,
});
const changesOf = ({ changes = [] }: RestorePlan): readonly string[] =>
  changes.map(({ what, from, to }) => `${what}: ${from ?? '(none)'} -> ${to ?? '(none)'}`);

describe('journey: options of a restore', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld({ poolFile: POOL });
  });

  afterEach(() => world.close());

  const networkOf = (machine: string): unknown => {
    const [vif] = world.field('VM', machine, 'VIFs') as string[];
    const { store } = world.running.pool;
    return store.get('network', store.get('VIF', vif!).network as string).name_label;
  };

  it('brings firmware, UEFI variables, TPM, boot order, limits, platform and custom fields back as they were', async () => {
    const original = world.uuidOf('full');
    const { record, sink } = await world.backup('vm/full');
    const { targetId } = await reportOf(world.source.restore(asNew(), sink.media(record)));
    const same = ['NVRAM', 'HVM_boot_params', 'HVM_boot_policy', 'platform', 'VCPUs_max', 'VCPUs_at_startup', 'tags'];
    const limits = ['memory_static_min', 'memory_static_max', 'memory_dynamic_min', 'memory_dynamic_max'];
    for (const field of [...same, ...limits, 'ha_restart_priority', 'domain_type', 'has_vendor_device']) {
      expect(world.field('VM', targetId!, field), field).to.deep.equal(world.field('VM', original, field));
    }
    const config = world.field('VM', targetId!, 'other_config') as Record<string, string>;
    expect(config).to.include({ 'XenCenter.CustomFields.Site': 'Bern', auto_poweron: 'true' });
    expect(world.field('VM', targetId!, 'VTPMs')).to.have.length(1);
  });

  for (const mode of ['new', 'overwrite'] as const) {
    it(`leaves out tags, HA and autostart when asked to, in mode ${mode}`, async () => {
      const { record, sink } = await world.backup('vm/full');
      const options = { tags: 'drop', ha: 'drop', autostart: 'drop' };
      const request: RestoreRequest = mode === 'new' ? asNew(options) : { mode, options };
      const plan = await world.source.planRestore(request, record);
      expect(changesOf(plan)).to.include.members([
        'tags: nightly -> (none)',
        'high availability: restart -> (none)',
        'autostart: true -> (none)',
      ]);
      const { targetId } = await reportOf(world.source.restore(request, sink.media(record)));
      expect(world.field('VM', targetId!, 'tags')).to.deep.equal([]);
      expect(world.field('VM', targetId!, 'ha_restart_priority')).to.equal('');
      expect(world.field('VM', targetId!, 'other_config')).to.not.have.property('auto_poweron');
    });

    for (const [how, target] of [
      ['name', 'Lab'],
      ['VLAN', 42],
      ['UUID', 'uuid'],
    ] as const) {
      it(`maps a network by ${how} in mode ${mode}, as the plan has said`, async () => {
        const { record, sink } = await world.backup('vm/full');
        const options = { 'network.Production': target === 'uuid' ? world.uuidOf('Lab', 'network') : target };
        const request: RestoreRequest = mode === 'new' ? asNew(options) : { mode, options };
        const { interfaces } = await world.source.planRestore(request, record);
        expect(interfaces).to.deep.equal([
          {
            position: '0',
            fromNetwork: 'Production',
            toNetwork: 'Lab',
            fromAddress: MAC,
            ...(mode === 'overwrite' ? { toAddress: MAC } : {}),
          },
        ]);
        const networks = world.running.pool.store.all('network').length;
        const { targetId } = await reportOf(world.source.restore(request, sink.media(record)));
        expect(networkOf(targetId!)).to.equal('Lab');
        expect(world.running.pool.store.all('network')).to.have.length(networks);
      });
    }
  }

  it('maps a network that the pool has lost, instead of making one', async () => {
    const { record, sink } = await world.backup('vm/db');
    world.patch('network', world.uuidOf('Production', 'network'), { name_label: 'other', uuid: world.uuidOf('db') });
    const plan = await world.source.planRestore(asNew(), record);
    expect(plan.warnings.map(({ code }) => code)).to.deep.equal(['NETWORK_MISSING']);
    const request = asNew({ 'network.Production': 'Private' });
    const report = await reportOf(world.source.restore(request, sink.media(record)));
    expect(report.warnings).to.deep.equal([]);
    expect(networkOf(report.targetId!)).to.equal('Private');
  });

  it('knows the VLAN that an interface was saved in', async () => {
    const [vif] = world.field('VM', world.uuidOf('db'), 'VIFs') as string[];
    const { store } = world.running.pool;
    store.patch('VIF', vif!, { network: store.refByUuid('network', world.uuidOf('Lab', 'network')) });
    const { record, sink } = await world.backup('vm/db');
    const request = asNew({ 'network.42': 'Private' });
    const { targetId } = await reportOf(world.source.restore(request, sink.media(record)));
    expect(networkOf(targetId!)).to.equal('Private');
  });

  it('says before an overwrite every setting, disk and interface that will be another', async () => {
    const { record } = await world.backup('vm/full');
    const uuid = world.uuidOf('full');
    world.patch('VM', uuid, { name_label: 'renamed', VCPUs_max: 7, HVM_boot_params: { order: 'n', firmware: 'uefi' } });
    const [vif] = world.field('VM', uuid, 'VIFs') as string[];
    world.running.pool.store.patch('VIF', vif!, { MAC: '02:00:00:00:00:99' });
    const before = world.state();
    const plan = await world.source.planRestore({ mode: 'overwrite', storage: 'Second' }, record);
    const { configuration } = machineDetailsSchema.parse(record.details);
    const bootOrder = (configuration!.fields.HVM_boot_params as Record<string, string>).order!;
    expect(changesOf(plan)).to.have.members([
      'name: renamed -> full',
      'CPUs: 7 -> 2',
      `boot order: n -> ${bootOrder}`,
      `interface 0 address: 02:00:00:00:00:99 -> ${MAC}`,
    ]);
    expect(plan.disks).to.deep.equal([
      {
        position: '0',
        name: 'root',
        sizeBytes: 2 * 1024 * 1024,
        fromStorage: 'Main',
        toStorage: 'Second',
        replaces: '"root" (2.0 MiB)',
      },
    ]);
    expect(plan.warnings.map(({ code }) => code)).to.deep.equal(['TPM_NOT_RESTORED']);
    expect(world.state()).to.deep.equal(before);
  });

  it('finds nothing to change when nothing has changed', async () => {
    const { record } = await world.backup('vm/db');
    expect(changesOf(await world.source.planRestore({ mode: 'overwrite' }, record))).to.deep.equal([]);
  });

  it('warns of a MAC address that another machine has, and refuses a start beside one that runs', async () => {
    const { record, sink } = await world.backup('vm/awake');
    const keep = { mac: 'keep' };
    const plan = await world.source.planRestore(asNew(keep), record);
    expect(plan.warnings.map(({ code }) => code)).to.deep.equal(['DUPLICATE_MAC']);
    const starting = asNew(keep, { startAfter: true });
    const { hint } = await expectCode(world.source.planRestore(starting, record), 'REQUEST_INVALID');
    expect(hint).to.include('mac=generate');
    expect((await errorOf(world.source.restore(starting, sink.media(record)))).code).to.equal('REQUEST_INVALID');
    const fresh = asNew({ mac: 'generate' }, { startAfter: true });
    expect((await reportOf(world.source.restore(fresh, sink.media(record)))).isRunning).to.equal(true);
  });

  it('does not start beside a machine that got the same MAC address while the data flowed', async () => {
    const { record, sink } = await world.backup('vm/full');
    const media = sink.media(record);
    const [vif] = world.field('VM', world.uuidOf('awake'), 'VIFs') as string[];
    const late = {
      ...media,
      openItem: (name: string, signal: AbortSignal) => {
        world.running.pool.store.patch('VIF', vif!, { MAC });
        return media.openItem(name, signal);
      },
    };
    const report = await reportOf(world.source.restore({ mode: 'overwrite', startAfter: true }, late));
    expect(report.isRunning).to.equal(false);
    expect(report.warnings.map(({ code }) => code)).to.include('NOT_STARTED');
  });

  it('gives a machine that is gone its UUID back with new addresses when asked to', async () => {
    const uuid = world.uuidOf('full');
    const { record, sink } = await world.backup('vm/full');
    const { store } = world.running.pool;
    for (const cls of ['VBD', 'VIF', 'VTPM']) {
      for (const ref of world.field('VM', uuid, `${cls}s`) as string[]) store.destroy(cls, ref);
    }
    store.destroy('VM', store.refByUuid('VM', uuid));
    const request: RestoreRequest = { mode: 'overwrite', options: { mac: 'generate' } };
    const { targetId } = await reportOf(world.source.restore(request, sink.media(record)));
    expect(targetId).to.equal(uuid);
    const [vif] = world.field('VM', uuid, 'VIFs') as string[];
    expect(store.get('VIF', vif!).MAC)
      .to.match(/^.[26ae](:[0-9a-f]{2}){5}$/)
      .and.not.equal(MAC);
    expect(world.field('VM', uuid, 'VTPMs')).to.have.length(1);
  });

  it('names the storages that could take it when the one chosen cannot', async () => {
    const { record } = await world.backup('vm/db');
    world.patch('SR', world.uuidOf('Main', 'SR'), { physical_size: 1024 });
    const { hint } = await expectCode(world.source.planRestore(asNew(), record), 'STORAGE_FULL');
    expect(hint).to.match(/could take it: "Second" \(/);
    world.patch('SR', world.uuidOf('Second', 'SR'), { physical_size: 1024 });
    const alone = await expectCode(world.source.planRestore(asNew(), record), 'STORAGE_FULL');
    expect(alone.hint).to.include('no other storage');
  });

  it('brings a template back as one, and says so', async () => {
    const { record, sink } = await world.backup('template/golden');
    const { steps } = await world.source.planRestore(asNew(), record);
    expect(steps[0]?.description).to.match(/^Import template "copy"/);
    const { targetId } = await reportOf(world.source.restore(asNew(), sink.media(record)));
    expect(world.field('VM', targetId!, 'is_a_template')).to.equal(true);
    const over = await reportOf(world.source.restore({ mode: 'overwrite' }, sink.media(record)));
    expect(world.field('VM', over.targetId!, 'is_a_template')).to.equal(true);
  });

  const refusals: readonly (readonly [what: string, code: BackupErrorCode, options: Record<string, unknown>])[] = [
    ['a network that is not there', 'OBJECT_NOT_FOUND', { 'network.Production': 'nowhere' }],
    ['a network that the backup does not have', 'REQUEST_INVALID', { 'network.Nowhere': 'Lab' }],
    ['a map without a source', 'REQUEST_INVALID', { 'network.': 'Lab' }],
    ['a map without a target', 'REQUEST_INVALID', { 'network.Production': '' }],
    ['a word that no option has', 'REQUEST_INVALID', { tags: 'maybe' }],
  ];
  for (const [what, code, options] of refusals) {
    it(`refuses ${what}`, async () => {
      const { record } = await world.backup('vm/db');
      const { hint } = await expectCode(world.source.planRestore(asNew(options), record), code);
      expect(hint).to.be.a('string');
    });
  }
});

describe('journey: a machine with its memory', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld({ poolFile: POOL });
  });

  afterEach(() => world.close());

  const backUp = async (): Promise<{ readonly record: SavesetRecord; readonly sink: RecordingSink }> => {
    const sink = new RecordingSink();
    const request = { source: 'vm/awake', savesetId: 'with-memory', options: { consistency: 'memory' } };
    const { record } = await reportOf(world.source.backup(request, sink));
    expect(record.consistency).to.equal('memory');
    return { record, sink };
  };

  it('comes back suspended, and goes on when asked to', async () => {
    const { record, sink } = await backUp();
    const report = await reportOf(world.source.restore(asNew(), sink.media(record)));
    expect(report.warnings).to.deep.equal([]);
    expect(world.field('VM', report.targetId!, 'power_state')).to.equal('Suspended');
    expect(JSON.stringify(world.state())).to.not.include('xen-backup');
    const again = await reportOf(
      world.source.restore(asNew({}, { name: 'second', startAfter: true }), sink.media(record)),
    );
    expect(again.isRunning).to.equal(true);
  });

  it('gives a machine that exists its disks only, says so before, and leaves no memory behind', async () => {
    const { record, sink } = await backUp();
    const uuid = world.uuidOf('awake');
    const disks = world.disksOf(uuid);
    world.scribble(uuid);
    const images = world.running.pool.store.all('VDI').length;
    const request: RestoreRequest = { mode: 'overwrite', options: { stop: 'hard' } };
    const plan = await world.source.planRestore(request, record);
    expect(plan.warnings.map(({ code }) => code)).to.include('MEMORY_NOT_RESTORED');
    await reportOf(world.source.restore(request, sink.media(record)));
    expect(world.disksOf(uuid)).to.deep.equal(disks);
    expect(world.field('VM', uuid, 'power_state')).to.equal('Halted');
    expect(world.running.pool.store.all('VDI')).to.have.length(images);
  });

  it('cannot keep its MAC addresses under a new name, nor get new ones under its own', async () => {
    const { record } = await backUp();
    await expectCode(world.source.planRestore(asNew({ mac: 'keep' }), record), 'REQUEST_INVALID');
    const over: RestoreRequest = { mode: 'overwrite', options: { stop: 'hard', mac: 'generate' } };
    await expectCode(world.source.planRestore(over, record), 'REQUEST_INVALID');
  });

  it('says before anything moves that the backup is of a newer release than the pool', async () => {
    const { record } = await world.backup('vm/db');
    const details = machineDetailsSchema.parse(record.details);
    const codesFor = async (version: string): Promise<readonly string[]> => {
      const release = { ...details.release, version };
      const { warnings } = await world.source.planRestore(asNew(), { ...record, details: { ...details, release } });
      return warnings.map(({ code }) => code);
    };
    expect(await codesFor('99.1.0')).to.deep.equal(['RELEASE_NEWER']);
    for (const version of [details.release.version, '7.1.2', 'unknown']) {
      expect(await codesFor(version), version).to.deep.equal([]);
    }
  });
});
