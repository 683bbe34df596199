import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type ByteExtent } from '../../src/common/byte-extent.js';
import { KIB, MIB } from '../../src/common/byte-size.js';
import { VhdReader } from '../../src/format/vhd-reader.js';
import { VhdRestamp } from '../../src/format/vhd-restamp.js';
import { vhdChecksum } from '../../src/format/vhd-structures.js';
import { openChainDisk } from '../../src/transfer/chain-disk.js';
import { type Moment, storedChain, type StoredMedia } from '../support/stored-chain.js';
import { buildVhd } from '../support/vhd-builder.js';
import { run, runWell } from './programs.js';

/** Python of the system, for which Debian packages libvhdi (`python3-libvhdi`). */
const PYTHON = '/usr/bin/python3';
const UNIT = 64 * KIB;
const SIZE_BYTES = 33 * MIB + UNIT;

/** Opens files oldest first, each the parent of the next, and writes the bytes of each as it reads through its chain. */
const READ_CHAIN = `
import sys, pyvhdi
files = []
for path in sys.argv[1:]:
    file = pyvhdi.file()
    file.open(path)
    if files:
        assert file.get_parent_identifier() == files[-1].get_identifier()
        assert file.get_parent_filename() == path.split('/')[-1].split('-', 1)[1]
        file.set_parent(files[-1])
    files.append(file)
for path, file in zip(sys.argv[1:], files):
    size = file.get_media_size()
    with open(path + '.read', 'wb') as out:
        at = 0
        while at < size:
            data = file.read_buffer_at_offset(min(1 << 20, size - at), at)
            out.write(data)
            at += len(data)
`;

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
}

function noise(disk: Buffer, extent: ByteExtent, seed: number): ByteExtent {
  let state = seed * 2_654_435_761 + 1;
  for (let at = extent.offsetBytes; at < extent.offsetBytes + extent.lengthBytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    disk.writeInt32LE(state, at);
  }
  return extent;
}

/** A full of three pieces, then four times scattered changes: whole units, or also odd sectors. */
function momentsOf(hasOddSectors: boolean): Moment[] {
  const disk = Buffer.alloc(SIZE_BYTES);
  const full = [
    { offsetBytes: 0, lengthBytes: 3 * UNIT },
    { offsetBytes: 5 * MIB, lengthBytes: 3 * MIB },
    { offsetBytes: SIZE_BYTES - UNIT, lengthBytes: UNIT },
  ];
  const moments = [{ disk: Buffer.alloc(0), changed: full.map((extent) => noise(disk, extent, 1)) }];
  moments[0] = { disk: Buffer.from(disk), changed: full };
  for (let at = 1; at < 5; at += 1) {
    const changed = [
      { offsetBytes: at * UNIT, lengthBytes: UNIT },
      { offsetBytes: 5 * MIB + at * 3 * UNIT, lengthBytes: 2 * UNIT },
      { offsetBytes: 20 * MIB + at * UNIT + (hasOddSectors ? 1536 : 0), lengthBytes: hasOddSectors ? 2560 : UNIT },
      ...(at === 4 ? [{ offsetBytes: SIZE_BYTES - UNIT, lengthBytes: UNIT }] : []),
    ];
    for (const extent of changed) noise(disk, extent, at + 1);
    moments.push({ disk: Buffer.from(disk), changed });
  }
  return moments;
}

