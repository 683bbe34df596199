import { expect } from 'chai';
import { request as httpRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { KIB, MIB } from '../../src/common/byte-size.js';
import { type BackupError, isBackupError } from '../../src/contract/backup-error.js';
import { type SavesetDisk } from '../../src/contract/saveset-record.js';
import { archiveDisks, archiveMachine } from '../../src/format/ova-xml.js';
import { XvaReader, type XvaSummary } from '../../src/format/xva-reader.js';
import { contentOf } from '../../src/simulator/behaviour/disks.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { setOf, textOf } from '../../src/simulator/wire/wire-value.js';
import { chainArchive, type ChainArchiveOptions } from '../../src/transfer/chain-archive.js';
import { itemOf, type Moment, storedChain, type StoredMedia } from '../support/stored-chain.js';

const DEFINITION = {
  name: 'pool',
  hosts: [{ name: 'one' }],
  networks: [
    { name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    { name: 'net1', bridge: 'xenbr1', device: 'eth1' },
  ],
  storage: [
    { name: 'sr', type: 'nfs' as const, isDefault: true },
    { name: 'isos', type: 'iso' as const, images: [{ name: 'guest-tools.iso', sizeMiB: 1 }] },
  ],
  vms: [
    {
      name: 'vm',
      disks: [
        { name: 'd0', sizeMiB: 6 },
        { name: 'd1', sizeMiB: 3.5 },
        { name: 'd2', sizeMiB: 1 },
      ],
      cdDrive: 'guest-tools.iso',
      interfaces: [{ network: 'net0', mac: '02:00:00:00:00:01' }],
    },
  ],
};

function noise(disk: Buffer, offsetBytes: number, lengthBytes: number, seed: number): Moment['changed'][number] {
  for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += 1) disk[at] = (at * 13 + (at >> 9) + seed) & 0xff;
  return { offsetBytes, lengthBytes };
}

/** A full with holes, then increments of 64 KiB and of odd sectors. */
function momentsOf(sizeBytes: number, seed: number): Moment[] {
  const disk = Buffer.alloc(sizeBytes);
  const full = [noise(disk, 0, 100 * KIB, seed), noise(disk, sizeBytes - 512, 512, seed)];
  const moments = [{ disk: Buffer.from(disk), changed: full }];
  for (let at = 1; at < 4; at += 1) {
    const changed = [
      noise(disk, at * 64 * KIB, 64 * KIB, seed + at),
      noise(disk, 512 * KIB + at * 1536, 512, seed + at),
    ];
    moments.push({ disk: Buffer.from(disk), changed });
  }
  return moments;
}

describe('chainArchive', () => {
  let running: RunningPool;
  let session: string;
  let metadata: Buffer;
  const moments = [momentsOf(6 * MIB, 1), momentsOf(3.5 * MIB, 2), momentsOf(MIB, 3)];
  let media: StoredMedia;

  const query = (parts: Readonly<Record<string, string>>): string =>
    new URLSearchParams({ session_id: session, ...parts }).toString();

  before(async () => {
    running = await startSimulatedPool({ poolFile: DEFINITION });
    session = running.pool.sessions.login(running.username, running.password, 'spec', running.pool.coordinator);
    const [vm] = running.pool.store.all('VM').find(([, record]) => record.name_label === 'vm')!;
    const answer = await fetch(`${running.httpUrl}/export_metadata?${query({ ref: vm })}`);
    metadata = Buffer.from(await answer.arrayBuffer());
  });

  after(async () => {
    await running.close();
  });

  beforeEach(async () => {
    media = await mediaOf(metadata);
  });

  async function mediaOf(machine: Buffer): Promise<StoredMedia> {
    const item = itemOf('machine.xva', 'machine-metadata', 'application/x-xva', machine);
    const disks = moments.map((each, position) => ({ position: String(position), moments: each }));
    return await storedChain(disks, [{ item, bytes: machine }]);
  }

  const open = (more: Partial<ChainArchiveOptions> = {}): ReturnType<typeof chainArchive> =>
    chainArchive({ media, ...more });

  function read(archive: Buffer): XvaSummary {
    const reader = new XvaReader();
    reader.push(archive);
    return reader.end();
  }

  async function failureOf(work: Promise<unknown>): Promise<BackupError> {
    const error = await work.then(
      () => new TypeError('it succeeded'),
      (reason: unknown) => reason,
    );
    if (isBackupError(error)) return error;
    throw error;
  }

  it('is an archive of the promised length, with the summary of what it is', async () => {
    const { stream, bytes, archive, summary } = await open();
    const sent = await buffer(stream);
    expect(sent.length).to.equal(await bytes);
    const found = read(sent);
    const { archive: records, ...said } = await summary;
    expect(records).to.equal(await archive);
    expect({ ...found, archive: undefined }).to.deep.equal({ ...said, archive: undefined });
    expect(said.disks.map(({ sizeBytes }) => sizeBytes).sort()).to.deep.equal([MIB, 3.5 * MIB, 6 * MIB].sort());
    expect(said.zeroBytesSkipped).to.equal(2 * MIB);
  });

  it('is imported by a pool, with the disks of the newest moment', async () => {
    const { stream, bytes } = await open({
      editArchive: (records) => {
        archiveMachine(records).snapshot.name_label = 'restored';
      },
    });
    const task = running.pool.tasks.create({ label: 'import', host: running.pool.coordinator });
    const headers = { 'content-length': String(await bytes) };
    await new Promise<void>((resolve, reject) => {
      const upload = httpRequest(
        `${running.httpUrl}/import?${query({ task_id: task })}`,
        { method: 'PUT', headers },
        (response) => response.resume().on('end', resolve),
      );
      stream.on('error', reject);
      stream.pipe(upload.on('error', reject));
    });
    const { store } = running.pool;
    expect(textOf(store.get('task', task), 'status')).to.equal('success');
    const [, machine] = store.all('VM').find(([, vm]) => vm.name_label === 'restored')!;
    expect(machine).to.include({ is_a_snapshot: false, power_state: 'Halted' });
    const drives = setOf(machine, 'VBDs').map((ref) => store.get('VBD', ref));
    const disks = drives.filter((drive) => textOf(drive, 'type') === 'Disk');
    expect(disks.map((drive) => textOf(drive, 'userdevice')).sort()).to.deep.equal(['0', '1', '2']);
    for (const drive of disks) {
      const content = contentOf(running.pool, textOf(drive, 'VDI'));
      const expected = moments[Number(textOf(drive, 'userdevice'))]!.at(-1)!.disk;
      expect(content.read(0, content.sizeBytes).equals(expected), textOf(drive, 'userdevice')).to.equal(true);
    }
    expect(setOf(machine, 'VIFs').length).to.equal(1);
  });

  it('leaves out disks that are not wanted, with their drives', async () => {
    const wanted = media.record.disks.filter(({ position }: SavesetDisk) => position !== '1');
    const { stream, archive } = await open({ disks: wanted });
    expect(read(await buffer(stream)).disks.length).to.equal(2);
    expect(
      archiveDisks(await archive)
        .map(({ userdevice }) => userdevice)
        .sort(),
    ).to.deep.equal(['0', '2']);
    expect([...media.opened.keys()].filter((key) => key.endsWith('disk-1.vhd'))).to.deep.equal([]);
  });

  it('does not read a disk whose records were taken away', async () => {
    const { stream } = await open({
      editArchive: (records) => {
        const [gone] = archiveDisks(records);
        const at = records.objects.findIndex(({ id }) => id === gone!.id);
        records.objects.splice(at, 1);
      },
    });
    expect(read(await buffer(stream)).disks.length).to.equal(2);
    expect([...media.opened.keys()].filter((key) => key.startsWith('s0')).length).to.equal(2);
  });

  it('takes disks that are full in a saveset whose others are increments', async () => {
    const { savesetId } = media.record;
    const full = await storedChain([
      { position: '0', moments: [{ ...moments[0]!.at(-1)!, changed: [{ offsetBytes: 0, lengthBytes: 6 * MIB }] }] },
    ]);
    const [item] = full.record.items;
    media.stored.set(`${savesetId}/disk-0.vhd`, full.stored.get('s0/disk-0.vhd')!);
    Object.assign(media.record.disks[0]!, { level: 'full' });
    media.record.items.splice(
      media.record.items.findIndex(({ name }) => name === 'disk-0.vhd'),
      1,
      item!,
    );
    const { stream } = await open();
    expect(read(await buffer(stream)).blocks).to.equal(6 + 4 + 1);
    expect([...media.opened.keys()].filter((key) => key.endsWith('disk-0.vhd'))).to.deep.equal([
      `${savesetId}/disk-0.vhd`,
    ]);
  });

  it('has SHA-1 sums where the XAPI that wrote the records knows no others', async () => {
    const text = metadata.toString('latin1');
    const old = Buffer.from(
      text
        .replace(/(<name>xapi_major<\/name><value>)\d+/, '$11')
        .replace(/(<name>xapi_minor<\/name><value>)\d+/, '$120'),
      'latin1',
    );
    // The text became shorter or longer; the machine is rebuilt around it.
    const start = text.indexOf('<value>');
    const body = old.subarray(start, old.lastIndexOf('>') + 1);
    const { tarMember } = await import('../support/xva-builder.js');
    media = await mediaOf(Buffer.concat([tarMember('ova.xml', body), Buffer.alloc(1024)]));
    const { stream } = await open();
    expect(read(await buffer(stream)).checksumKind).to.equal('checksum');
  });

  describe('lets nobody take a damaged chain for a good one:', () => {
    async function refused(): Promise<{ error: BackupError; sentBytes: number; promised: number | undefined }> {
      const { stream, bytes, summary } = await open();
      let sentBytes = 0;
      stream.on('data', (piece: Buffer) => (sentBytes += piece.length));
      const error = await new Promise<unknown>((resolve) => {
        stream.once('error', resolve);
        stream.once('end', () => {
          resolve(new TypeError('it ended well'));
        });
      });
      if (!isBackupError(error)) throw error;
      expect(await failureOf(summary)).to.equal(error);
      for (const item of media.opened.values()) expect(item.destroyed).to.equal(true);
      return { error, sentBytes, promised: await bytes };
    }

    for (const key of ['s0/disk-0.vhd', 's2/disk-1.vhd', 's3/disk-2.vhd']) {
      it(`a bit of data changed in ${key}`, async () => {
        const bytes = Buffer.from(media.stored.get(key)!);
        const at = bytes.length - 600;
        bytes[at] = (bytes[at] ?? 0) ^ 1;
        media.stored.set(key, bytes);
        const { error, sentBytes, promised } = await refused();
        expect(error.code).to.equal('DATA_DAMAGED');
        expect(error.message)
          .to.contain(key.slice(3))
          .and.to.contain(`saveset ${key.slice(0, 2)}`);
        expect(sentBytes).to.be.at.most((promised ?? 0) - 64 * KIB);
      });
    }

    it('its metadata changed', async () => {
      const bytes = Buffer.from(metadata);
      bytes[2000] = (bytes[2000] ?? 0) ^ 1;
      media.stored.set('s3/machine.xva', bytes);
      expect((await failureOf(open())).code).to.equal('DATA_DAMAGED');
    });

    it('its metadata are of other disks', async () => {
      media.record.disks[0]!.position = '7';
      const { code, message } = await failureOf(open());
      expect(code).to.equal('SAVESET_INVALID');
      expect(message).to.contain('7');
    });

    it('a member is missing', async () => {
      media = { ...media, ancestors: [] };
      expect((await failureOf(open())).code).to.equal('CHAIN_BROKEN');
    });

    it('it was cancelled', async () => {
      const controller = new AbortController();
      const { stream, summary } = await open({ signal: controller.signal });
      controller.abort();
      expect(isBackupError(stream.errored) && stream.errored.code).to.equal('CANCELLED');
      expect((await failureOf(summary)).code).to.equal('CANCELLED');
    });

    it('it was closed early', async () => {
      const { stream, summary } = await open();
      stream.destroy();
      expect((await failureOf(summary)).code).to.equal('CANCELLED');
      for (const item of media.opened.values()) expect(item.destroyed).to.equal(true);
    });
  });
});
