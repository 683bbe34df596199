import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../src/common/byte-size.js';
import { packageRoot } from '../../src/common/package-root.js';
import { startSimulatedPool, type PoolDefinition, type RunningPool } from '../../src/simulator/index.js';
import { runWell, xenBackup } from './programs.js';

const IMAGE_MIB = 96;

const poolWith = (image: string): PoolDefinition => ({
  name: 'interop',
  hosts: [{ name: 'host-a' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [{ name: 'NFS', type: 'nfs', isDefault: true }],
  vms: [
    {
      name: 'ext4',
      powerState: 'Running',
      guest: { os: 'Debian GNU/Linux 12' },
      disks: [{ name: 'root', sizeMiB: IMAGE_MIB, content: { kind: 'file', path: image } }],
      interfaces: [{ network: 'LAN' }],
    },
  ],
});

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Writes the only disk of a VM, as the simulated pool has it, to a file. */
async function saveDisk(pool: RunningPool, vmName: string, path: string): Promise<void> {
  const { store, contents } = pool.pool;
  const [, vm] = store.all('VM').find(([, record]) => record.name_label === vmName) ?? [];
  const [, vbd] = store.all('VBD').find(([ref]) => (vm?.VBDs as string[]).includes(ref)) ?? [];
  const content = contents.get(vbd?.VDI as string);
  expect(content?.sizeBytes).to.equal(IMAGE_MIB * MIB);
  await writeFile(path, content!.read(0, IMAGE_MIB * MIB));
}

describe('an ext4 file system that mkfs made', function () {
  let folder: string;
  let image: string;
  let pool: RunningPool;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'interop-ext4-'));
    image = join(folder, 'root.img');
    await runWell('mkfs.ext4', ['-q', '-F', '-d', join(packageRoot(), 'node_modules', 'rxjs'), image, `${IMAGE_MIB}M`]);
    // This release writes SHA-1 members (.checksum): the only ones that xva-img reads.
    pool = await startSimulatedPool({ poolFile: poolWith(image), release: '8.0' });
    await xenBackup(pool, join(folder, 'repository'), ['backup', 'vm/ext4']);
  });

  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  it('is unpacked by xva-img to the same bytes', async () => {
    const savesets = join(folder, 'repository', 'savesets');
    const [saveset] = await readdir(savesets);
    const unpacked = join(folder, 'unpacked');
    await mkdir(unpacked);
    await runWell('tar', ['-xf', join(savesets, saveset!, 'vm.xva'), '-C', unpacked]);
    await runWell('chmod', ['-R', 'u+rw', unpacked]);
    const [disk] = (await readdir(unpacked)).filter((name) => name.startsWith('Ref:'));
    const raw = join(folder, 'unpacked.img');
    // xva-img wants the slash: without it, it takes the folder for a file name's beginning.
    await runWell('xva-img', ['disk-export', `${join(unpacked, disk!)}/`, raw]);
    expect((await stat(raw)).size).to.equal(IMAGE_MIB * MIB);
    expect(await sha256Of(raw)).to.equal(await sha256Of(image));
  });

  it('is what gzip unpacks when it is stored packed, and comes back', async () => {
    const repository = join(folder, 'packed');
    await xenBackup(pool, repository, ['backup', 'vm/ext4', '--compress', 'gzip']);
    const [saveset] = await readdir(join(repository, 'savesets'));
    const packed = join(repository, 'savesets', saveset!, 'vm.xva.gz');
    const record = await readFile(join(repository, 'savesets', saveset!, 'saveset.json'), 'utf8');
    await runWell('gzip', ['--test', packed]);
    await runWell('gzip', ['--decompress', '--keep', packed]);
    expect(record).to.include(await sha256Of(packed.slice(0, -3)));
    await rm(packed.slice(0, -3));
    await xenBackup(pool, repository, ['restore', 'latest:vm/ext4', '--as', 'ext4-unpacked']);
    const restored = join(folder, 'unpacked-again.img');
    await saveDisk(pool, 'ext4-unpacked', restored);
    expect(await sha256Of(restored)).to.equal(await sha256Of(image));
  });

  it('is the same and clean after a restore', async () => {
    await xenBackup(pool, join(folder, 'repository'), ['restore', 'latest:vm/ext4', '--as', 'ext4-again']);
    const restored = join(folder, 'restored.img');
    await saveDisk(pool, 'ext4-again', restored);
    expect(await sha256Of(restored)).to.equal(await sha256Of(image));
    await runWell('e2fsck', ['-f', '-n', restored]);
    const listing = await runWell('debugfs', ['-R', 'ls -p /', restored]);
    expect(listing).to.include('package.json');
  });

  it('gives single files out of a disk that was brought back as a file, without a pool', async () => {
    const repository = join(folder, 'repository');
    const raw = join(folder, 'root.raw');
    await xenBackup(pool, repository, ['restore', 'latest:vm/ext4', '--to-file', raw, '--disk', 'root']);
    expect(await sha256Of(raw)).to.equal(await sha256Of(image));
    const { size, blocks } = await stat(raw);
    expect(size).to.equal(IMAGE_MIB * MIB);
    expect(blocks * 512).to.be.lessThan(size / 2);
    expect(await runWell('debugfs', ['-R', 'ls -p /', raw])).to.include('package.json');
    const file = join(folder, 'package.json');
    await runWell('debugfs', ['-R', `dump /package.json ${file}`, raw]);
    expect(await sha256Of(file)).to.equal(await sha256Of(join(packageRoot(), 'node_modules', 'rxjs', 'package.json')));
    const vhd = join(folder, 'root.vhd');
    const asVhd = ['--to-file', vhd, '--disk', '0', '--format', 'vhd'];
    await xenBackup(pool, repository, ['restore', 'latest:vm/ext4', ...asVhd]);
    await runWell('qemu-img', ['compare', '-f', 'raw', '-F', 'vpc', raw, vhd]);
  });
});