describe('our VHD files', function () {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'interop-vhd-'));
  });

  after(async () => {
    await rm(folder, { recursive: true });
  });

  /** Files `<moment>-disk-0.vhd`, oldest first. */
  async function write(media: StoredMedia): Promise<string[]> {
    const paths: string[] = [];
    for (const [key, bytes] of [...media.stored].sort(([left], [right]) => (left < right ? -1 : 1))) {
      const path = join(folder, key.replace('/', '-'));
      await writeFile(path, bytes);
      paths.push(path);
    }
    return paths;
  }

  it('are read by qemu-img when they are whole: a full, and a disk merged from its chain', async () => {
    const moments = momentsOf(true);
    const media = await storedChain([{ position: '0', moments }]);
    const [full] = await write(media);
    const merged = join(folder, 'merged.vhd');
    const { stream } = await openChainDisk({ media, disk: media.record.disks[0]!, format: 'vhd' });
    await writeFile(merged, await buffer(stream));
    for (const [path, { disk }] of [[full!, moments[0]!] as const, [merged, moments[4]!] as const]) {
      const info = JSON.parse(await runWell('qemu-img', ['info', '--output=json', path])) as Record<string, unknown>;
      expect(info).to.include({ format: 'vpc', 'virtual-size': SIZE_BYTES });
      await runWell('qemu-img', ['convert', '-O', 'raw', path, `${path}.raw`]);
      expect(readFileSync(`${path}.raw`).equals(disk), path).to.equal(true);
    }
  });

  for (const hasOddSectors of [false, true]) {
    it(`are read by libvhdi as a chain of five${hasOddSectors ? ', with sectors of the parent inside a block' : ''}`, async function () {
      const { stdout } = await run(PYTHON, ['-c', 'import pyvhdi; print("there")']);
      expect(stdout, 'python3-libvhdi is installed').to.contain('there');
      const moments = momentsOf(hasOddSectors);
      const paths = await write(await storedChain([{ position: '0', moments }]));
      await runWell(PYTHON, ['-c', READ_CHAIN, ...paths]);
      paths.forEach((path, index) => {
        expect(readFileSync(`${path}.read`).equals(moments[index]!.disk), path).to.equal(true);
      });
    });
  }

  it('can be put over each other by what qemu-img says of them, when blocks are 64 KiB', async () => {
    const moments = momentsOf(false);
    const paths = await write(await storedChain([{ position: '0', moments }]));
    const disk = Buffer.alloc(SIZE_BYTES);
    for (const [index, path] of paths.entries()) {
      const info = JSON.parse(await runWell('qemu-img', ['info', '-f', 'vpc', '--output=json', path])) as Record<
        string,
        unknown
      >;
      expect(info['cluster-size']).to.equal(index === 0 ? 2 * MIB : UNIT);
      await runWell('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, `${path}.raw`]);
      const raw = readFileSync(`${path}.raw`);
      const map = JSON.parse(await runWell('qemu-img', ['map', '-f', 'vpc', '--output=json', path])) as MapEntry[];
      for (const { start, length } of map.filter(({ data }) => data)) raw.copy(disk, start, start, start + length);
      expect(disk.equals(moments[index]!.disk), path).to.equal(true);
    }
  });

  it('have their own size for qemu-img, also when a pool made them', async () => {
    const [full] = momentsOf(true);
    const { bytes } = await buildVhd(full!.disk, full!.changed);
    for (const footer of [bytes.subarray(0, 512), bytes.subarray(-512)]) {
      footer.write('caml', 28, 'latin1');
      footer.writeUInt32BE(vhdChecksum(footer, 64), 64);
    }
    const sizeOf = async (name: string, vhd: Buffer): Promise<unknown> => {
      const path = join(folder, name);
      await writeFile(path, vhd);
      const info = JSON.parse(await runWell('qemu-img', ['info', '--output=json', path])) as Record<string, unknown>;
      return info['virtual-size'];
    };
    expect(await sizeOf('sent.vhd', bytes)).to.be.below(SIZE_BYTES);
    const restamp = new VhdRestamp({ diskSizeBytes: SIZE_BYTES });
    const stored = Buffer.concat([...restamp.push(bytes), restamp.end()]);
    expect(await sizeOf('stored.vhd', stored)).to.equal(SIZE_BYTES);
  });

  it('and those of qemu-img are read by us', async () => {
    const [, newest] = momentsOf(true);
    const raw = join(folder, 'foreign.raw');
    await writeFile(raw, newest!.disk);
    await runWell('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'vpc',
      '-o',
      'subformat=dynamic,force_size=on',
      raw,
      `${raw}.vhd`,
    ]);
    const disk = Buffer.alloc(SIZE_BYTES);
    const reader = new VhdReader({
      diskSizeBytes: SIZE_BYTES,
      onRun: ({ offsetBytes, data }) => data.copy(disk, offsetBytes),
    });
    reader.push(readFileSync(`${raw}.vhd`));
    reader.end();
    expect(disk.equals(newest!.disk)).to.equal(true);
  });
});
