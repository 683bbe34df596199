import { expect } from 'chai';
import { type RunningPool } from '../../../src/simulator/index.js';
import { type NbdInfo } from '../support/nbd-peer.js';
import { named, startWithClient, type RpcClient } from '../support/rpc-client.js';

describe('networks for NBD', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let disk: string;
  let local: string;
  let lan: string;
  let backup: string;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient({
      poolFile: {
        name: 'nbd',
        hosts: [{ name: 'host-a' }, { name: 'host-b' }],
        networks: [
          { name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true },
          { name: 'Backup', bridge: 'xenbr1', device: 'eth1', hostAddresses: { 'host-b': '127.0.8.2' } },
        ],
        storage: [
          { name: 'NFS', type: 'nfs', isDefault: true },
          { name: 'Local', type: 'ext', host: 'host-b' },
        ],
        vms: [
          { name: 'a', disks: [{ name: 'shared', sizeMiB: 1, isChangeTracked: true }] },
          { name: 'b', disks: [{ name: 'local', sizeMiB: 1, storage: 'Local' }] },
        ],
      },
    }));
    disk = await named(client, 'VDI', 'shared');
    local = await named(client, 'VDI', 'local');
    lan = await named(client, 'network', 'LAN');
    backup = await named(client, 'network', 'Backup');
  });

  afterEach(() => pool.close());

  const addresses = async (vdi: string): Promise<readonly string[]> =>
    (await client.call<NbdInfo[]>('VDI.get_nbd_info', vdi)).map(({ address }) => address);

  describe('network.add_purpose', () => {
    it('takes one purpose in a whole pool', async () => {
      await client.call('network.add_purpose', lan, 'nbd');
      await client.call('network.add_purpose', lan, 'nbd');
      await client.call('network.add_purpose', backup, 'nbd');
      expect(await client.call('network.get_purpose', lan)).to.deep.equal(['nbd']);
      for (const network of [lan, backup]) {
        expect(await client.error('network.add_purpose', network, 'insecure_nbd')).to.deep.equal([
          'NETWORK_INCOMPATIBLE_PURPOSES',
          'insecure_nbd',
          'nbd',
        ]);
      }
      await client.call('network.remove_purpose', lan, 'nbd');
      await client.call('network.remove_purpose', lan, 'nbd');
      await client.call('network.remove_purpose', backup, 'nbd');
      await client.call('network.add_purpose', backup, 'insecure_nbd');
      expect(await client.call('network.get_purpose', backup)).to.deep.equal(['insecure_nbd']);
    });

    it('refuses a network that the pool does not manage', async () => {
      pool.pool.store.patch('network', lan, { managed: false });
      expect(await client.error('network.add_purpose', lan, 'nbd')).to.deep.equal(['NETWORK_UNMANAGED', lan]);
    });
  });

  describe('VDI.get_nbd_info', () => {
    it('gives an entry for each address on such a network of each host that has the storage', async () => {
      expect(await addresses(disk)).to.deep.equal([]);
      await client.call('network.add_purpose', lan, 'nbd');
      expect(await addresses(disk)).to.deep.equal(['127.0.0.1', '127.0.0.2']);
      expect(await addresses(local)).to.deep.equal(['127.0.0.2']);
      await client.call('network.add_purpose', backup, 'nbd');
      expect(await addresses(local)).to.deep.equal(['127.0.0.2', '127.0.8.2']);
      await client.call('network.remove_purpose', lan, 'nbd');
      expect(await addresses(disk)).to.deep.equal(['127.0.8.2']);
    });

    it('leaves out hosts whose storage or interface is unplugged', async () => {
      await client.call('network.add_purpose', lan, 'insecure_nbd');
      const [pbd] = await client.call<string[]>('SR.get_PBDs', await named(client, 'SR', 'NFS'));
      pool.pool.store.patch('PBD', pbd!, { currently_attached: false });
      expect(await addresses(disk)).to.deep.equal(['127.0.0.2']);
      for (const pif of await client.call<string[]>('network.get_PIFs', lan)) {
        pool.pool.store.patch('PIF', pif, { currently_attached: false });
      }
      expect(await addresses(disk)).to.deep.equal([]);
    });

    it('carries the session, the port, the certificate and the name to verify it by', async () => {
      await client.call('network.add_purpose', lan, 'nbd');
      const [info] = await client.call<NbdInfo[]>('VDI.get_nbd_info', disk);
      const uuid = await client.call<string>('VDI.get_uuid', disk);
      expect(info).to.deep.equal({
        exportname: `/${uuid}?session_id=${client.session}`,
        address: '127.0.0.1',
        port: pool.pool.nbdPort,
        cert: pool.certificatePem,
        subject: 'host-a',
      });
    });

    it('refuses what has no data, and is never asynchronous', async () => {
      const fixed = await client.call<string>('VDI.snapshot', disk, {});
      await client.call('VDI.data_destroy', fixed);
      expect(await client.error('VDI.get_nbd_info', fixed)).to.deep.equal([
        'VDI_INCOMPATIBLE_TYPE',
        fixed,
        'CBT metadata',
      ]);
      expect(await client.error('VDI.get_nbd_info', 'OpaqueRef:NULL')).to.deep.equal([
        'HANDLE_INVALID',
        'VDI',
        'OpaqueRef:NULL',
      ]);
      expect((await client.error('Async.VDI.get_nbd_info', disk))[0]).to.equal('Fault');
    });
  });
});
