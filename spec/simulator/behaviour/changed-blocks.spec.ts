import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { breakLog, leaveLogsOpen, loseTracking } from '../../../src/simulator/behaviour/change-logs.js';
import { type PoolDefinition, type RunningPool } from '../../../src/simulator/index.js';
import { PLAIN_DISK, PLAIN_DRIVE } from '../../support/new-records.js';
import { named, startWithClient, type RpcClient } from '../support/rpc-client.js';

const UNIT = 65_536;
const DISK: PoolDefinition = {
  name: 'changes',
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'NFS', type: 'nfs', isDefault: true },
    { name: 'LVM', type: 'lvm' },
  ],
  vms: [
    { name: 'halted', disks: [{ name: 'data', sizeMiB: 2, content: { kind: 'random' } }] },
    { name: 'running', powerState: 'Running', disks: [{ name: 'live', sizeMiB: 2 }] },
    { name: 'thick', disks: [{ name: 'block', sizeMiB: 8, storage: 'LVM', content: { kind: 'random' } }] },
    { name: 'reset', disks: [{ name: 'reset', sizeMiB: 1, onBoot: 'reset' }] },
  ],
};

describe('changed-block tracking', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let disk: string;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({ poolFile: DISK }));
    disk = await named(client, 'VDI', 'data');
  });

  afterEach(() => pool.close());

  const write = async (unit: number, vdi = disk, text = 'x'): Promise<void> => {
    pool.writeGuest(await client.call<string>('VDI.get_uuid', vdi), unit * UNIT, Buffer.from(text));
  };
  const snapshot = (vdi = disk): Promise<string> => client.call<string>('VDI.snapshot', vdi, {});
  /** The numbers of the 64 KiB pieces that are marked. */
  const changed = async (from: string, to: string): Promise<readonly number[]> => {
    const bitmap = Buffer.from(await client.call<string>('VDI.list_changed_blocks', from, to), 'base64');
    return [...Array(bitmap.length * 8).keys()].filter(
      (unit) => ((bitmap[unit >> 3] ?? 0) & (0x80 >> (unit & 7))) !== 0,
    );
  };
  const unrelated = async (from: string, to: string): Promise<void> => {
    const text = 'Failed to calculate changed blocks for given VDIs. [opterr=Source and target VDI are unrelated]';
    expect(await client.error('VDI.list_changed_blocks', from, to)).to.deep.equal([
      'SR_BACKEND_FAILURE_460',
      '',
      text,
      '',
    ]);
  };

  describe('VDI.enable_cbt', () => {
    it('is refused for what cannot be tracked, and without a licence last of all', async () => {
      const fixed = await snapshot();
      expect(await client.error('VDI.enable_cbt', fixed)).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        `VDI is a snapshot: ${fixed}`,
      ]);
      expect(await client.error('VDI.enable_cbt', await named(client, 'VDI', 'reset'))).to.deep.equal([
        'VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION',
      ]);
      const suspend = await client.call<string>('VDI.create', {
        SR: await named(client, 'SR', 'NFS'),
        virtual_size: MIB,
        ...PLAIN_DISK,
        type: 'suspend',
        name_label: 'memory',
      });
      expect(await client.error('VDI.enable_cbt', suspend)).to.deep.equal([
        'VDI_INCOMPATIBLE_TYPE',
        suspend,
        'Suspend',
      ]);
      pool.pool.store.patch('pool', pool.pool.poolEntry[0], { restrictions: { restrict_cbt: 'true' } });
      expect((await client.error('VDI.enable_cbt', fixed))[0]).to.equal('OPERATION_NOT_ALLOWED');
      expect(await client.error('VDI.enable_cbt', disk)).to.deep.equal(['LICENCE_RESTRICTION', 'CBT']);
    });

    it('is refused where the storage cannot', async () => {
      const [driver] = pool.pool.store.all('SM').find(([, record]) => record.type === 'nfs') ?? [''];
      pool.pool.store.patch('SM', driver, { features: { VDI_SNAPSHOT: 1 } });
      const sr = await named(client, 'SR', 'NFS');
      expect(await client.error('VDI.enable_cbt', disk)).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED', sr]);
      expect(await client.error('VDI.disable_cbt', disk)).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED', sr]);
    });

    it('begins no new log when it is asked twice', async () => {
      await client.call('VDI.enable_cbt', disk);
      const first = await snapshot();
      await write(3);
      await client.call('VDI.enable_cbt', disk);
      expect(await changed(first, await snapshot())).to.deep.equal([3]);
    });

    it('makes snapshots that are tracked, and a disk that cannot be set to reset', async () => {
      const before = await snapshot();
      await client.call('VDI.enable_cbt', disk);
      const after = await snapshot();
      expect(await client.call('VDI.get_cbt_enabled', before)).to.equal(false);
      expect(await client.call('VDI.get_cbt_enabled', after)).to.equal(true);
      expect(await client.error('VDI.set_on_boot', disk, 'reset')).to.deep.equal(['VDI_CBT_ENABLED', disk]);
      await unrelated(before, after);
    });
  });

  describe('VDI.list_changed_blocks', () => {
    let first: string;

    beforeEach(async () => {
      await client.call('VDI.enable_cbt', disk);
      await write(1);
      first = await snapshot();
    });

    it('tells what was written in between, not what is different', async () => {
      const same = pool.pool.contents
        .get(disk)!
        .read(5 * UNIT, 512)
        .toString('latin1');
      pool.writeGuest(await client.call('VDI.get_uuid', disk), 5 * UNIT, Buffer.from(same, 'latin1'));
      await write(9);
      const second = await snapshot();
      await write(11);
      expect(await changed(first, second)).to.deep.equal([5, 9]);
      expect(await changed(first, disk)).to.deep.equal([5, 9, 11]);
    });

    it('joins all that lies between, even when what lay there is destroyed', async () => {
      await write(2);
      const second = await snapshot();
      await write(4);
      const third = await snapshot();
      await write(6);
      const fourth = await snapshot();
      expect(await changed(first, fourth)).to.deep.equal([2, 4, 6]);
      await client.call('VDI.data_destroy', second);
      await client.call('VDI.destroy', second);
      await client.call('VDI.destroy', third);
      expect(await changed(first, fourth)).to.deep.equal([2, 4, 6]);
      await client.call('VDI.destroy', first);
      await write(8);
      expect(await changed(fourth, disk)).to.deep.equal([8]);
    });

    it('goes from old to new only, and between two', async () => {
      const second = await snapshot();
      await unrelated(second, first);
      expect(await client.error('VDI.list_changed_blocks', first, first)).to.deep.equal([
        'SR_BACKEND_FAILURE_460',
        '',
        'Failed to calculate changed blocks for given VDIs. [opterr=Source and target VDI are same]',
        '',
      ]);
      await unrelated(first, await client.call<string>('VDI.copy', second, await named(client, 'SR', 'LVM')));
    });

    it('begins anew when tracking was off, while the old snapshots stay comparable', async () => {
      await write(2);
      const second = await snapshot();
      await client.call('VDI.disable_cbt', disk);
      await client.call('VDI.enable_cbt', disk);
      const third = await snapshot();
      expect(await changed(first, second)).to.deep.equal([2]);
      await unrelated(second, third);
    });

    it('has as many bits as the newer disk, and what was added is unwritten', async () => {
      await client.call('VDI.resize', disk, 3 * MIB);
      await write(40);
      const second = await snapshot();
      const bitmap = Buffer.from(await client.call<string>('VDI.list_changed_blocks', first, second), 'base64');
      expect(bitmap).to.have.lengthOf(6);
      expect(await changed(first, second)).to.deep.equal([40]);
    });

    it('marks all of a disk that another was copied over', async () => {
      const other = await client.call<string>('VDI.clone', disk, {});
      await client.call('VDI.copy', other, 'OpaqueRef:NULL', 'OpaqueRef:NULL', disk);
      expect(await changed(first, await snapshot())).to.have.lengthOf(32);
    });

    it('is VDI_IN_USE for a disk that a machine uses', async () => {
      const live = await named(client, 'VDI', 'live');
      await client.call('VDI.enable_cbt', live);
      const fixed = await snapshot(live);
      expect(await client.error('VDI.list_changed_blocks', fixed, live)).to.deep.equal([
        'VDI_IN_USE',
        live,
        'list_changed_blocks',
      ]);
    });

    it('fails over a log that makes no sense', async () => {
      const second = await snapshot();
      breakLog(pool.pool, second);
      expect((await client.error('VDI.list_changed_blocks', first, second))[0]).to.equal('SR_BACKEND_FAILURE_459');
    });
  });

  describe('VDI.data_destroy', () => {
    it('leaves the changes and drops the bytes', async () => {
      await client.call('VDI.enable_cbt', disk);
      const first = await snapshot();
      await write(7);
      const second = await snapshot();
      await client.call('VDI.data_destroy', first);
      await client.call('VDI.data_destroy', first);
      expect(pool.pool.contents.has(first)).to.equal(false);
      expect(await client.call('VDI.get_record', first)).to.include({ type: 'cbt_metadata', physical_utilisation: 0 });
      expect(await changed(first, second)).to.deep.equal([7]);
      for (const [call, ...args] of [
        ['VDI.snapshot', {}],
        ['VDI.clone', {}],
        ['VDI.resize', 3 * MIB],
      ] as const) {
        expect(await client.error(call, first, ...args)).to.deep.equal([
          'VDI_INCOMPATIBLE_TYPE',
          first,
          'CBT metadata',
        ]);
      }
      const vbd = {
        VM: await named(client, 'VM', 'halted'),
        VDI: first,
        userdevice: 'autodetect',
        ...PLAIN_DRIVE,
        mode: 'RO',
      };
      expect((await client.error('VBD.create', vbd))[0]).to.equal('VDI_INCOMPATIBLE_TYPE');
      await client.call('VDI.destroy', first);
    });

    it('takes one extent on block storage', async () => {
      const block = await named(client, 'VDI', 'block');
      await client.call('VDI.enable_cbt', block);
      const fixed = await snapshot(block);
      expect(await client.call('VDI.get_physical_utilisation', fixed)).to.equal(8 * MIB);
      await client.call('VDI.data_destroy', fixed);
      expect(await client.call('VDI.get_physical_utilisation', fixed)).to.equal(4 * MIB);
    });

    it('needs a snapshot that is tracked', async () => {
      expect(await client.error('VDI.data_destroy', disk)).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        `VDI is not a snapshot: ${disk}`,
      ]);
      const untracked = await snapshot();
      expect(await client.error('VDI.data_destroy', untracked)).to.deep.equal(['VDI_NO_CBT_METADATA', untracked]);
    });

    it('waits for the VBDs to go, and gives up when they stay', async () => {
      pool.timings.dataDestroyWaitMs = 5;
      await client.call('VDI.enable_cbt', disk);
      const machine = await client.call<string>('VM.snapshot', await named(client, 'VM', 'halted'), 'fixed');
      const [vbd] = await client.call<string[]>('VM.get_VBDs', machine);
      const fixed = await client.call<string>('VBD.get_VDI', vbd);
      expect(await client.error('VDI.data_destroy', fixed)).to.deep.equal(['VDI_IN_USE', fixed, 'data_destroy']);
      expect(await client.call('VDI.get_type', fixed)).to.equal('system');
      pool.timings.dataDestroyWaitMs = 60_000;
      const destroyed = client.call('VDI.data_destroy', fixed);
      await client.call('VM.destroy', machine);
      await destroyed;
      expect(await client.call('VDI.get_type', fixed)).to.equal('cbt_metadata');
    });
  });

  describe('losing track', () => {
    it('happens when the disk is attached again after its host died, and says so', async () => {
      const live = await named(client, 'VDI', 'live');
      await client.call('VDI.enable_cbt', live);
      const vm = await named(client, 'VM', 'running');
      const fixed = await snapshot(live);
      leaveLogsOpen(pool.pool, await named(client, 'host', 'host-a'));
      await client.call('VM.power_state_reset', vm);
      expect(await client.call('VDI.get_cbt_enabled', live)).to.equal(true);
      await client.call('VM.start', vm, false, false);
      expect(await client.call('VDI.get_cbt_enabled', live)).to.equal(false);
      const messages = Object.values(await client.call<Record<string, object>>('message.get_all_records'));
      const uuid = await client.call<string>('VDI.get_uuid', live);
      expect(messages.find((message) => 'cls' in message && message.cls === 'VDI')).to.include({
        name: 'VDI_CBT_METADATA_INCONSISTENT',
        priority: 3,
        obj_uuid: uuid,
        body: `Changed Block Tracking metadata is inconsistent for disk ${uuid}.`,
      });
      await client.call('VDI.enable_cbt', live);
      await unrelated(fixed, await snapshot(live));
    });

    it('can be had at any time', async () => {
      await client.call('VDI.enable_cbt', disk);
      loseTracking(pool.pool, disk, 'VDI_CBT_SNAPSHOT_FAILED');
      loseTracking(pool.pool, disk, 'VDI_CBT_SNAPSHOT_FAILED');
      expect(await client.call('VDI.get_cbt_enabled', disk)).to.equal(false);
      expect(await client.call<string[]>('message.get_all')).to.have.lengthOf(1);
    });
  });
});
