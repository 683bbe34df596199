import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GIB, KIB, MIB } from '../../src/common/byte-size.js';
import { contentOf, createVdi, snapshotVdi } from '../../src/simulator/behaviour/disks.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { textOf } from '../../src/simulator/wire/wire-value.js';
import { run, runWell } from './programs.js';

const DISK_MIB = 129;

/** Reads a differencing image over its parents with libvhdi, oldest first; prints the SHA-256 of the disk. */
const READ_CHAIN = `
import hashlib, sys, pyvhdi
images = []
for path in sys.argv[1:]:
    image = pyvhdi.file()
    image.open(path)
    if images:
        assert image.get_parent_identifier() == images[-1].get_identifier(), 'the parent is another image'
        image.set_parent(images[-1])
    images.append(image)
digest, left = hashlib.sha256(), images[-1].get_media_size()
while left > 0:
    data = images[-1].read_buffer(min(left, 1 << 20))
    assert len(data) > 0
    digest.update(data)
    left -= len(data)
print(digest.hexdigest(), images[-1].get_media_size())
`;

/** Makes an image the parent that another one names, as a client does that keeps a chain: in the footers, twice. */
const SET_IDENTIFIER = `
import struct, sys
child, parent = open(sys.argv[2], 'rb'), open(sys.argv[1], 'r+b')
child.seek(512 + 40)
identifier = child.read(16)
for place in (0, -512):
    parent.seek(place, 2 if place < 0 else 0)
    footer = bytearray(parent.read(512))
    footer[68:84], footer[64:68] = identifier, bytes(4)
    footer[64:68] = struct.pack('>I', ~sum(footer) & 0xffffffff)
    parent.seek(place, 2 if place < 0 else 0)
    parent.write(footer)
`;

