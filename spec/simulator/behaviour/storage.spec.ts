import { expect } from 'chai';
import { GIB, MIB } from '../../../src/common/byte-size.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { PLAIN_DISK } from '../../support/new-records.js';
import { exchangeRaw, putRequest } from '../support/raw-exchange.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

const half = { kind: 'random' as const, seed: 1, fillPercent: 50 };
const DEFINITION = {
  name: 'pool',
  hosts: [{ name: 'one' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'thin', type: 'nfs' as const, sizeGiB: 1, isDefault: true },
    { name: 'stale', type: 'nfs' as const, sizeGiB: 1, isStale: true, foreignGiB: 0.5 },
    { name: 'thick', type: 'lvm' as const, sizeGiB: 1 },
    { name: 'chains', type: 'ext' as const, sizeGiB: 1, hasChains: true },
    { name: 'thick chains', type: 'lvm' as const, sizeGiB: 1, hasChains: true },
  ],
  vms: [
    {
      name: 'vm',
      disks: [
        { name: 'on thin', sizeMiB: 64, content: half },
        { name: 'on stale', sizeMiB: 64, storage: 'stale', content: half },
        { name: 'on thick', sizeMiB: 64, storage: 'thick', content: half },
        { name: 'on chains', sizeMiB: 64, storage: 'chains', content: half },
        { name: 'deep', sizeMiB: 64, storage: 'chains', content: half, chainDepth: 30 },
        { name: 'on thick chains', sizeMiB: 64, storage: 'thick chains', content: half },
      ],
    },
  ],
};

