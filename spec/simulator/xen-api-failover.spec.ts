import { expect } from 'chai';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { quietConsole, warningsOf } from './support/quiet-console.js';
import { type XenApi, xenApiClient } from './support/xen-api.js';

const POOL = {
  name: 'failover',
  hosts: [{ name: 'host-a' }, { name: 'host-b' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'NFS', type: 'nfs' as const, isDefault: true }],
  vms: [{ name: 'web', disks: [{ name: 'root', sizeMiB: 1 }] }],
};

describe('the npm client xen-api in a pool of two', () => {
  quietConsole();
  let pool: RunningPool;

  beforeEach(async () => {
    pool = await startSimulatedPool({ poolFile: POOL });
  });
  afterEach(() => pool.close());

  const clientOf = (url: string, watchEvents = false): Promise<XenApi> =>
    xenApiClient(pool, { url, watchEvents, eventPollDelay: 10, callTimeout: 2000 });

  it('goes from a member to its coordinator', async () => {
    const client = await clientOf(pool.hosts[1]!.httpUrl);
    await client.connect();
    expect(await client.call('VM.get_by_name_label', 'web')).to.have.length(1);
    await client.disconnect();
  });

  it('finds the promoted member after the coordinator was killed, and follows its events', async () => {
    const [first, second] = pool.hosts;
    const vms = await clientOf(first!.httpUrl);
    await vms.connect();
    const [web] = (await vms.call('VM.get_by_name_label', 'web')) as string[];
    const warnings = await warningsOf(async () => {
      await pool.perform('killHost', { host: 'host-a' });
      const lost = await vms.call('VM.get_name_label', web).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(lost).to.be.instanceOf(Error);

      await pool.perform('promoteHost', { host: 'host-b' });
      const client = await clientOf(second!.httpUrl, true);
      await client.connect();
      await client.objectsFetched;
      expect(await client.call('VM.get_name_label', web)).to.equal('web');
      const [own] = (await client.call('pool.get_all')) as string[];
      expect(await client.call('pool.get_master', own)).to.equal(pool.pool.store.refByUuid('host', second!.uuid));
      await client.disconnect();
    });
    expect(warnings.every((warning) => /ECONN|closed|socket|_watchEvents/i.test(warning))).to.equal(true);
  });

  it('comes back to the old coordinator as to a member, and is sent on', async () => {
    await pool.perform('killHost', { host: 'host-a' });
    await pool.perform('promoteHost', { host: 'host-b' });
    await pool.perform('startHost', { host: 'host-a' });
    const client = await clientOf(pool.hosts[0]!.httpUrl);
    await client.connect();
    expect(await client.call('VM.get_by_name_label', 'web')).to.have.length(1);
    await client.disconnect();
  });
});
