import { expect } from 'chai';
import { type PoolDefinition, type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { bodyOf, exchangeRaw, putRequest } from '../support/raw-exchange.js';
import { type Json, named, RpcClient, startWithClient } from '../support/rpc-client.js';

const DEFINITION: PoolDefinition = {
  name: 'pool',
  hosts: [{ name: 'one' }, { name: 'two', clockOffsetMs: 90_000 }],
  networks: [
    { name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    {
      name: 'Storage',
      bridge: 'xenbr1',
      device: 'bond0',
      bond: { slaves: ['eth1', 'eth2'], mode: 'lacp' },
      hostAddresses: { one: '127.0.1.1', two: '127.0.1.2' },
    },
    { name: 'Blue', bridge: 'xapi1', device: 'bond0', vlan: 20 },
    { name: 'Green', bridge: 'xapi2', device: 'eth0', vlan: 30 },
  ],
  storage: [{ name: 'sr', type: 'nfs', isDefault: true, tags: ['fast'] }],
  appliances: [{ name: 'shop' }],
  restrictions: { restrict_cbt: true },
  backupNetwork: 'Storage',
  tags: ['site-a'],
  vms: [
    {
      name: 'db',
      firmware: 'uefi',
      appliance: 'shop',
      order: 1,
      startDelaySeconds: 5,
      haRestartPriority: 'restart',
      customFields: { owner: 'anna' },
      nvram: { 'EFI-variables': 'AAAA' },
      vtpm: { contents: 'c2VjcmV0' },
      disks: [{ name: 'db disk', sizeMiB: 1 }],
      interfaces: [{ network: 'Blue', lockingMode: 'locked', ipv4Allowed: ['192.0.2.1'] }],
    },
    { name: 'web', appliance: 'shop', order: 2, disks: [{ name: 'web disk', sizeMiB: 1 }] },
  ],
};

describe('parts of a pool file', () => {
  let pool: RunningPool;
  let client: RpcClient;

  before(async () => {
    ({ pool, client } = await startWithClient({ poolFile: DEFINITION }));
  });
  after(() => pool.close());

  const pifs = async (): Promise<Json[]> =>
    Object.values(await client.call<Record<string, Json>>('PIF.get_all_records'));

  it('make a bond of two cards on every host', async () => {
    const bonds = Object.values(await client.call<Record<string, Json>>('Bond.get_all_records'));
    expect(bonds.map(({ mode, links_up }) => [mode, links_up])).to.deep.equal([
      ['lacp', 2],
      ['lacp', 2],
    ]);
    const [bond] = bonds;
    const slaves = await Promise.all((bond?.slaves as string[]).map((ref) => client.call<Json>('PIF.get_record', ref)));
    expect(slaves.map(({ device, physical }) => [device, physical])).to.deep.equal([
      ['eth1', true],
      ['eth2', true],
    ]);
    const master = await client.call<Json>('PIF.get_record', bond?.master);
    expect(master).to.deep.include({ device: 'bond0', physical: false, IP: '127.0.1.1', netmask: '255.0.0.0' });
    expect(master.MAC).to.equal(slaves[0]?.MAC);
  });

  it('tie VLANs to the interface that they are on', async () => {
    const tagged = (await pifs()).filter(({ VLAN }) => VLAN !== -1);
    expect(tagged.map(({ device, VLAN }) => [device, VLAN])).to.deep.equal([
      ['bond0', 20],
      ['eth0', 30],
      ['bond0', 20],
      ['eth0', 30],
    ]);
    const vlan = await client.call<Json>('VLAN.get_record', tagged[0]?.VLAN_master_of);
    expect(vlan.tag).to.equal(20);
    expect(await client.call('PIF.get_device', vlan.tagged_PIF)).to.equal('bond0');
  });

  it('answer at the addresses of a second network', async () => {
    const other = pool.hosts[1]?.otherAddresses[0];
    expect(other).to.equal('127.0.1.2');
    const url = pool.httpUrl.replace('127.0.0.1', other ?? '');
    const { text } = await exchangeRaw(url, `GET /host_backup?session_id=${client.session} HTTP/1.1\r\n\r\n`);
    expect(text).to.match(/^HTTP\/1.1 200/);
    const network = await client.call<string>('network.get_uuid', await named(client, 'network', 'Storage'));
    const config = await client.call<Record<string, string>>('pool.get_other_config', pool.pool.poolEntry[0]);
    expect(config['xo:backupNetwork']).to.equal(network);
  });

  it('set the clocks of hosts apart', async () => {
    const times = await Promise.all(
      (await client.call<string[]>('host.get_all')).map((host) => client.call<string>('host.get_servertime', host)),
    );
    const [one = 0, two = 0] = times.map((text) => Date.parse(text.replace(/(\d{4})(\d\d)(\d\d)T/, '$1-$2-$3T')));
    expect(two - one).to.be.within(89_000, 91_000);
  });

  it('forbid what the edition forbids', async () => {
    expect(await client.error('VDI.enable_cbt', await named(client, 'VDI', 'db disk'))).to.deep.equal([
      'LICENCE_RESTRICTION',
      'CBT',
    ]);
    const [host] = await client.call<string[]>('host.get_all');
    expect(await client.call('host.get_license_params', host)).to.include({
      restrict_cbt: 'true',
      restrict_vss: 'false',
    });
  });

  it('fill the fields of machines', async () => {
    const db = await client.call<Json>('VM.get_record', await named(client, 'VM', 'db'));
    expect(db).to.deep.include({
      order: 1,
      start_delay: 5,
      ha_restart_priority: 'restart',
      NVRAM: { 'EFI-variables': 'AAAA' },
    });
    expect(db.other_config).to.include({ 'XenCenter.CustomFields.owner': 'anna' });
    const [vif] = db.VIFs as string[];
    expect(await client.call('VIF.get_record', vif)).to.deep.include({
      locking_mode: 'locked',
      ipv4_allowed: ['192.0.2.1'],
    });
    expect(await client.call('SR.get_tags', await named(client, 'SR', 'sr'))).to.deep.equal(['fast']);
    const shop = await named(client, 'VM_appliance', 'shop');
    await client.call('VM_appliance.start', shop, false);
    expect(await client.call('VM.get_power_state', await named(client, 'VM', 'web'))).to.equal('Running');
    await client.call('VM_appliance.hard_shutdown', shop);
    expect(await client.call('VM.get_power_state', await named(client, 'VM', 'db'))).to.equal('Halted');
  });

  it('keep a TPM’s secret over snapshot, export and import, and drop it with the machine', async () => {
    const db = await named(client, 'VM', 'db');
    const tpmOf = async (vm: string): Promise<string> => (await client.call<string[]>('VM.get_VTPMs', vm))[0] ?? '';
    expect(await client.error('VTPM.create', db, false)).to.deep.equal(['VTPM_MAX_AMOUNT_REACHED', '1']);
    expect((await client.error('VTPM.set_contents', await tpmOf(db), 'no base64!'))[0]).to.equal('INTERNAL_ERROR');
    await client.call('VTPM.set_contents', await tpmOf(db), 'bmV3');
    const snapshot = await client.call<string>('VM.snapshot', db, 'with TPM');
    expect(await client.call('VTPM.get_contents', await tpmOf(snapshot))).to.equal('bmV3');
    const path = `/export?session_id=${client.session}&ref=${snapshot}`;
    const archive = Buffer.from(
      bodyOf((await exchangeRaw(pool.httpUrl, `GET ${path} HTTP/1.1\r\n\r\n`)).text),
      'latin1',
    );
    const task = await client.call<string>('task.create', 'import', '');
    const upload = putRequest(`/import?session_id=${client.session}&task_id=${task}`, archive);
    await exchangeRaw(pool.httpUrl, upload);
    const [copy = ''] = /OpaqueRef:[-0-9a-f]+/.exec(await client.call<string>('task.get_result', task)) ?? [];
    expect(await client.call('VTPM.get_contents', await tpmOf(copy))).to.equal('bmV3');
    const secrets = await client.call<string[]>('secret.get_all');
    await client.call('VM.destroy', copy);
    expect(await client.call<string[]>('secret.get_all')).to.have.lengthOf(secrets.length - 1);
  });

  it('shut the plain port of a pool that wants https only', async () => {
    const shut = await startSimulatedPool({
      poolFile: { ...DEFINITION, hosts: [{ name: 'one', isHttpsOnly: true }, { name: 'two' }] },
    });
    try {
      const answer = (url: string): Promise<unknown> =>
        new RpcClient(url).login(shut).then(
          () => 'logged in',
          (error: unknown) => (error as Error).constructor.name,
        );
      expect(await answer(shut.httpUrl)).to.equal('TypeError');
      expect((await exchangeRaw(shut.hosts[1]?.httpUrl ?? '', 'OPTIONS / HTTP/1.0\r\n\r\n')).text).to.match(/200 OK/);
    } finally {
      await shut.close();
    }
  });

  it('are all in order in the pool file of another site', async () => {
    const { pool: other, client: there } = await startWithClient({ poolFile: 'fixtures/pools/vlans.json' });
    try {
      const vlans = Object.values(await there.call<Record<string, Json>>('VLAN.get_all_records'));
      expect(vlans.map(({ tag }) => tag)).to.deep.equal([20, 30, 20, 30]);
      expect(other.hosts.map(({ otherAddresses }) => otherAddresses)).to.deep.equal([['127.0.3.1'], ['127.0.3.2']]);
    } finally {
      await other.close();
    }
  });

  it('are refused when they name what is not there', async () => {
    const bad = { ...DEFINITION, backupNetwork: 'Nowhere', vms: [{ name: 'x', appliance: 'none' }] };
    const failure = await startSimulatedPool({ poolFile: bad }).catch((error: unknown) => String(error));
    expect(failure).to.include('backupNetwork: no network is called "Nowhere"');
    expect(failure).to.include('VM "x": no appliance is called "none"');
  });
});