describe('storage', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let clock: ManualClock;

  beforeEach(async () => {
    clock = new ManualClock();
    ({ pool, client } = await startWithClient({ poolFile: DEFINITION, clock }));
  });
  afterEach(() => pool.close());

  const used = async (name: string): Promise<number> =>
    client.call<number>('SR.get_physical_utilisation', await named(client, 'SR', name));
  const disk = (name: string): Promise<string> => named(client, 'VDI', name);
  const bases = async (name: string): Promise<string[]> => {
    const records = await client.call<Record<string, Json>>('VDI.get_all_records');
    const sr = await named(client, 'SR', name);
    return Object.entries(records).flatMap(([ref, vdi]) => (vdi.SR === sr && vdi.managed === false ? [ref] : []));
  };
  const parent = async (vdi: string): Promise<string | undefined> =>
    (await client.call<Record<string, string>>('VDI.get_sm_config', vdi))['vhd-parent'];

  it('shows old numbers until it is scanned, where it is stale', async () => {
    expect(await used('stale')).to.equal(0);
    const sr = await named(client, 'SR', 'stale');
    await client.call('SR.scan', sr);
    expect(await used('stale')).to.equal(GIB / 2 + 32 * MIB);
    pool.setForeignUsage(await client.call('SR.get_uuid', sr), GIB);
    expect(await used('stale')).to.equal(GIB / 2 + 32 * MIB);
    expect(await client.error('VDI.snapshot', await disk('on stale'))).to.deep.equal([
      'SR_BACKEND_FAILURE_44',
      '',
      'There is insufficient space',
      '',
    ]);
    await client.call('SR.update', sr);
    expect(await used('stale')).to.equal(GIB + 32 * MIB);
  });

  it('costs a snapshot on thick storage what was written', async () => {
    const before = await used('thick');
    expect(before).to.equal(64 * MIB);
    const snapshot = await client.call<string>('VDI.snapshot', await disk('on thick'));
    expect(await used('thick')).to.equal(before + 32 * MIB);
    await client.call('SR.scan', await named(client, 'SR', 'thick'));
    expect(await used('thick')).to.equal(before + 32 * MIB);
    await client.call('VDI.destroy', snapshot);
    expect(await used('thick')).to.equal(before);
  });

  it('fails a writer when thin storage fills up', async () => {
    const vdi = await disk('on thin');
    const room = GIB - (await used('thin'));
    pool.setForeignUsage(await client.call('SR.get_uuid', await named(client, 'SR', 'thin')), room - MIB);
    const uuid = await client.call<string>('VDI.get_uuid', vdi);
    expect(() => {
      pool.writeGuest(uuid, 0, Buffer.alloc(64 * MIB, 7));
    }).to.throw('VDI_IO_ERROR');
    const empty = await client
      .call<string>('VDI.create', {
        SR: await named(client, 'SR', 'thin'),
        virtual_size: 8 * MIB,
        ...PLAIN_DISK,
      })
      .catch((error: unknown) => String(error));
    expect(empty).to.include('SR_BACKEND_FAILURE_44');
  });

  it('fails an upload when thin storage fills up', async () => {
    const vdi = await disk('on thin');
    const sr = await client.call<string>('SR.get_uuid', await named(client, 'SR', 'thin'));
    pool.setForeignUsage(sr, GIB - 32 * MIB - MIB);
    const task = await client.call<string>('task.create', 'upload', '');
    const path = `/import_raw_vdi?session_id=${client.session}&task_id=${task}&vdi=${vdi}`;
    const upload = exchangeRaw(pool.httpUrl, putRequest(path, Buffer.alloc(8 * MIB, 7))).catch(() => undefined);
    expect((await client.taskEnd(task)).error_info).to.deep.equal(['VDI_IO_ERROR', 'Device I/O errors']);
    await upload;
  });

  it('leaves a base copy behind a snapshot, which is coalesced when the snapshot is gone a while', async () => {
    const vdi = await disk('on chains');
    const snapshot = await client.call<string>('VDI.snapshot', vdi);
    const base = await parent(vdi);
    expect(base)
      .to.be.a('string')
      .and.equal(await parent(snapshot));
    const ref = await client.call<string>('VDI.get_by_uuid', base);
    expect(await client.call<Json>('VDI.get_record', ref)).to.deep.include({
      name_label: 'base copy',
      managed: false,
      physical_utilisation: 32 * MIB,
      allowed_operations: [],
    });
    expect(await client.call('VDI.get_physical_utilisation', vdi)).to.equal(0);
    for (const method of ['VDI.destroy', 'VDI.snapshot', 'VDI.clone']) {
      expect(await client.error(method, ref)).to.deep.equal(['VDI_NOT_MANAGED', ref]);
    }
    const before = await bases('chains');
    await client.call('VDI.destroy', snapshot);
    expect(await bases('chains')).to.deep.equal(before);
    await clock.advance(pool.timings.coalesceDelayMs);
    expect(await bases('chains')).to.deep.equal([]);
    expect(await parent(vdi)).to.equal(undefined);
    expect(await client.call('VDI.get_physical_utilisation', vdi)).to.equal(32 * MIB);
  });

  it('refuses a snapshot of a chain of 30 images, until it is coalesced', async () => {
    const deep = await disk('deep');
    expect(await client.error('VDI.snapshot', deep)).to.deep.equal([
      'SR_BACKEND_FAILURE_109',
      '',
      'The snapshot chain is too long',
      '',
    ]);
    const other = await client.call<string>('VDI.snapshot', await disk('on chains'));
    await client.call('VDI.destroy', other);
    await clock.advance(pool.timings.coalesceDelayMs);
    expect(await client.call('VDI.snapshot', deep)).to.match(/^OpaqueRef:/);
  });

  it('keeps the whole disk in the leaf on thick storage, and what was written in the base', async () => {
    const snapshot = await client.call<string>('VDI.snapshot', await disk('on thick chains'));
    const base = await client.call<string>('VDI.get_by_uuid', await parent(snapshot));
    expect(await client.call('VDI.get_physical_utilisation', snapshot)).to.equal(4 * MIB);
    expect(await client.call('VDI.get_physical_utilisation', base)).to.equal(32 * MIB);
    expect(await used('thick chains')).to.equal((64 + 32 + 4) * MIB);
  });
});
