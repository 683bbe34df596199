import { expect } from 'chai';
import { GIB, MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { PLAIN_DISK, PLAIN_DRIVE } from '../../support/new-records.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

const NULL_REF = 'OpaqueRef:NULL';
const DEFINITION = {
  name: 'reverting',
  hosts: [{ name: 'one' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'thick', type: 'lvm' as const, isDefault: true, sizeGiB: 1 }],
  vms: [
    {
      name: 'vm',
      memoryMiB: 8,
      powerState: 'Running' as const,
      description: 'as it was',
      tags: ['then'],
      disks: [{ name: 'disk', sizeMiB: 64, content: { kind: 'random' as const, seed: 1 } }],
      interfaces: [{ network: 'net0', mac: '02:00:00:00:00:01' }],
      guest: { os: 'Linux' },
      vtpm: { contents: 'AAAA' },
    },
  ],
};

/** xapi_vm_snapshot.ml of XAPI 24.19.2. */
describe('VM.revert', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let vm: string;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({ poolFile: DEFINITION }));
    vm = await named(client, 'VM', 'vm');
  });
  afterEach(() => pool.close());

  const recordOf = (cls: string, ref: string): Promise<Json> => client.call(`${cls}.get_record`, ref);
  const disksOf = async (machine: string): Promise<string[]> => {
    const vbds = await client.call<string[]>('VM.get_VBDs', machine);
    return Promise.all(vbds.map((vbd) => client.call<string>('VBD.get_VDI', vbd)));
  };

  it('makes all snapshots of the old disk snapshots of the new one', async () => {
    const [first, second] = [
      await client.call<string>('VM.snapshot', vm, 'first'),
      await client.call<string>('VM.snapshot', vm, 'second'),
    ];
    const [old] = await disksOf(vm);
    await client.call('VM.revert', first);
    const [disk = ''] = await disksOf(vm);
    const snapshots = [...(await disksOf(first)), ...(await disksOf(second))];
    expect(disk).not.to.equal(old);
    expect(await client.error('VDI.get_record', old)).to.deep.equal(['HANDLE_INVALID', 'VDI', old]);
    for (const snapshot of snapshots) expect(await client.call('VDI.get_snapshot_of', snapshot)).to.equal(disk);
    expect((await client.call<string[]>('VDI.get_snapshots', disk)).sort()).to.deep.equal(snapshots.sort());
  });

  it('leaves disks that the snapshot does not have, attached to nothing', async () => {
    const snapshot = await client.call<string>('VM.snapshot', vm, 'before');
    const sr = await named(client, 'SR', 'thick');
    const later = await client.call<string>('VDI.create', {
      SR: sr,
      virtual_size: MIB,
      ...PLAIN_DISK,
    });
    await client.call('VBD.create', {
      VM: vm,
      VDI: later,
      userdevice: '1',
      ...PLAIN_DRIVE,
    });
    await client.call('VM.revert', snapshot);
    expect(await client.call('VDI.get_VBDs', later)).to.deep.equal([]);
    expect(await disksOf(vm)).to.have.lengthOf(1);
  });

  it('brings back names and settings, but not tags, and says so in a message', async () => {
    const snapshot = await client.call<string>('VM.snapshot', vm, "a 'quoted' \\ name");
    const before = await recordOf('VM', vm);
    await client.call('VM.set_name_label', vm, 'other');
    await client.call('VM.set_name_description', vm, 'other');
    await client.call('VM.set_tags', vm, ['now']);
    await client.call('VM.set_blocked_operations', vm, { clone: 'no' });
    await client.call('VM.add_to_other_config', vm, 'key', 'value');
    await client.call('VM.revert', snapshot);
    const after = await recordOf('VM', vm);
    for (const field of ['name_label', 'name_description', 'blocked_operations', 'other_config', 'platform', 'order']) {
      expect(after[field], field).to.deep.equal(before[field]);
    }
    expect(after).to.deep.include({ tags: ['now'], parent: snapshot, power_state: 'Halted', is_a_snapshot: false });
    expect(after.generation_id).not.to.equal(before.generation_id);
    const messages = Object.values(await client.call<Record<string, Json>>('message.get_all_records'));
    const body = `VM 'vm' (uuid: ${String(after.uuid)}) reverted to snapshot: a 'quoted' \\ name (uuid ${await client.call<string>('VM.get_uuid', snapshot)})`;
    expect(messages.find(({ name }) => name === 'VM_SNAPSHOT_REVERTED')?.body).to.equal(body);
  });

  it('leaves a machine suspended whose memory was kept, with an image of its own', async () => {
    const checkpoint = await client.call<string>('VM.checkpoint', vm, 'with memory');
    await client.call('VM.revert', checkpoint);
    const [image, kept] = await Promise.all(
      [vm, checkpoint].map((machine) => client.call<string>('VM.get_suspend_VDI', machine)),
    );
    expect(await client.call('VM.get_power_state', vm)).to.equal('Suspended');
    expect([image, kept]).not.to.include(NULL_REF);
    expect(image).not.to.equal(kept);
    await client.call('VM.resume', vm, false, false);
    expect(await client.error('VDI.get_record', image)).to.deep.equal(['HANDLE_INVALID', 'VDI', image]);
    expect((await recordOf('VDI', kept ?? '')).type).to.equal('suspend');
  });

  it('gives the TPM back as it was', async () => {
    const snapshot = await client.call<string>('VM.snapshot', vm, 'before');
    const [tpm = ''] = await client.call<string[]>('VM.get_VTPMs', vm);
    await client.call('VTPM.set_contents', tpm, 'BBBB');
    await client.call('VM.revert', snapshot);
    const [restored] = await client.call<string[]>('VM.get_VTPMs', vm);
    expect(restored).not.to.equal(tpm);
    expect(await client.call('VTPM.get_contents', restored)).to.equal('AAAA');
  });

  it('brings back a machine that is gone, under its uuid and with its other snapshots', async () => {
    const [first, second] = [
      await client.call<string>('VM.snapshot', vm, 'first'),
      await client.call<string>('VM.snapshot', vm, 'second'),
    ];
    const uuid = await client.call<string>('VM.get_uuid', vm);
    await client.call('VM.hard_shutdown', vm);
    await client.call('VM.destroy', vm);
    await client.call('VM.revert', first);
    const back = await client.call<string>('VM.get_by_uuid', uuid);
    const record = await recordOf('VM', back);
    expect(record).to.deep.include({ name_label: 'vm', is_a_template: false, is_a_snapshot: false, parent: first });
    expect(record.VIFs).to.have.lengthOf(1);
    expect(await client.call('VM.get_snapshot_of', second)).to.equal(back);
    const [disk = ''] = await disksOf(back);
    const [kept = ''] = await disksOf(first);
    const [bytes, expected] = [disk, kept].map((vdi) => contentOf(pool.pool, vdi).read(0, 64 * MIB));
    expect(expected !== undefined && bytes?.equals(expected)).to.equal(true);
  });

  it('has no disk any more when there is no room for the new one', async () => {
    const snapshot = await client.call<string>('VM.snapshot', vm, 'before');
    pool.setForeignUsage(await client.call('SR.get_uuid', await named(client, 'SR', 'thick')), GIB);
    expect((await client.error('VM.revert', snapshot))[0]).to.equal('SR_BACKEND_FAILURE_44');
    expect(await recordOf('VM', vm)).to.deep.include({ VBDs: [], power_state: 'Halted' });
  });

  it('fails for what is no snapshot', async () => {
    expect(await client.error('VM.revert', vm)).to.deep.equal(['VM_REVERT_FAILED', vm, NULL_REF]);
  });
});
