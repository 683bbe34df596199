import { expect } from 'chai';
import { Readable } from 'node:stream';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { textOf } from '../../src/simulator/wire/wire-value.js';
import { warningsOf } from './support/quiet-console.js';
import { until, untilImported, type XenApi, xenApiClient } from './support/xen-api.js';

/** Two hosts, each with storage of its own. */
const POOL = {
  name: 'features',
  hosts: [{ name: 'host-a' }, { name: 'host-b' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'local a', type: 'ext' as const, host: 'host-a', isDefault: true },
    { name: 'local b', type: 'ext' as const, host: 'host-b' },
  ],
  vms: [
    { name: 'onA', disks: [{ name: 'a', sizeMiB: 2, storage: 'local a' }], interfaces: [{ network: 'LAN' }] },
    { name: 'onB', disks: [{ name: 'b', sizeMiB: 2, storage: 'local b' }], interfaces: [{ network: 'LAN' }] },
  ],
};

describe('what the npm client xen-api can do', () => {
  let pool: RunningPool;
  let client: XenApi;

  beforeEach(async () => {
    pool = await startSimulatedPool({ poolFile: POOL });
    client = await xenApiClient(pool, { url: pool.url, watchEvents: true });
    await client.connect();
    await client.objectsFetched;
  });
  afterEach(async () => {
    await client.disconnect();
    await pool.close();
  });

  it('watches every class that has objects, and sees them come, change and go', async () => {
    const classes = [...pool.pool.datamodel.classes.values()]
      .filter(({ name, isRemoved, messages }) => !isRemoved && messages.has('get_all_records') && name !== 'session')
      .map(({ name }) => name);
    // It leaves out what it cannot watch, and sessions and tasks come and go.
    const withObjects = classes.filter((name) => pool.pool.store.count(name) > 0 && name !== 'task');
    const seen = new Set(Object.values(client.objects.all).map(({ $type }) => $type));
    expect(withObjects.length).to.be.greaterThan(12);
    expect(withObjects.filter((name) => !seen.has(name))).to.deep.equal([]);

    const [vm] = (await client.call('VM.get_by_name_label', 'onA')) as [string];
    const clone = await client.callAsync('VM.clone', vm, 'a clone');
    expect((await client.barrier(clone)).name_label).to.equal('a clone');
    await client.call('VM.set_name_description', clone, 'changed');
    expect((await client.barrier(clone)).name_description).to.equal('changed');
    const uuid = textOf(pool.pool.store.get('VM', clone), 'uuid');
    await client.call('VM.destroy', clone);
    await client.barrier();
    expect(Object.keys(client.objects.all)).to.not.include(uuid);
  });

  it('calls asynchronously, gets the result, and takes the task away', async () => {
    const [vm] = (await client.call('VM.get_by_name_label', 'onA')) as [string];
    const snapshot = await client.callAsync('VM.snapshot', vm, 'snap');
    expect(textOf(pool.pool.store.get('VM', snapshot), 'name_label')).to.equal('snap');
    expect(await client.callAsync('VM.destroy', snapshot)).to.equal('');
    const { store } = pool.pool;
    const isLeft = (): boolean => store.all('task').some(([, task]) => textOf(task, 'name_label').startsWith('Async.'));
    await until(pool, () => !isLeft());
  });

  it('waits for a barrier until its own change came back as an event', async () => {
    const [own] = (await client.call('pool.get_all')) as [string];
    expect((await client.barrier(own)).$ref).to.equal(own);
    const left = Object.keys((await client.call('pool.get_other_config', own)) as object);
    expect(left.filter((key) => key.startsWith('xo:'))).to.deep.equal([]);
  });

  it('gets a resource from the host that it is sent on to', async () => {
    const [vm] = (await client.call('VM.get_by_name_label', 'onB')) as [string];
    const { body } = await client.getResource('/export/', { query: { ref: vm }, task: true });
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    const archive = Buffer.concat(pieces);
    expect(archive.subarray(0, 7).toString()).to.equal('ova.xml');
    expect(archive.subarray(-1024).every((byte) => byte === 0)).to.equal(true);
  });

  it('puts a resource: asks first with an empty body, which imports nothing, and is sent on to the host of the storage', async () => {
    const requests = await countImports();
    const archive = await archiveOf('onA');
    const before = pool.pool.store.count('VM');
    const body = Object.assign(Readable.from([archive]), { length: archive.length });
    const result = await client.putResource(body, '/import/', { query: { sr_id: srNamed('local b') }, task: true });
    const [ref = ''] = /OpaqueRef:[0-9a-f-]+/.exec(String(result)) ?? [];
    expect(textOf(pool.pool.store.get('VM', ref), 'name_label')).to.equal('onA');
    expect(pool.pool.store.count('VM')).to.equal(before + 1);
    // The question went to the coordinator, the archive to the other host.
    expect(await requests()).to.equal(2);
  });

  it('announces 1 PiB when it does not know the length, and cuts the connection at the end', async () => {
    const requests = await countImports();
    const archive = await archiveOf('onA');
    const before = pool.pool.store.count('VM');
    const warnings = await warningsOf(async () => {
      const result = await client.putResource(Readable.from(untilImported(pool, archive)), '/import/', { task: true });
      expect(String(result)).to.match(/OpaqueRef:/);
    });
    expect(warnings.join()).to.include('missing length');
    expect(pool.pool.store.count('VM')).to.equal(before + 1);
    expect(await requests()).to.equal(2);
  });

  /** Counts requests to /import with a fault that never strikes. */
  async function countImports(): Promise<() => Promise<number>> {
    await pool.perform('addFault', {
      fault: { match: { path: '/import', method: 'PUT' }, occurrence: 1000, action: { delayMs: 1 } },
    });
    return async () => {
      const [fault] = (await pool.perform('listFaults')) as readonly { readonly seen: number }[];
      return fault?.seen ?? 0;
    };
  }

  async function archiveOf(name: string): Promise<Buffer> {
    const [vm] = (await client.call('VM.get_by_name_label', name)) as [string];
    const { body } = await client.getResource('/export/', { query: { ref: vm } });
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  function srNamed(name: string): string {
    return pool.pool.store.all('SR').find(([, record]) => record.name_label === name)?.[0] ?? '';
  }
});
