import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { PLAIN_DISK } from '../../support/new-records.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

const ON_BOOT = 'VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION';
const DEFINITION = {
  name: 'refusals',
  hosts: [{ name: 'one' }],
  storage: [
    { name: 'sr', type: 'nfs' as const, isDefault: true },
    { name: 'chains', type: 'nfs' as const, hasChains: true },
  ],
  appliances: [{ name: 'app' }],
  vms: [
    { name: 'halted', disks: [{ name: 'disk', sizeMiB: 8 }] },
    { name: 'on chains', disks: [{ name: 'chained', sizeMiB: 8, storage: 'chains' }], snapshots: ['before'] },
    { name: 'running', powerState: 'Running' as const, disks: [{ name: 'live', sizeMiB: 8 }] },
    { name: 'member', appliance: 'app' },
    { name: 'template', kind: 'template' as const },
  ],
};

/** The order and the words in which XAPI 24.19.2 refuses: xapi_vm_lifecycle.ml and xapi_vdi.ml. */
describe('what XAPI refuses, and how', () => {
  let pool: RunningPool;
  let client: RpcClient;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({ poolFile: DEFINITION }));
  });
  afterEach(() => pool.close());

  const vm = (name: string): Promise<string> => named(client, 'VM', name);
  const disk = (name: string): Promise<string> => named(client, 'VDI', name);
  const beginUpgrade = (): Promise<unknown> =>
    client.call('pool.add_to_other_config', pool.pool.poolEntry[0], 'rolling_upgrade_in_progress', 'true');
  const newDisk = async (more: Json): Promise<Json> => ({
    SR: await named(client, 'SR', 'sr'),
    virtual_size: MIB,
    ...PLAIN_DISK,
    ...more,
  });

  describe('of a machine', () => {
    it('provisioning of what is no template, reverting to what is no snapshot', async () => {
      const halted = await vm('halted');
      const template = await vm('template');
      expect(await client.error('VM.provision', halted)).to.deep.equal(['PROVISION_ONLY_ALLOWED_ON_TEMPLATE']);
      expect(await client.error('VM.assert_operation_valid', halted, 'revert')).to.deep.equal([
        'REVERT_ONLY_ALLOWED_ON_SNAPSHOT',
      ]);
      expect(await client.error('VM.assert_operation_valid', template, 'revert')).to.deep.equal([
        'VM_IS_TEMPLATE',
        template,
        'revert',
      ]);
    });

    it('nearly everything of a control domain', async () => {
      const [dom0 = ''] = pool.pool.store.all('VM').flatMap(([ref, r]) => (r.is_control_domain === true ? [ref] : []));
      expect(await client.error('VM.clean_shutdown', dom0)).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        'This operation is not allowed on a control domain',
      ]);
      expect(await client.error('VM.assert_operation_valid', dom0, 'changing_VCPUs')).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        'This operation is not allowed on dom0',
      ]);
    });

    it('making a template of a template, and of a member of a vApp; the metrics of others go', async () => {
      const [template, member, halted] = await Promise.all([vm('template'), vm('member'), vm('halted')]);
      const appliance = await named(client, 'VM_appliance', 'app');
      expect(await client.error('VM.set_is_a_template', template, true)).to.deep.equal([
        'VM_IS_TEMPLATE',
        template,
        'make_into_template',
      ]);
      expect(await client.error('VM.set_is_a_template', member, true)).to.deep.equal([
        'VM_IS_PART_OF_AN_APPLIANCE',
        member,
        appliance,
      ]);
      expect(await client.call('VM.get_allowed_operations', member)).not.to.include('make_into_template');
      await client.call('VM.set_is_a_template', halted, true);
      expect(await client.call('VM.get_metrics', halted)).to.equal('OpaqueRef:NULL');
    });

    it('a second stop by force, though not the first', async () => {
      const running = await vm('running');
      pool.pool.store.patch('VM', running, { current_operations: { 'OpaqueRef:a': 'clean_shutdown' } });
      expect((await client.error('VM.assert_operation_valid', running, 'hard_shutdown'))[0]).to.equal('no error');
      pool.pool.store.patch('VM', running, { current_operations: { 'OpaqueRef:a': 'hard_shutdown' } });
      for (const operation of ['hard_shutdown', 'hard_reboot']) {
        expect((await client.error('VM.assert_operation_valid', running, operation))[0], operation).to.equal(
          'OTHER_OPERATION_IN_PROGRESS',
        );
      }
    });

    it('images of a disk that begins anew at each boot, before its devices are looked at', async () => {
      const running = await vm('running');
      pool.pool.store.patch('VDI', await disk('live'), { sm_config: { on_boot: 'reset' } });
      pool.pool.store.patch('VM', running, { VUSBs: ['OpaqueRef:usb'], attached_PCIs: ['OpaqueRef:pci'] });
      for (const operation of ['snapshot', 'checkpoint', 'suspend']) {
        expect(await client.error('VM.assert_operation_valid', running, operation)).to.deep.equal([ON_BOOT]);
      }
    });

    it('with the other operation before the reference until XAPI 25.27, and behind it since', async () => {
      const current_operations = { 'OpaqueRef:a': 'clone', 'OpaqueRef:b': 'export' };
      for (const [release, params] of [
        ['8.3', (ref: string) => ['VM.{clone,export}', ref]],
        ['9.0', (ref: string) => ['VM', ref, '{clone,export}', '{OpaqueRef:a,OpaqueRef:b}']],
      ] as const) {
        const other = await startWithClient({ poolFile: DEFINITION, release });
        try {
          const ref = await named(other.client, 'VM', 'halted');
          other.pool.pool.store.patch('VM', ref, { current_operations });
          expect(await other.client.error('VM.start', ref, false, false)).to.deep.equal([
            'OTHER_OPERATION_IN_PROGRESS',
            ...params(ref),
          ]);
        } finally {
          await other.pool.close();
        }
      }
    });
  });

  describe('of a disk', () => {
    it('everything about changed blocks while the pool is upgraded, before anything else is looked at', async () => {
      const vdi = await disk('live');
      await beginUpgrade();
      for (const method of ['VDI.enable_cbt', 'VDI.disable_cbt', 'VDI.data_destroy']) {
        expect(await client.error(method, vdi), method).to.deep.equal(['NOT_SUPPORTED_DURING_UPGRADE']);
      }
      expect(await client.error('VDI.list_changed_blocks', vdi, vdi)).to.deep.equal(['NOT_SUPPORTED_DURING_UPGRADE']);
      expect(await client.call('VDI.snapshot', vdi)).to.match(/^OpaqueRef:/);
    });

    it('snapshots of what several machines share, or what begins anew at each boot', async () => {
      const shared = await client.call<string>('VDI.create', await newDisk({ sharable: true }));
      expect(await client.error('VDI.snapshot', shared)).to.deep.equal(['VDI_IS_SHARABLE', shared]);
      const resetting = await disk('disk');
      await client.call('VDI.set_on_boot', resetting, 'reset');
      expect(await client.error('VDI.snapshot', resetting)).to.deep.equal([ON_BOOT]);
      expect(await client.error('VDI.copy', resetting, await named(client, 'SR', 'sr'))).to.deep.equal([ON_BOOT]);
    });

    it('a new one that is only a record of changed blocks', async () => {
      expect(await client.error('VDI.create', await newDisk({ type: 'cbt_metadata' }))).to.deep.equal([
        'VDI_INCOMPATIBLE_TYPE',
        '',
        'CBT metadata',
      ]);
    });

    it('anything on storage that no host has plugged', async () => {
      const [vdi, sr] = [await disk('disk'), await named(client, 'SR', 'sr')];
      const [running] = await Promise.all([vm('running')]);
      await client.call('VM.hard_shutdown', running);
      for (const pbd of await client.call<string[]>('SR.get_PBDs', sr)) await client.call('PBD.unplug', pbd);
      for (const method of ['VDI.destroy', 'VDI.snapshot', 'VDI.clone']) {
        expect(await client.error(method, vdi), method).to.deep.equal(['SR_HAS_NO_PBDS', sr]);
      }
      expect(await client.error('VDI.create', await newDisk({}))).to.deep.equal(['SR_HAS_NO_PBDS', sr]);
    });

    it('a second connection of a host to storage, the end of one that is plugged or used', async () => {
      const [live, sr, host] = [
        await disk('live'),
        await named(client, 'SR', 'sr'),
        await named(client, 'host', 'one'),
      ];
      const [pbd = ''] = await client.call<string[]>('SR.get_PBDs', sr);
      const connection = { host, SR: sr, device_config: {}, other_config: {} };
      expect(await client.error('PBD.create', connection)).to.deep.equal(['PBD_EXISTS', sr, host, pbd]);
      expect(await client.error('PBD.destroy', pbd)).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        'PBD is currently attached',
      ]);
      expect(await client.error('PBD.unplug', pbd)).to.deep.equal(['VDI_IN_USE', live]);
      await client.call('VM.hard_shutdown', await vm('running'));
      await client.call('PBD.unplug', pbd);
      await client.call('PBD.destroy', pbd);
      const another = await client.call<string>('PBD.create', connection);
      expect(await client.call('PBD.get_currently_attached', another)).to.equal(false);
    });

    it('the destruction of a base, of what holds statistics', async () => {
      const [base = ''] = pool.pool.store.all('VDI').flatMap(([ref, { managed }]) => (managed === false ? [ref] : []));
      expect(await client.error('VDI.destroy', base)).to.deep.equal(['VDI_NOT_MANAGED', base]);
      const statistics = await client.call<string>('VDI.create', await newDisk({ type: 'rrd' }));
      for (const method of ['VDI.destroy', 'VDI.forget']) {
        expect(await client.error(method, statistics), method).to.deep.equal(['VDI_HAS_RRDS', statistics]);
      }
    });
  });

  describe('of sessions', () => {
    it('the one of its group used longest ago: 400 of nobody in particular, 500 of one originator', () => {
      const { sessions, coordinator } = pool.pool;
      for (const [originator, limit] of [
        ['', 400],
        ['somebody', 500],
      ] as const) {
        const open = (): string => sessions.login(pool.username, pool.password, originator, coordinator);
        const group = [...(originator === '' ? [client.session] : []), open(), open()];
        const [first = '', second = ''] = group;
        while (group.length < limit) group.push(open());
        pool.pool.store.patch('session', first, { last_active: '20991231T00:00:00Z' });
        expect(sessions.isOpen(second), originator).to.equal(true);
        group.push(open());
        expect([sessions.isOpen(first), sessions.isOpen(second)], originator).to.deep.equal([true, false]);
        const ofGroup = pool.pool.store.all('session').filter(([, record]) => record.originator === originator);
        expect(ofGroup).to.have.lengthOf(limit);
      }
    });
  });
});
