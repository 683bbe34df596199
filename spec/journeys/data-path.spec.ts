import { expect } from 'chai';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type Socket } from 'node:net';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { expectCode, reportOf } from '../contract/support/run-operation.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

const DATA_ADDRESS = '127.0.9.1';
/** Plain http has a port of its own, which tells its connections from those of the control channel. */
const HTTP = { dataTransport: 'http' };

const POOL: PoolDefinition = {
  ...SMALL_POOL,
  networks: [
    ...(SMALL_POOL.networks ?? []),
    { name: 'Backup', bridge: 'xenbr9', device: 'eth2', hostAddresses: { 'host-a': DATA_ADDRESS } },
  ],
};

describe('journey: the way of the data', () => {
  let world: XenWorld;

  afterEach(() => world.close());

  /** Where new connections of this process for bulk data go while a machine is saved. */
  const routesOf = async (name: string): Promise<ReadonlySet<string | undefined>> => {
    const seen = new Set<string | undefined>();
    const onSocket = (message: unknown): void => {
      const { socket } = message as { readonly socket: Socket };
      socket.once('connect', () => {
        if (String(socket.remotePort) === new URL(world.running.httpUrl).port) seen.add(socket.remoteAddress);
      });
    };
    subscribe('net.client.socket', onSocket);
    try {
      await world.backup(name);
    } finally {
      unsubscribe('net.client.socket', onSocket);
    }
    return seen;
  };

  it('is the backup network when the pool names one', async () => {
    world = await startXenWorld({ poolFile: { ...POOL, backupNetwork: 'Backup' }, settings: HTTP });
    expect([...(await routesOf('vm/db'))]).to.deep.equal([DATA_ADDRESS]);
    const source = await world.open({ dataTransport: 'https' });
    await reportOf(source.backup({ source: 'vm/db', savesetId: 'x' }, new RecordingSink()));
  });

  it('is the management network otherwise', async () => {
    world = await startXenWorld({ poolFile: POOL, settings: HTTP });
    expect([...(await routesOf('vm/db'))]).to.deep.equal(['127.0.0.1']);
  });

  it('is the management network when the one for backups is gone', async () => {
    const otherConfig = { 'xo:backupNetwork': 'gone' };
    world = await startXenWorld({ poolFile: { ...POOL, otherConfig }, settings: HTTP });
    expect([...(await routesOf('vm/db'))]).to.deep.equal(['127.0.0.1']);
  });

  it('is told in the report of every backup and restore', async () => {
    world = await startXenWorld({ settings: HTTP });
    for (const [source, dataTransport, options] of [
      ['vm/db', 'http', {}],
      ['vm/db', 'https', { http: 'https' }],
      ['pool/metadata', 'http', {}],
    ] as const) {
      const sink = new RecordingSink();
      const saved = await reportOf(world.source.backup({ source, savesetId: 'x', options }, sink));
      expect(saved).to.include({ dataTransport });
      if (source !== 'vm/db') continue;
      const request = { mode: 'new', name: `copy by ${dataTransport}`, options } as const;
      const restored = await reportOf(world.source.restore(request, sink.media(saved.record)));
      expect(restored).to.include({ dataTransport });
    }
  });

  it('never leads through a host of the pool', async () => {
    world = await startXenWorld();
    await expectCode(world.open({ dataMover: 'host-a' }), 'CONFIG_INVALID');
    const source = await world.open({ dataMover: 'backup-07' });
    const { record } = await reportOf(source.backup({ source: 'vm/db', savesetId: 'x' }, new RecordingSink()));
    expect(record.moverHost).to.equal('backup-07');
  });
});
