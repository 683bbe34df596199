import { expect } from 'chai';
import { type SavesetRecord } from '../../src/contract/index.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { onCall, recordCalls } from './support/pool-calls.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

type Vm = NonNullable<PoolDefinition['vms']>[number];

const vm = (name: string, storage: string, fields: object = {}): Vm => ({
  name,
  powerState: 'Running',
  memoryMiB: 64,
  disks: [{ name: `${name} disk`, sizeMiB: 64, storage, content: { kind: 'zero' }, ...fields }],
  guest: { os: 'Linux' },
});

const POOL: PoolDefinition = {
  name: 'Storages',
  seed: 9,
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'Main', type: 'nfs', sizeGiB: 1, isDefault: true },
    // 150 MiB, of which its record shows half as used.
    { name: 'Thick', type: 'lvm', host: 'host-a', sizeGiB: 150 / 1024, isStale: true, foreignGiB: 40 / 1024 },
    { name: 'Chains', type: 'nfs', sizeGiB: 1, hasChains: true },
  ],
  vms: [
    vm('thick', 'Thick'),
    vm('deep', 'Chains', { chainDepth: 4 }),
    vm('shallow', 'Chains', { chainDepth: 2 }),
    vm('thin', 'Main'),
  ],
};

describe('journey: storage is looked at before a snapshot', () => {
  let world: XenWorld;
  let calls: readonly string[];

  beforeEach(async () => {
    world = await startXenWorld({ poolFile: POOL });
    calls = recordCalls(world.running);
  });

  afterEach(() => world.close());

  const request = (name: string, options: object): Parameters<XenWorld['source']['backup']>[0] => ({
    source: `vm/${name}`,
    savesetId: 'one',
    options: { ...options },
  });
  const save = async (name: string, options: object = {}): Promise<SavesetRecord> =>
    (await reportOf(world.source.backup(request(name, options), new RecordingSink()))).record;
  const refusal = (name: string, options: object = {}): ReturnType<typeof errorOf> =>
    errorOf(world.source.backup(request(name, options), new RecordingSink()));
  const countOf = (call: string): number => calls.filter((made) => made === call).length;

  it('scans each storage once for all backups of a run', async () => {
    await save('thin');
    await save('thin');
    expect(countOf('SR.scan')).to.equal(1);
    await save('shallow');
    expect(countOf('SR.scan')).to.equal(2);
  });

  it('refuses a snapshot that can not fit, by what the scan found, with the numbers and where there is room', async () => {
    const error = await refusal('thick');
    expect(error.code).to.equal('STORAGE_FULL');
    expect(error.message).to.contain('can need 76.0 MiB on "Thick", which has 46.0 MiB left');
    expect(error.hint).to.contain('"Main"');
    expect(error.context).to.include({ neededBytes: 76 * 1024 ** 2, freeBytes: 46 * 1024 ** 2 });
    expect(countOf('VM.snapshot')).to.equal(0);
  });

  it('makes it all the same when nobody is to look', async () => {
    expect((await save('thick', { space: 'skip' })).warnings).to.deep.equal([]);
    expect(countOf('SR.scan')).to.equal(0);
  });

  it('goes on with old numbers and a warning when a scan fails', async () => {
    world.running.addFault({
      match: { call: 'SR.scan' },
      action: { failWith: ['SR_BACKEND_FAILURE_40', '', 'x', ''] },
    });
    expect((await save('thin')).warnings.map(({ code }) => code)).to.deep.equal(['STORAGE_NOT_SCANNED']);
  });

  it('bears one image that waits to be merged', async () => {
    expect((await save('shallow', { chain: 'skip' })).warnings).to.deep.equal([]);
  });

  it('leaves a machine out whose storage has fallen behind', async () => {
    const error = await refusal('deep', { chain: 'skip' });
    expect([error.code, error.isRetriable]).to.deep.equal(['SOURCE_BUSY', true]);
    expect(error.message).to.contain('merge 3 images').and.contain('"deep" is left out');
    expect(countOf('VM.snapshot')).to.equal(0);
  });

  it('gives the storage time, and no more than was said', async () => {
    const error = await refusal('deep', { chain: 'wait', chainTimeoutSeconds: 30 });
    expect(error.message).to.contain('It stayed so for 30 s.');
  });

  it('goes on as soon as the storage has caught up', async () => {
    let looks = 0;
    const { store } = world.running.pool;
    onCall(world.running, (call) => {
      if (call === 'event.from' && countOf('VM.get_all_records') > 0) looks += 1;
      if (looks === 6) {
        for (const [ref] of store.all('VDI')) store.patch('VDI', ref, { sm_config: {} });
      }
    });
    expect((await save('deep')).warnings).to.deep.equal([]);
  });

  it('makes a snapshot on top of it when it must', async () => {
    expect((await save('deep', { chain: 'force' })).warnings.map(({ code }) => code)).to.deep.equal(['CHAIN_TOO_LONG']);
  });
});
