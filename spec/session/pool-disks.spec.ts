import { expect } from 'chai';
import { inspect } from 'node:util';
import { systemClock } from '../../src/common/clock.js';
import { type ConnectionSettings } from '../../src/session/connection-settings.js';
import { type PoolMember } from '../../src/session/pool-connection.js';
import { PoolDisks } from '../../src/session/pool-disks.js';
import { wholeDisk } from '../../src/transfer/disk-extents.js';
import { NbdDiskReader } from '../../src/transfer/nbd-disk-reader.js';
import { XapiError } from '../../src/xapi/xapi-error.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { type OpenPool, openSmallPool } from '../journeys/support/open-pool.js';
import { failureOf } from '../support/failure-of.js';
import { type RawServer, startRawServer } from '../support/raw-server.js';

const LIMITS = { connectTimeoutMs: 2000, handshakeTimeoutMs: 2000, idleTimeoutMs: 2000 };

describe('PoolDisks', () => {
  const vdi = 'OpaqueRef:disk' as RefOf<'VDI'>;
  let server: RawServer;

  before(async () => {
    server = await startRawServer(() => undefined);
  });
  after(() => server.close());

  const settings = { dataTransport: 'https', connectTimeoutMs: 2000 } as ConnectionSettings;
  const member = (uuid: string, address: string, dataAddress?: string): PoolMember => {
    return { uuid, name: uuid, hostname: uuid, address, dataAddress };
  };
  const info = (address: string, port: unknown = server.port): Record<string, unknown> => {
    return { exportname: '/x?session_id=OpaqueRef:s', address, port, cert: 'PEM', subject: 'host.test' };
  };
  const disksOf = (
    answer: unknown,
    members: readonly PoolMember[] = [],
    parts: Partial<ConnectionSettings> = {},
  ): PoolDisks =>
    new PoolDisks(
      { ...settings, ...parts },
      {
        call: (method: string, args: readonly unknown[]) => {
          expect([method, ...args]).to.deep.equal(['VDI.get_nbd_info', vdi]);
          return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
        },
        members: () => Promise.resolve(members),
        coordinator: () => ({ protocol: 'https:', host: '127.0.0.9', port: 443 }),
      },
    );
  const hosts = async (disks: PoolDisks): Promise<readonly string[]> =>
    (await disks.nbdEndpoints(vdi)).map(({ host }) => host);

  it('gives what the pool tells, and keeps the session to itself', async () => {
    const [endpoint] = await disksOf([info('127.0.0.1', '10809')]).nbdEndpoints(vdi);
    expect(endpoint).to.include({ host: '127.0.0.1', port: 10_809, certificatePem: 'PEM', subject: 'host.test' });
    expect(endpoint!.isPlainAllowed).to.equal(false);
    expect(endpoint!.revealExportName()).to.equal('/x?session_id=OpaqueRef:s');
    expect(inspect([endpoint])).not.to.contain('OpaqueRef');
  });

  it('prefers the network for backups, and puts those that do not answer last', async () => {
    const members = [member('a', '10.0.0.1', '127.0.0.3'), member('b', '10.0.0.2', '127.0.0.1')];
    const answer = [info('127.0.0.2'), info('127.0.0.3'), info('127.0.0.1')];
    // Only 127.0.0.1 answers.
    expect(await hosts(disksOf(answer, members))).to.deep.equal(['127.0.0.1', '127.0.0.3', '127.0.0.2']);
  });

  it('leaves out IPv6 that refuses, also written with its prefix', async () => {
    expect(await hosts(disksOf([info('::1/128'), info('127.0.0.1')]))).to.deep.equal(['127.0.0.1']);
    expect(await hosts(disksOf([info('::1/128')]))).to.deep.equal(['::1']);
  });

  it('goes to the coordinator under the address by which we know it', async () => {
    const answer = [info('10.0.0.1'), info('127.0.0.1')];
    expect([...(await hosts(disksOf(answer, [member('a', '10.0.0.1')])))].sort()).to.deep.equal([
      '127.0.0.1',
      '127.0.0.9',
    ]);
  });

  it('allows clear text only where bulk data may go in clear', async () => {
    const disks = disksOf([info('127.0.0.1')], [], { dataTransport: 'http' });
    expect((await disks.nbdEndpoints(vdi))[0]?.isPlainAllowed).to.equal(true);
    expect((await disks.nbdEndpoints(vdi, { forceTls: true }))[0]?.isPlainAllowed).to.equal(false);
  });

  it('gives none where nothing is for NBD, or the release has none', async () => {
    expect(await hosts(disksOf([]))).to.deep.equal([]);
    expect(await hosts(disksOf(new XapiError('MESSAGE_METHOD_UNKNOWN', ['VDI.get_nbd_info'])))).to.deep.equal([]);
    expect(await hosts(disksOf('nonsense'))).to.deep.equal([]);
    expect(await hosts(disksOf([null, {}, { address: '127.0.0.1' }]))).to.deep.equal([]);
  });

  it('tells of a disk without data', async () => {
    const error = new XapiError('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
    expect(await failureOf(disksOf(error).nbdEndpoints(vdi))).to.equal(error);
  });
});

describe('reading a disk of a simulated pool', () => {
  let pool: OpenPool;

  beforeEach(async () => {
    pool = await openSmallPool();
  });
  afterEach(() => pool.close());

  const disk = async (): Promise<readonly [RefOf<'VDI'>, number]> => {
    const records = await pool.connection.allRecords('VDI');
    const [ref, record] = [...records]
      .filter(([, { type }]) => type === 'user')
      .sort(([, first], [, second]) => first.virtual_size - second.virtual_size)[0]!;
    return [ref, record.virtual_size];
  };
  const allow = async (purpose: string): Promise<void> => {
    for (const [network, { PIFs: interfaces }] of await pool.connection.allRecords('network')) {
      if (interfaces.length > 0) await pool.connection.call('network.add_purpose', [network, purpose]);
    }
  };

  it('finds no way by NBD while no network is for it', async () => {
    const [ref] = await disk();
    expect(await pool.connection.nbdEndpoints(ref)).to.deep.equal([]);
  });

  it('reads over TLS what the disk holds', async () => {
    await allow('nbd');
    const [ref, sizeBytes] = await disk();
    const content = pool.running.pool.contents.get(ref)!;
    const reader = new NbdDiskReader({
      endpoints: (signal) => pool.connection.nbdEndpoints(ref, { signal }),
      sizeBytes,
      extents: wholeDisk(Math.min(sizeBytes, 8 * 1024 * 1024)),
      limits: LIMITS,
      clock: systemClock,
      signal: new AbortController().signal,
    });
    for await (const { offsetBytes, data } of reader) {
      expect(data.equals(content.read(offsetBytes, data.length)), String(offsetBytes)).to.equal(true);
    }
    expect(reader.counts.bytes).to.be.greaterThan(0);
  });

  it('does not read in clear unless that is allowed', async () => {
    await allow('insecure_nbd');
    const [ref, sizeBytes] = await disk();
    const reader = new NbdDiskReader({
      endpoints: (signal) => pool.connection.nbdEndpoints(ref, { signal }),
      sizeBytes,
      extents: wholeDisk(sizeBytes),
      limits: LIMITS,
      clock: systemClock,
      signal: new AbortController().signal,
    });
    expect(await failureOf(reader[Symbol.asyncIterator]().next())).to.include({ kind: 'untrusted' });
  });
});
