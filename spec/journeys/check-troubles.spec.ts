import { expect } from 'chai';
import { type CheckLine } from '../../src/contract/index.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { SMALL_POOL, startXenWorld, type WorldOptions, type XenWorld } from './support/xen-world.js';

/** Of the pool's own superuser; the world's secrets are all this one. */
const PASSWORD = 'simulated';

describe('journey: check a pool with troubles', () => {
  const worlds: XenWorld[] = [];

  afterEach(async () => {
    await Promise.all(worlds.splice(0).map((world) => world.close()));
  });

  const start = async (pool: Partial<PoolDefinition> = {}, options: WorldOptions = {}): Promise<XenWorld> => {
    const world = await startXenWorld({ poolFile: { ...SMALL_POOL, ...pool }, ...options });
    worlds.push(world);
    return world;
  };
  const linesOf = async (world: XenWorld, check: string): Promise<readonly CheckLine[]> =>
    (await world.source.check()).filter((one) => one.check === check);

  it('looks at every member by itself: name, connection, certificate, clock', async () => {
    const world = await start({
      hosts: [{ name: 'host-a' }, { name: 'host-b', clockOffsetMs: 300_000 }],
    });
    const connections = await linesOf(world, 'connection');
    expect(connections.map(({ status }) => status)).to.deep.equal(['ok', 'ok']);
    expect(connections.map(({ message }) => message).join())
      .to.contain('host-a')
      .and.contain('host-b');
    const clocks = await linesOf(world, 'clock');
    expect(clocks.map(({ status }) => status)).to.deep.equal(['warning', 'warning']);
    expect(clocks[0]?.message).to.match(/^The clock of host-b is (299|300)\.\d s ahead/);
  });

  it('does not trust a member whose certificate is not pinned', async () => {
    const world = await start({ hosts: [{ name: 'host-a' }, { name: 'host-b' }] });
    const [first] = world.running.hosts;
    const source = await world.open({ trust: { fingerprints: [first!.fingerprint256] } });
    const errors = (await source.check()).filter(({ status }) => status === 'error');
    expect(errors.map(({ check }) => check)).to.deep.equal(['certificate']);
    expect(errors[0]?.message).to.contain('host-b');
    await source.close();
  });

  it('says when a member can be reached from its pool and not from here', async () => {
    const world = await start({ hosts: [{ name: 'host-a' }, { name: 'host-b' }] });
    world.patch('host', world.uuidOf('host-b', 'host'), { address: '127.0.0.99' });
    const [, line] = await linesOf(world, 'connection');
    expect(line?.status).to.equal('error');
    expect(line?.message).to.contain('127.0.0.99');
  });

  it('finds two interfaces in one subnet, and says what an LACP bond needs', async () => {
    const world = await start({
      networks: [
        { name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true },
        { name: 'Production', bridge: 'xenbr1', device: 'eth1', hostAddresses: { 'host-a': '127.0.1.1' } },
        { name: 'Bonded', bridge: 'xapi1', device: 'bond0', bond: { slaves: ['eth2', 'eth3'], mode: 'lacp' } },
      ],
    });
    const [subnet] = await linesOf(world, 'subnet');
    expect(subnet?.status).to.equal('warning');
    expect(subnet?.message).to.match(/eth0 \(127\.0\.0\.1\) and eth1 \(127\.0\.1\.1\)/);
    const [bond, ...others] = await linesOf(world, 'bond');
    expect(others).to.deep.equal([]);
    expect(bond?.status).to.equal('ok');
    expect(bond?.hint).to.match(/bonding\/bond0.*not supported/s);
  });

  it('says whether a network carries NBD, one without TLS only to a client that sends data in clear', async () => {
    for (const [purpose, expected] of [
      ['nbd', /^A network/],
      ['insecure_nbd', /^No network/],
      [undefined, /^No network/],
    ] as const) {
      const world = await start({
        networks: [
          { name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true },
          { name: 'Production', bridge: 'xenbr1', device: 'eth1', purpose: purpose === undefined ? [] : [purpose] },
        ],
      });
      const [nbd] = await linesOf(world, 'nbd');
      expect(nbd?.status).to.equal('ok');
      expect(nbd?.message).to.match(expected);
    }
  });

  const roles: readonly (readonly [
    role: 'read-only' | 'vm-admin' | 'vm-power-admin' | 'pool-admin',
    status: string,
  ])[] = [
    ['read-only', 'error'],
    ['vm-admin', 'error'],
    ['vm-power-admin', 'ok'],
    ['pool-admin', 'ok'],
  ];
  for (const [role, status] of roles) {
    it(`says what an account with the role ${role} may do, and goes on`, async () => {
      const world = await start(
        { users: [{ name: 'saver', password: PASSWORD, role }] },
        { settings: { username: 'saver' } },
      );
      const lines = await world.source.check();
      const found = lines.filter(({ check }) => check === 'role');
      expect(found.map((line) => line.status)).to.deep.equal([status]);
      expect(found[0]?.message).to.contain(role);
      expect(lines.map(({ check }) => check)).to.include.members(['default-storage', 'leftovers']);
      expect(lines.filter((line) => line.status === 'error')).to.have.length(status === 'error' ? 1 : 0);
    });
  }

  it('says what the licence forbids', async () => {
    const world = await start({ restrictions: { restrict_cbt: true } });
    const [line] = await linesOf(world, 'licence');
    expect(line?.status).to.equal('warning');
    expect(line?.hint).to.contain('restrict_cbt');
  });

  it('says that plain http is refused by a host', async () => {
    const world = await start(
      { hosts: [{ name: 'host-a', isHttpsOnly: true }] },
      { settings: { dataTransport: 'http' } },
    );
    expect((await linesOf(world, 'transport')).map(({ status }) => status)).to.deep.equal(['warning', 'error']);
  });

  it('asks storage for fresh numbers, whatever it remembers', async () => {
    const [main, ...others] = SMALL_POOL.storage!;
    const world = await start({ storage: [{ ...main!, isStale: true }, ...others] });
    world.running.setForeignUsage(world.uuidOf('Main', 'SR'), 4 * 1024 ** 3 - 64 * 1024 ** 2);
    expect((await linesOf(world, 'default-storage'))[0]?.status).to.equal('warning');
  });

  it('names the storage that can not be scanned', async () => {
    const world = await start();
    world.running.addFault({
      match: { call: 'SR.scan' },
      occurrence: 1,
      action: { failWith: ['HOST_OFFLINE', 'OpaqueRef:x'] },
    });
    const [line] = (await linesOf(world, 'storage')).filter(({ status }) => status === 'error');
    expect(line?.message).to.match(/^The storage "[^"]+" can't be scanned, so its numbers may be old: /);
  });

  it('names the host that does not see a storage', async () => {
    const world = await start({ hosts: [{ name: 'host-a' }, { name: 'host-b' }] });
    const { store } = world.running.pool;
    const main = store.refByUuid('SR', world.uuidOf('Main', 'SR'));
    const hostB = store.refByUuid('host', world.uuidOf('host-b', 'host'));
    const [link] = store.all('PBD').find(([, { SR, host }]) => SR === main && host === hostB)!;
    store.patch('PBD', link, { currently_attached: false });
    const lines = await linesOf(world, 'storage');
    expect(lines.map(({ message }) => message)).to.include('The storage "Main" is not attached to host-b.');
  });

  it('looks at a pool of an old release too', async () => {
    const world = await start({}, { release: '7.6' });
    const lines = await world.source.check();
    expect(lines.filter(({ status }) => status === 'error')).to.deep.equal([]);
    // Before 8.2 the pool has no records of certificates: the date comes from what the host presents.
    expect(lines.filter(({ check }) => check === 'certificate').map(({ status }) => status)).to.deep.equal(['ok']);
  });
});
