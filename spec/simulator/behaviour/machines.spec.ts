import { expect } from 'chai';
import { type RunningPool } from '../../../src/simulator/index.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

type Vm = Json & { readonly VBDs: string[]; readonly VIFs: string[]; readonly allowed_operations: string[] };

describe('machines', () => {
  let pool: RunningPool;
  let client: RpcClient;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient());
  });
  afterEach(() => pool.close());

  async function disksOf(vm: string): Promise<string[]> {
    const { VBDs } = await client.call<Vm>('VM.get_record', vm);
    const vbds = await Promise.all(VBDs.map((vbd) => client.call<Json>('VBD.get_record', vbd)));
    return vbds.filter(({ type }) => type === 'Disk').map(({ VDI }) => VDI as string);
  }

  describe('VM.snapshot', () => {
    it('makes a halted template with snapshots of the disks and the same MAC addresses', async () => {
      const web = await named(client, 'VM', 'web-01');
      const snapshot = await client.call<string>('VM.snapshot', web, 'tonight');
      const [source, copy] = [
        await client.call<Vm>('VM.get_record', web),
        await client.call<Vm>('VM.get_record', snapshot),
      ];
      expect(copy).to.deep.include({
        name_label: 'tonight',
        power_state: 'Halted',
        is_a_template: true,
        is_a_snapshot: true,
        snapshot_of: web,
        children: [web],
        snapshot_info: { 'disk-snapshot-type': 'crash_consistent', 'power-state-at-snapshot': 'Running' },
        allowed_operations: ['destroy', 'metadata_export', 'export', 'revert', 'copy', 'clone'],
      });
      expect(source).to.deep.include({ parent: snapshot, snapshots: [snapshot] });
      const macs = (vifs: string[]): Promise<string[]> =>
        Promise.all(vifs.map((vif) => client.call<string>('VIF.get_MAC', vif)));
      expect(await macs(copy.VIFs)).to.deep.equal(await macs(source.VIFs));
      const [disk] = await disksOf(snapshot);
      expect(await client.call<Json>('VDI.get_record', disk)).to.deep.include({
        is_a_snapshot: true,
        snapshot_of: (await disksOf(web))[0],
      });
      const messages = Object.values(await client.call<Record<string, Json>>('message.get_all_records'));
      expect(messages.map(({ name, obj_uuid }) => [name, obj_uuid])).to.deep.equal([['VM_SNAPSHOTTED', source.uuid]]);
    });

    it('keeps its bytes when the guest writes on', async () => {
      const web = await named(client, 'VM', 'web-01');
      const [disk] = await disksOf(web);
      const before = pool.pool.contents.get(disk ?? '')?.read(0, 16);
      const snapshot = await client.call<string>('VM.snapshot', web, 'before');
      pool.writeGuest(await client.call('VDI.get_uuid', disk), 0, Buffer.from('written later!!!'));
      const [saved] = await disksOf(snapshot);
      expect(pool.pool.contents.get(saved ?? '')?.read(0, 16)).to.deep.equal(before);
      expect(
        pool.pool.contents
          .get(disk ?? '')
          ?.read(0, 16)
          .toString(),
      ).to.equal('written later!!!');
    });

    it('leaves out the disks it is told to ignore', async () => {
      const web = await named(client, 'VM', 'web-01');
      const [, data] = await disksOf(web);
      const snapshot = await client.call<string>('VM.snapshot', web, 'system only', [data]);
      expect(await disksOf(snapshot)).to.have.lengthOf(1);
    });

    it('is refused for templates, snapshots and blocked machines, in that wording', async () => {
      const gold = await named(client, 'VM', 'gold');
      expect(await client.error('VM.snapshot', gold, 'x')).to.deep.equal(['VM_IS_TEMPLATE', gold, 'snapshot']);
      const old = await named(client, 'VM', 'before the upgrade');
      expect(await client.error('VM.snapshot', old, 'x')).to.deep.equal(['VM_IS_SNAPSHOT', old, 'snapshot']);
      await client.call('VM.add_to_blocked_operations', gold, 'snapshot', 'hands off');
      expect(await client.error('VM.snapshot', gold, 'x')).to.deep.equal(['OPERATION_BLOCKED', gold, 'hands off']);
    });

    it('leaves nothing behind when a disk does not fit', async () => {
      const db = await named(client, 'VM', 'db-01');
      const [disk] = await disksOf(db);
      const sr = await client.call<string>('VDI.get_SR', disk);
      pool.pool.store.patch('SR', sr, { physical_size: pool.pool.store.get('SR', sr).physical_utilisation ?? 0 });
      const before = pool.snapshotState();
      expect((await client.error('VM.snapshot', db, 'x'))[0]).to.equal('SR_BACKEND_FAILURE_44');
      expect(pool.snapshotState()).to.deep.equal(before);
    });
  });

  describe('VM.destroy', () => {
    it('leaves the disks, and hands the children to the parent', async () => {
      const web = await named(client, 'VM', 'web-01');
      const first = await client.call<string>('VM.snapshot', web, 'first');
      const second = await client.call<string>('VM.snapshot', web, 'second');
      const disks = await disksOf(second);
      await client.call('VM.destroy', second);
      expect(await client.call('VM.get_parent', web)).to.equal(first);
      expect(await client.call('VDI.get_VBDs', disks[0])).to.deep.equal([]);
      await client.call('VDI.destroy', disks[0]);
      expect(pool.pool.contents.has(disks[0] ?? '')).to.equal(false);
    });

    it('needs a halted machine', async () => {
      const web = await named(client, 'VM', 'web-01');
      expect(await client.error('VM.destroy', web)).to.deep.equal([
        'VM_BAD_POWER_STATE',
        web,
        'halted, suspended',
        'running',
      ]);
    });
  });

  describe('power', () => {
    it('goes round: start, suspend, resume, reboot, shut down', async () => {
      const db = await named(client, 'VM', 'db-01');
      await client.call('VM.start', db, false, false);
      const hostOfDb = pool.hosts[1]?.uuid;
      const running = await client.call<Vm>('VM.get_record', db);
      expect(await client.call('host.get_uuid', running.resident_on)).to.equal(hostOfDb);
      expect(running.allowed_operations).to.include.members(['clean_shutdown', 'snapshot', 'checkpoint']);
      const [disk] = await disksOf(db);
      expect(await client.error('VDI.destroy', disk)).to.deep.equal(['VDI_IN_USE', disk, 'destroy']);
      await client.call('VM.suspend', db);
      const image = await client.call<string>('VM.get_suspend_VDI', db);
      await client.call('VM.resume', db, false, false);
      expect(await client.error('VDI.get_record', image)).to.deep.equal(['HANDLE_INVALID', 'VDI', image]);
      await client.call('VM.clean_reboot', db);
      await client.call('VM.clean_shutdown', db);
      expect(await client.call<Vm>('VM.get_record', db)).to.deep.include({ power_state: 'Halted', domid: -1 });
    });

    it('cannot be had where no host sees all disks', async () => {
      const db = await named(client, 'VM', 'db-01');
      const pbds = await client.call<string[]>('SR.get_PBDs', await named(client, 'SR', 'Local storage B'));
      await client.call('PBD.unplug', pbds[0]);
      expect(await client.error('VM.start', db, false, false)).to.deep.equal(['NO_HOSTS_AVAILABLE']);
    });
  });

  describe('VM.revert', () => {
    it('brings back the bytes under the same record', async () => {
      const vm = await named(client, 'VM', 'archive-01');
      const [disk] = await disksOf(vm);
      const original = pool.pool.contents.get(disk ?? '')?.read(0, 32);
      pool.writeGuest(await client.call('VDI.get_uuid', disk), 0, Buffer.alloc(32, 1));
      await client.call('VM.revert', await named(client, 'VM', 'before the upgrade'));
      const [restored] = await disksOf(vm);
      expect(pool.pool.contents.get(restored ?? '')?.read(0, 32)).to.deep.equal(original);
      expect(await client.error('VDI.get_record', disk)).to.deep.equal(['HANDLE_INVALID', 'VDI', disk]);
    });
  });

  describe('devices', () => {
    const qos = { qos_algorithm_type: '', qos_algorithm_params: {} };

    it('get a free position and a MAC address when asked to choose', async () => {
      const db = await named(client, 'VM', 'db-01');
      const network = await named(client, 'network', 'Backstage');
      const vif = await client.call<string>('VIF.create', {
        VM: db,
        network,
        device: 'autodetect',
        MAC: '',
        MTU: 1500,
        other_config: {},
        ...qos,
      });
      const record = await client.call<Json>('VIF.get_record', vif);
      expect(record).to.deep.include({ device: '1', MAC_autogenerated: true });
      expect(record.MAC).to.match(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
      expect(
        await client.error('VIF.create', {
          VM: db,
          network,
          device: '0',
          MAC: '',
          MTU: 1500,
          other_config: {},
          ...qos,
        }),
      ).to.deep.equal(['DEVICE_ALREADY_EXISTS', '0']);
    });

    it('move a disk from one machine to another', async () => {
      const db = await named(client, 'VM', 'db-01');
      const [disk] = await disksOf(db);
      const { VBDs } = await client.call<Vm>('VM.get_record', db);
      await client.call('VBD.destroy', VBDs[0]);
      const clone = await client.call<string>('VM.clone', db, 'db-02');
      await client.call('VBD.create', {
        VM: clone,
        VDI: disk,
        userdevice: '0',
        bootable: true,
        mode: 'RW',
        type: 'Disk',
        empty: false,
        other_config: {},
        ...qos,
      });
      expect(await disksOf(clone)).to.deep.equal([disk]);
    });
  });

  describe('VDI.list_changed_blocks', () => {
    it('marks the written 64 KiB between two snapshots, the first block in the highest bit', async () => {
      const [disk] = await disksOf(await named(client, 'VM', 'web-01'));
      await client.call('VDI.enable_cbt', disk);
      const from = await client.call<string>('VDI.snapshot', disk, {});
      pool.writeGuest(await client.call('VDI.get_uuid', disk), 9 * 65_536, Buffer.from('x'));
      const to = await client.call<string>('VDI.snapshot', disk, {});
      await client.call('VDI.data_destroy', from);
      const bitmap = Buffer.from(await client.call<string>('VDI.list_changed_blocks', from, to), 'base64');
      expect(bitmap).to.have.lengthOf((64 * 16) / 8);
      expect([...bitmap].flatMap((byte, index) => (byte === 0 ? [] : [[index, byte]]))).to.deep.equal([[1, 0x40]]);
      expect((await client.error('VDI.list_changed_blocks', from, from))[0]).to.equal('SR_BACKEND_FAILURE_460');
    });
  });
});
