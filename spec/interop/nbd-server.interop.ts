import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../src/common/byte-size.js';
import { startSimulatedPool, type PoolDefinition, type RunningPool } from '../../src/simulator/index.js';
import { type NbdInfo } from '../simulator/support/nbd-peer.js';
import { named, RpcClient } from '../simulator/support/rpc-client.js';
import { run, runWell } from './programs.js';

const DISK_MIB = 64;

const POOL: PoolDefinition = {
  name: 'interop',
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'NFS', type: 'nfs', isDefault: true }],
  vms: [
    {
      name: 'nbd',
      disks: [{ name: 'root', sizeMiB: DISK_MIB, content: { kind: 'text', fillPercent: 40 } }],
    },
  ],
};

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

for (const [purpose, how] of [
  ['insecure_nbd', 'in clear'],
  ['nbd', 'secured'],
] as const) {
  describe(`a disk over NBD, ${how}`, function () {
    let folder: string;
    let pool: RunningPool;
    let info: NbdInfo;
    let uri: string;
    let expected: string;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'interop-nbd-'));
      pool = await startSimulatedPool({ poolFile: POOL });
      const client = await new RpcClient(pool.httpUrl).login(pool);
      await client.call('network.add_purpose', await named(client, 'network', 'LAN'), purpose);
      const disk = await named(client, 'VDI', 'root');
      const snapshot = await client.call<string>('VDI.snapshot', disk, {});
      pool.writeGuest(await client.call('VDI.get_uuid', disk), MIB, Buffer.from('written after the snapshot'));
      [info] = await client.call<[NbdInfo]>('VDI.get_nbd_info', snapshot);
      expected = createHash('sha256')
        .update(pool.pool.contents.get(snapshot)!.read(0, DISK_MIB * MIB))
        .digest('hex');
      const trust = join(folder, 'trust');
      await mkdir(trust);
      await writeFile(join(trust, 'ca-cert.pem'), info.cert);
      uri = uriOf('127.0.0.1', trust);
    });

    after(async () => {
      await pool.close();
      await rm(folder, { recursive: true });
    });

    /** As libnbd wants it: the name begins with a slash of its own. */
    const uriOf = (host: string, trust: string): string => {
      const place = `${host}:${info.port}/${encodeURIComponent(info.exportname)}`;
      return purpose === 'nbd' ? `nbds://${place}?tls-certificates=${encodeURIComponent(trust)}` : `nbd://${place}`;
    };

    it('is described by nbdinfo', async () => {
      expect(await runWell('nbdinfo', ['--size', uri])).to.equal(`${DISK_MIB * MIB}\n`);
      const text = await runWell('nbdinfo', [uri]);
      expect(text).to.include(`protocol: newstyle-fixed ${purpose === 'nbd' ? 'with' : 'without'} TLS, using simple`);
      expect(text).to.include('is_read_only: true').and.include('can_multi_conn: false');
    });

    it('is read by nbdcopy to the same bytes', async () => {
      const raw = join(folder, 'nbdcopy.img');
      await runWell('nbdcopy', [uri, raw]);
      expect(await sha256Of(raw)).to.equal(expected);
    });

    it('is read by qemu-img to the same bytes, through a server that asks for no list', async () => {
      const raw = join(folder, 'qemu.img');
      const direct =
        purpose === 'nbd'
          ? [
              '--object',
              `tls-creds-x509,id=tls,endpoint=client,dir=${join(folder, 'trust')},verify-peer=on,sanity-check=off`,
              '--image-opts',
              `driver=nbd,host=${info.address},port=${info.port},export=${info.exportname},tls-creds=tls,tls-hostname=${info.subject}`,
            ]
          : ['--image-opts', `driver=nbd,host=${info.address},port=${info.port},export=${info.exportname}`];
      // A host denies LIST, and qemu gives up on that; with a real host, too.
      const refused = await run('qemu-img', ['info', ...direct]);
      expect(refused.stderr).to.include('Denied by server for option 3');
      const between = ['-U', '-', 'nbd', `hostname=${info.address}`, `port=${info.port}`, `export=${info.exportname}`];
      if (purpose === 'nbd') between.push('tls=require', `tls-certificates=${join(folder, 'trust')}`);
      await runWell('nbdkit', [...between, '--run', `qemu-img convert -O raw "$uri" '${raw}'`]);
      expect(await sha256Of(raw)).to.equal(expected);
      await runWell('nbdkit', [...between, '--run', `qemu-img compare -f raw "$uri" -F raw '${raw}'`]);
    });

    it('is not given to a client that wants it the other way', async () => {
      const place = `${info.address}:${info.port}/${encodeURIComponent(info.exportname)}`;
      const other = purpose === 'nbd' ? `nbd://${place}` : `nbds://${place}`;
      expect((await run('nbdinfo', ['--size', other])).code).to.not.equal(0);
    });
  });
}