describe('single disks of the simulated pool', function () {
  let folder: string;
  let pool: RunningPool;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'interop-disks-'));
    pool = await startSimulatedPool({
      poolFile: {
        name: 'interop',
        hosts: [{ name: 'host-a' }],
        storage: [{ name: 'NFS', type: 'nfs', sizeGiB: 4096, isDefault: true }],
        vms: [
          {
            name: 'vm',
            disks: [
              { name: 'disk', sizeMiB: DISK_MIB, content: { kind: 'random', seed: 7, fillPercent: 30 } },
              { name: 'vast', sizeMiB: 1536 * 1024 },
            ],
          },
        ],
      },
    });
  });

  after(async () => {
    await pool.close();
    await rm(folder, { recursive: true });
  });

  const diskNamed = (name: string): string =>
    pool.pool.store.all('VDI').find(([, vdi]) => textOf(vdi, 'name_label') === name)?.[0] ?? '';
  const uuidOf = (vdi: string): string => textOf(pool.pool.store.get('VDI', vdi), 'uuid');
  const credentials = (): readonly string[] => ['--user', `${pool.username}:${pool.password}`];

  const download = async (name: string, query: string, url = pool.httpUrl): Promise<string> => {
    const path = join(folder, name);
    const address = `${url}/export_raw_vdi?${query}`;
    await runWell('curl', ['--silent', '--show-error', '--fail', ...credentials(), '-k', '-o', path, address]);
    return path;
  };

  const sha256Of = async (path: string): Promise<string> => {
    const hash = createHash('sha256');
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    return hash.digest('hex');
  };

  /** Of the disk as the pool has it. */
  const contentSha256 = (vdi: string): string => {
    const content = contentOf(pool.pool, vdi);
    const hash = createHash('sha256');
    for (let offset = 0; offset < content.sizeBytes; offset += MIB) {
      hash.update(content.read(offset, Math.min(MIB, content.sizeBytes - offset)));
    }
    return hash.digest('hex');
  };

  /** The driver takes the size from the geometry, unless told otherwise, for images that it does not know the maker of. */
  const asVpc = (path: string): string => `driver=vpc,force_size_calc=current_size,file.filename=${path}`;

  for (const kind of ['http', 'https'] as const) {
    it(`are downloaded and uploaded by curl over ${kind}`, async () => {
      const url = kind === 'http' ? pool.httpUrl : pool.url;
      const vdi = diskNamed('disk');
      for (const format of ['raw', 'vhd']) {
        const path = await download(`curl.${format}`, `vdi=${uuidOf(vdi)}&format=${format}`, url);
        const sr = textOf(pool.pool.store.get('VDI', vdi), 'SR');
        const target = createVdi(pool.pool, { SR: sr, virtual_size: DISK_MIB * MIB });
        const address = `${url}/import_raw_vdi?vdi=${uuidOf(target)}&format=${format}`;
        await runWell('curl', ['--silent', '--show-error', '--fail', ...credentials(), '-k', '-T', path, address]);
        expect(contentSha256(target), format).to.equal(contentSha256(vdi));
      }
      expect(await sha256Of(join(folder, 'curl.raw'))).to.equal(contentSha256(vdi));
    });
  }

  it('are read as dynamic VHDs by qemu-img', async () => {
    const vdi = diskNamed('disk');
    const vhd = await download('dynamic.vhd', `vdi=${vdi}&format=vhd`);
    const info = await runWell('qemu-img', ['info', '--output=json', '--image-opts', asVpc(vhd)]);
    expect(JSON.parse(info)).to.include({ format: 'vpc', 'virtual-size': DISK_MIB * MIB });
    const raw = join(folder, 'dynamic.raw');
    await runWell('qemu-img', ['convert', '--image-opts', asVpc(vhd), '-O', 'raw', raw]);
    expect(await sha256Of(raw)).to.equal(contentSha256(vdi));
    // The driver for VHDs has no check: 63 is "not supported".
    expect((await run('qemu-img', ['check', vhd])).code).to.equal(63);
  });

  it('are read as differencing VHDs over their base by libvhdi', async () => {
    const vdi = diskNamed('disk');
    const base = snapshotVdi(pool.pool, vdi);
    const write = (offset: number, data: Buffer): void => {
      pool.writeGuest(uuidOf(vdi), offset, data);
    };
    write(0, Buffer.from('first sector'));
    write(50 * MIB - 3, Buffer.from('over the end of a block'));
    write(80 * MIB, Buffer.alloc(2 * MIB));
    write(DISK_MIB * MIB - 5, Buffer.from('last.'));
    const newer = snapshotVdi(pool.pool, vdi);
    const full = await download('base.vhd', `vdi=${base}&format=vhd`);
    const difference = await download('newer.vhd', `vdi=${newer}&format=vhd&base=${base}`);
    expect((await stat(difference)).size).to.be.lessThan(12 * MIB);
    await runWell('/usr/bin/python3', ['-c', SET_IDENTIFIER, full, difference]);
    const read = await runWell('/usr/bin/python3', ['-c', READ_CHAIN, full, difference]);
    expect(read.trim()).to.equal(`${contentSha256(newer)} ${DISK_MIB * MIB}`);
    expect((await runWell('/usr/bin/python3', ['-c', READ_CHAIN, full])).split(' ')[0]).to.equal(contentSha256(base));
  });

  it('are taken as VHDs that qemu-img made', async () => {
    const raw = join(folder, 'foreign.raw');
    const bytes = Buffer.alloc(9 * MIB, 'foreign');
    bytes.fill(0, 3 * MIB, 7 * MIB);
    await writeFile(raw, bytes);
    const vhd = join(folder, 'foreign.vhd');
    await runWell('qemu-img', ['convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, vhd]);
    const sr = textOf(pool.pool.store.get('VDI', diskNamed('disk')), 'SR');
    const target = createVdi(pool.pool, { SR: sr, virtual_size: bytes.length });
    const address = `${pool.httpUrl}/import_raw_vdi?vdi=${target}&format=vhd`;
    await runWell('curl', ['--silent', '--show-error', '--fail', ...credentials(), '-T', vhd, address]);
    expect(contentOf(pool.pool, target).read(0, bytes.length).equals(bytes)).to.equal(true);
  });

  it('are small and soon there when they are vast and little was written', async () => {
    const vdi = diskNamed('vast');
    const base = snapshotVdi(pool.pool, vdi);
    for (let index = 0; index < 40; index += 1) {
      pool.writeGuest(uuidOf(vdi), index * 37 * GIB + 5 * KIB, Buffer.from(`write ${index}`));
    }
    const newer = snapshotVdi(pool.pool, vdi);
    const startedMs = Date.now();
    const vhd = await download('vast.vhd', `vdi=${newer}&format=vhd&base=${base}`);
    expect(Date.now() - startedMs).to.be.lessThan(5000);
    expect((await stat(vhd)).size).to.be.lessThan(90 * MIB);
  });
});
