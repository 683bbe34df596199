import { expect } from 'chai';
import { readPoolDefinition, startSimulatedPool } from '../../src/simulator/index.js';

describe('readPoolDefinition', () => {
  it('reads the small pool by default', () => {
    expect(readPoolDefinition().vms.map(({ name }) => name)).to.include.members([
      'web-01',
      'db-01',
      'twin',
      'gold',
      'archive-01',
    ]);
  });

  it('names what is wrong and where', () => {
    const hosts = [{ name: 'a' }];
    expect(() => readPoolDefinition({ name: 'x', hosts: [] })).to.throw(/hosts/);
    expect(() =>
      readPoolDefinition({ name: 'x', hosts, vms: [{ name: 'v', disks: [{ name: 'd', sizeMiB: 0 }] }] }),
    ).to.throw(/vms\[0\]\.disks\[0\]\.sizeMiB/);
    expect(() =>
      readPoolDefinition({ name: 'x', hosts, vms: [{ name: 'v', interfaces: [{ network: 'nowhere' }] }] }),
    ).to.throw('no network is called "nowhere"');
    expect(() => readPoolDefinition('/no/such/file.json')).to.throw(/no such file/i);
  });
});

describe('startSimulatedPool', () => {
  it('gives the same pool for the same seed, and another for another', async () => {
    const states = [];
    for (const seed of [5, 5, 6]) {
      const pool = await startSimulatedPool({ seed });
      const { VM = {} } = pool.snapshotState({ withoutVolatile: true });
      states.push(Object.keys(VM));
      await pool.close();
    }
    expect(states[0]).to.deep.equal(states[1]).and.not.deep.equal(states[2]);
  });

  it('listens on one port at the address of every host, and frees it', async () => {
    const pool = await startSimulatedPool();
    const [first, second] = pool.hosts.map(({ url }) => new URL(url));
    expect([first?.hostname, second?.hostname]).to.deep.equal(['127.0.0.1', '127.0.0.2']);
    expect(first?.port).to.equal(second?.port);
    await pool.close();
    const again = await startSimulatedPool({ port: Number(first?.port) });
    expect(again.url).to.equal(pool.url);
    await again.close();
  });

  it('refuses a release it does not know', async () => {
    const failure = await startSimulatedPool({ release: '5.0' }).then(
      () => '',
      (error: unknown) => String(error),
    );
    expect(failure).to.include('known: 7.1');
  });
});
