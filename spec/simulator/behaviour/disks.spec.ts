import { expect } from 'chai';
import { GIB, MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { PLAIN_DISK } from '../../support/new-records.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

const NULL_REF = 'OpaqueRef:NULL';
const DEFINITION = {
  name: 'disks',
  hosts: [{ name: 'one' }, { name: 'two' }],
  storage: [
    { name: 'shared', type: 'nfs' as const, isDefault: true },
    { name: 'small', type: 'ext' as const, host: 'two', sizeGiB: 0.25 },
    { name: 'thick', type: 'lvm' as const, sizeGiB: 1 },
    { name: 'images', type: 'iso' as const, images: [{ name: 'image.iso', sizeMiB: 1 }] },
    { name: 'devices', type: 'udev' as const, host: 'one' },
  ],
  vms: [
    {
      name: 'halted',
      disks: [
        { name: 'disk', sizeMiB: 512, content: { kind: 'random' as const, seed: 1 }, tags: ['kept'] },
        { name: 'little', sizeMiB: 16, content: { kind: 'text' as const, seed: 2 } },
        { name: 'on thick', sizeMiB: 512, storage: 'thick' },
        { name: 'stick', sizeMiB: 8, storage: 'devices' },
      ],
    },
    { name: 'running', powerState: 'Running' as const, disks: [{ name: 'live', sizeMiB: 8 }] },
  ],
};

describe('disks', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let clock: ManualClock;

  beforeEach(async () => {
    clock = new ManualClock();
    ({ pool, client } = await startWithClient({ poolFile: DEFINITION, clock }));
  });
  afterEach(() => pool.close());

  const disk = (name: string): Promise<string> => named(client, 'VDI', name);
  const storage = (name: string): Promise<string> => named(client, 'SR', name);
  const bytesOf = (vdi: string): Buffer => contentOf(pool.pool, vdi).read(0, contentOf(pool.pool, vdi).sizeBytes);
  const newDisk = async (sizeMiB: number, sr = 'shared', more: Json = {}): Promise<string> =>
    client.call('VDI.create', {
      SR: await storage(sr),
      virtual_size: sizeMiB * MIB,
      ...PLAIN_DISK,
      ...more,
    });

  describe('VDI.copy', () => {
    it('makes a disk with the same bytes and settings on other storage, seen by another host only', async () => {
      const vdi = await disk('little');
      const copy = await client.call<string>('VDI.copy', vdi, await storage('small'));
      expect(bytesOf(copy).equals(bytesOf(vdi))).to.equal(true);
      expect(await client.call('VDI.get_record', copy)).to.deep.include({
        name_label: 'little',
        SR: await storage('small'),
        virtual_size: 16 * MIB,
        is_a_snapshot: false,
        sm_config: {},
        physical_utilisation: 16 * MIB,
      });
      pool.writeGuest(await client.call('VDI.get_uuid', vdi), 0, Buffer.from('written later'));
      expect(bytesOf(copy).equals(bytesOf(vdi))).to.equal(false);
    });

    it('takes time, has the disks attached, tells its progress, and names the copy in the result', async () => {
      pool.timings.copyMsPerGiB = 100_000;
      const vdi = await disk('disk');
      const task = await client.call<string>('Async.VDI.copy', vdi, await storage('shared'), NULL_REF, NULL_REF);
      await clock.advance(25_000);
      const record = await client.call<Json>('task.get_record', task);
      expect(record.status).to.equal('pending');
      expect(record.progress).to.be.within(0.4, 0.6);
      expect(await client.call('VDI.get_current_operations', vdi)).to.deep.equal({ [task]: 'copy' });
      expect(await client.error('VDI.destroy', vdi)).to.deep.equal(['VDI_IN_USE', vdi, 'destroy']);
      expect(await client.error('VDI.resize', vdi, GIB)).to.deep.equal(['VDI_IN_USE', vdi, 'resize']);
      expect(await client.error('VDI.snapshot', vdi)).to.deep.equal([
        'OPERATION_NOT_ALLOWED',
        'Snapshot operation not allowed during copy.',
      ]);
      await clock.advance(26_000);
      const { status, result } = await client.taskEnd(task);
      expect(status).to.equal('success');
      const copy = /<value>(.*)<\/value>/.exec(String(result))?.[1] ?? '';
      expect(await client.call('VDI.get_tags', copy)).to.deep.equal(['kept']);
      for (const one of [vdi, copy]) {
        const vbds = await client.call<string[]>('VDI.get_VBDs', one);
        const attached = await Promise.all(vbds.map((vbd) => client.call('VBD.get_currently_attached', vbd)));
        expect(attached).not.to.include(true);
      }
    });

    it('leaves nothing behind when it is cancelled', async () => {
      pool.timings.copyMsPerGiB = 100_000;
      const before = pool.snapshotState({ withoutClasses: ['VBD_metrics'] });
      const task = await client.call<string>('Async.VDI.copy', await disk('disk'), await storage('shared'));
      await clock.advance(5000);
      await client.call('task.cancel', task);
      expect((await client.taskEnd(task)).status).to.equal('cancelled');
      expect(pool.snapshotState({ withoutClasses: ['VBD_metrics'] })).to.deep.equal(before);
    });

    it('fails and cleans up when thin storage fills up, and at once on thick storage', async () => {
      const before = pool.snapshotState();
      expect(await client.error('VDI.copy', await disk('disk'), await storage('small'))).to.deep.equal([
        'VDI_IO_ERROR',
        'Device I/O error',
      ]);
      pool.setForeignUsage(await client.call('SR.get_uuid', await storage('thick')), GIB / 2);
      const [code] = await client.error('VDI.copy', await disk('disk'), await storage('thick'));
      expect(code).to.equal('SR_BACKEND_FAILURE_44');
      expect(pool.snapshotState()).to.deep.equal(before);
    });

    it('writes into a disk that is there, which keeps its size and what lies beyond', async () => {
      const vdi = await disk('little');
      const target = await newDisk(32);
      pool.writeGuest(await client.call('VDI.get_uuid', target), 20 * MIB, Buffer.from('stays'));
      expect(await client.call('VDI.copy', vdi, NULL_REF, NULL_REF, target)).to.equal(target);
      expect(
        bytesOf(target)
          .subarray(0, 16 * MIB)
          .equals(bytesOf(vdi)),
      ).to.equal(true);
      expect(bytesOf(target).toString('latin1', 20 * MIB, 20 * MIB + 5)).to.equal('stays');
      expect(await client.call('VDI.get_virtual_size', target)).to.equal(32 * MIB);
    });

    it('copies only what changed since a base', async () => {
      const vdi = await disk('little');
      const base = await client.call<string>('VDI.snapshot', vdi);
      pool.writeGuest(await client.call('VDI.get_uuid', vdi), 5 * MIB, Buffer.from('changed'));
      const copy = await client.call<string>('VDI.copy', vdi, await storage('shared'), base, NULL_REF);
      const expected = Buffer.alloc(16 * MIB);
      bytesOf(vdi).copy(expected, 4 * MIB, 4 * MIB, 6 * MIB);
      expect(bytesOf(copy).equals(expected)).to.equal(true);
    });

    it('refuses what does not fit, cannot be written, or is written to', async () => {
      const vdi = await disk('little');
      const small = await newDisk(8);
      const locked = await newDisk(16, 'shared', { read_only: true });
      const live = await disk('live');
      const error = (source: string, into: string): Promise<readonly string[]> =>
        client.error('VDI.copy', source, NULL_REF, NULL_REF, into);
      expect(await error(vdi, small)).to.deep.equal(['VDI_TOO_SMALL', small, String(16 * MIB)]);
      expect(await error(vdi, locked)).to.deep.equal(['VDI_READONLY', locked]);
      expect(await error(live, small)).to.deep.equal(['VDI_IN_USE', live, 'copy']);
      expect(await error(small, live)).to.deep.equal(['VDI_IN_USE', live, 'attach']);
      const images = await storage('images');
      expect(await client.error('VDI.copy', vdi, images)).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED', images]);
    });
  });

  describe('storage that keeps no images of its own', () => {
    it('refuses snapshots, of disks and of the VMs that have one there', async () => {
      const stick = await disk('stick');
      const devices = await storage('devices');
      for (const method of ['VDI.snapshot', 'VDI.clone', 'VDI.destroy']) {
        expect(await client.error(method, stick), method).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED', devices]);
      }
      const before = pool.snapshotState();
      const vm = await named(client, 'VM', 'halted');
      expect(await client.error('VM.snapshot', vm, 'snap')).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED', devices]);
      expect(pool.snapshotState()).to.deep.equal(before);
    });
  });

  describe('VDI.resize', () => {
    it('needs room for the rest of the disk on thick storage, and a disk that nobody has', async () => {
      const vdi = await disk('on thick');
      const [code] = await client.error('VDI.resize', vdi, 2 * GIB);
      expect(code).to.equal('SR_BACKEND_FAILURE_44');
      await client.call('VDI.resize', vdi, 600 * MIB);
      expect(await client.call('VDI.get_physical_utilisation', vdi)).to.equal(600 * MIB);
      const live = await disk('live');
      expect(await client.error('VDI.resize', live, GIB)).to.deep.equal(['VDI_IN_USE', live, 'resize']);
    });
  });

  describe('VDI.pool_migrate', () => {
    it('refuses a disk without a VM, and one whose changes are tracked', async () => {
      const lonely = await newDisk(1);
      const thick = await storage('thick');
      expect(await client.error('VDI.pool_migrate', lonely, thick, {})).to.deep.equal([
        'VDI_NEEDS_VM_FOR_MIGRATE',
        lonely,
      ]);
      const live = await disk('live');
      await client.call('VDI.enable_cbt', live);
      expect(await client.error('VDI.pool_migrate', live, thick, {})).to.deep.equal(['VDI_CBT_ENABLED', live]);
    });

    it('gives the VM another disk with the same bytes on the other storage', async () => {
      const live = await disk('live');
      const [vbd] = await client.call<string[]>('VDI.get_VBDs', live);
      const bytes = bytesOf(live);
      const moved = await client.call<string>('VDI.pool_migrate', live, await storage('thick'), {});
      expect(await client.call('VBD.get_VDI', vbd)).to.equal(moved);
      expect(await client.error('VDI.get_record', live)).to.deep.equal(['HANDLE_INVALID', 'VDI', live]);
      expect(bytesOf(moved).equals(bytes)).to.equal(true);
    });
  });

  it('names the work that keeps a disk busy since XAPI 25.27', async () => {
    for (const release of ['8.3', '9.0']) {
      const other = await startWithClient({ poolFile: DEFINITION, clock, release });
      try {
        const vdi = await named(other.client, 'VDI', 'little');
        other.pool.pool.store.patch('VDI', vdi, { current_operations: { 'OpaqueRef:task': 'snapshot' } });
        expect(await other.client.error('VDI.destroy', vdi)).to.deep.equal([
          'OTHER_OPERATION_IN_PROGRESS',
          'VDI',
          vdi,
          ...(release === '9.0' ? ['snapshot', 'OpaqueRef:task'] : []),
        ]);
      } finally {
        await other.pool.close();
      }
    }
  });
});
