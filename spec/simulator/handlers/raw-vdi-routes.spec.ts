import { expect } from 'chai';
import { request } from 'node:http';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf, createVdi, snapshotVdi } from '../../../src/simulator/behaviour/disks.js';
import { dataPathSettings } from '../../../src/simulator/handlers/data-path-settings.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { flagOf, setOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';
import { ManualClock } from '../../support/manual-clock.js';
import { partsOf } from '../support/vhd-parts.js';

const SIZE_BYTES = 3 * MIB;
const IO_ERROR = ['VDI_IO_ERROR', 'Device I/O errors'];

const DEFINITION = {
  name: 'raw',
  hosts: [{ name: 'one' }, { name: 'two' }],
  storage: [
    { name: 'sr', type: 'nfs' as const, isDefault: true },
    { name: 'local', type: 'ext' as const, host: 'two', sizeGiB: 4096 },
    { name: 'images', type: 'iso' as const, images: [{ name: 'image.iso', sizeMiB: 1 }] },
  ],
  vms: [
    {
      name: 'halted',
      disks: [
        { name: 'd0', sizeMiB: 3, content: { kind: 'random' as const, seed: 1 } },
        {
          name: 'sparse',
          sizeMiB: 64,
          content: {
            kind: 'random' as const,
            seed: 2,
            allocatedRanges: [
              { offsetBytes: 5 * MIB, lengthBytes: 512 },
              { offsetBytes: 40 * MIB, lengthBytes: MIB },
            ],
          },
        },
        { name: 'elsewhere', sizeMiB: 2, storage: 'local' },
        { name: 'huge', sizeMiB: 2041 * 1024, storage: 'local' },
      ],
    },
    { name: 'busy', powerState: 'Running' as const, disks: [{ name: 'b0', sizeMiB: 1 }] },
  ],
};

describe('routes of raw disks', () => {
  let running: RunningPool;

  beforeEach(async () => {
    running = await startSimulatedPool({ poolFile: DEFINITION });
  });

  afterEach(() => running.close());

  const vdiOf = (name: string): readonly [string, XapiRecord] =>
    running.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === name)!;
  const refOf = (name: string): string => vdiOf(name)[0];
  const newTask = (): string => running.pool.tasks.create({ label: 'test', host: running.pool.coordinator });
  const taskOf = (ref: string): XapiRecord => running.pool.store.get('task', ref);
  const authorization = (): string =>
    `Basic ${Buffer.from(`${running.username}:${running.password}`).toString('base64')}`;

  const ask = (path: string, query: Readonly<Record<string, string>>, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(`${running.httpUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    return fetch(url, { redirect: 'manual', ...init, headers: { authorization: authorization() } });
  };
  const get = async (query: Readonly<Record<string, string>>): Promise<Buffer> =>
    Buffer.from(await (await ask('/export_raw_vdi', query)).arrayBuffer());

  /** Puts bytes with any head; resolves with the status once the answer has ended. */
  const put = (
    query: Readonly<Record<string, string>>,
    body: Buffer,
    headers: Readonly<Record<string, string | number>> = { 'content-length': body.length },
  ): Promise<number> =>
    new Promise((resolve, reject) => {
      const url = new URL(`${running.httpUrl}/import_raw_vdi?${new URLSearchParams(query).toString()}`);
      const sent = request(url, { method: 'PUT', headers: { authorization: authorization(), ...headers } });
      sent.on('response', (answer) => {
        answer.resume();
        answer.on('end', () => {
          resolve(answer.statusCode ?? 0);
        });
      });
      sent.on('error', reject);
      // Whatever was announced, this is all: the other side sees the end.
      sent.write(body, () => sent.socket?.end());
    });

  const bytesOf = (name: string): Buffer => {
    const content = contentOf(running.pool, refOf(name));
    return content.read(0, content.sizeBytes);
  };

  describe('GET /export_raw_vdi', () => {
    it('serves the bytes of a disk, by reference and by uuid, and ends the task', async () => {
      const [ref, record] = vdiOf('d0');
      for (const vdi of [ref, textOf(record, 'uuid')]) {
        const task = newTask();
        const answer = await ask('/export_raw_vdi', { vdi, format: 'RAW', task_id: task });
        expect(answer.headers.get('content-disposition')).to.include(`${textOf(record, 'uuid')}.raw`);
        expect(answer.headers.get('content-type')).to.equal('application/octet-stream');
        expect(Buffer.from(await answer.arrayBuffer()).equals(bytesOf('d0'))).to.equal(true);
        expect(taskOf(task)).to.include({ status: 'success', result: '', progress: 1 });
      }
      expect(running.pool.store.all('VBD').filter(([, vbd]) => flagOf(vbd, 'currently_attached'))).to.have.length(1);
    });

    it('answers 404 and fails the task for a format that it does not know', async () => {
      for (const format of ['nosuch', 'qcow2']) {
        const task = newTask();
        const answer = await ask('/export_raw_vdi', { vdi: refOf('d0'), format, task_id: task });
        expect(answer.status).to.equal(404);
        expect(taskOf(task).error_info).to.deep.equal(['INTERNAL_ERROR', `Unknown format ${format}`]);
      }
    });

    it('leaves the task alone when the disk is not known', async () => {
      const task = newTask();
      const answer = await ask('/export_raw_vdi', { vdi: 'nosuch', task_id: task });
      expect(answer.status).to.equal(500);
      expect(await answer.text()).to.include('UUID_INVALID');
      expect(taskOf(task).status).to.equal('pending');
    });

    it('sends a dynamic VHD with the blocks that hold anything, in ascending order', async () => {
      const answer = await ask('/export_raw_vdi', { vdi: refOf('sparse'), format: 'vhd' });
      expect(answer.headers.get('content-type')).to.equal('application/vhd');
      expect(answer.headers.get('content-disposition')).to.match(/\.vhd"$/);
      const vhd = Buffer.from(await answer.arrayBuffer());
      const parts = partsOf(vhd);
      expect(parts).to.include({ type: 3, sizeBytes: 64 * MIB });
      expect(parts.blocks).to.deep.equal([2, 20]);
      expect(parts.blockAt(2)?.bitmap.equals(Buffer.alloc(512, 0xff))).to.equal(true);
      expect(parts.blockAt(20)?.data.equals(bytesOf('sparse').subarray(40 * MIB, 42 * MIB))).to.equal(true);
      expect(vhd.length).to.equal(2048 + 512 + 2 * (512 + 2 * MIB) + 512);
    });

    it('sends what changed since the base as a differencing VHD of whole blocks', async () => {
      const [vdi, record] = vdiOf('sparse');
      const base = snapshot(vdi);
      running.writeGuest(textOf(record, 'uuid'), 30 * MIB + 7, Buffer.from('new'));
      running.writeGuest(textOf(record, 'uuid'), 5 * MIB, Buffer.alloc(MIB));
      const newer = snapshot(vdi);
      for (const name of [base, textOf(running.pool.store.get('VDI', base), 'uuid')]) {
        const task = newTask();
        const parts = partsOf(await get({ vdi: newer, format: 'vhd', base: name, task_id: task }));
        expect(parts.type).to.equal(4);
        expect(parts.blocks).to.deep.equal([2, 15]);
        const uuid = textOf(running.pool.store.get('VDI', base), 'uuid');
        expect(parts.parentUuid).to.equal(uuid.replaceAll('-', ''));
        expect(parts.blockAt(2)?.data.equals(bytesOf('sparse').subarray(4 * MIB, 6 * MIB))).to.equal(true);
        expect(taskOf(task).status).to.equal('success');
      }
      const raw = await get({ vdi: newer, format: 'raw', base });
      expect(raw.subarray(30 * MIB, 32 * MIB).equals(bytesOf('sparse').subarray(30 * MIB, 32 * MIB))).to.equal(true);
      expect(raw.subarray(40 * MIB, 41 * MIB).equals(Buffer.alloc(MIB))).to.equal(true);
    });

    it('sends everything that either has when the two have nothing in common', async () => {
      const parts = partsOf(await get({ vdi: refOf('sparse'), format: 'vhd', base: refOf('d0') }));
      expect(parts.blocks).to.deep.equal([0, 1, 2, 20]);
    });

    it('fails in the body and the task when the base is no VHD', async () => {
      const task = newTask();
      const body = await get({ vdi: refOf('d0'), format: 'vhd', base: refOf('image.iso'), task_id: task });
      expect(body.toString()).to.match(/^HTTP\/1\.1 500/);
      const [code, text] = setOf(taskOf(task), 'error_info');
      expect(code).to.equal('INTERNAL_ERROR');
      expect(text).to.include('base VDI is not a vhd');
    });

    it('refuses a VHD of more than 2040 GiB, behind the head', async () => {
      const task = newTask();
      running.makeCoordinator(running.hosts[1]!.uuid);
      const url = `${running.hosts[1]!.httpUrl}/export_raw_vdi?vdi=${refOf('huge')}&format=vhd&task_id=${task}`;
      const answer = await fetch(url, { headers: { authorization: authorization() } });
      expect(answer.status).to.equal(200);
      expect(await answer.text()).to.include('HTTP/1.1 500');
      expect(taskOf(task).error_info).to.deep.equal(['VDI_TOO_LARGE', refOf('huge'), '2190433320960']);
    });

    it('sends a tar of chunks of 1 MiB with their checksums', async () => {
      const answer = await ask('/export_raw_vdi', { vdi: refOf('sparse'), format: 'tar' });
      expect(answer.headers.get('content-type')).to.equal('application/x-tar');
      const tar = Buffer.from(await answer.arrayBuffer());
      const names: string[] = [];
      for (let at = 0; tar[at] !== 0;) {
        names.push(tar.toString('latin1', at, tar.indexOf(0, at)));
        at += 512 + Math.ceil(Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8) / 512) * 512;
      }
      const chunks = ['00000000', '00000005', '00000040', '00000063'];
      expect(names).to.deep.equal(chunks.flatMap((name) => [`vdi/${name}`, `vdi/${name}.xxhash`]));
    });

    it('sends the client to the host that sees the storage, and leaves the task to it', async () => {
      const task = newTask();
      const answer = await ask('/export_raw_vdi', { vdi: refOf('elsewhere'), format: 'vhd', task_id: task });
      expect(answer.status).to.equal(302);
      const { pathname, hostname } = new URL(answer.headers.get('location')!);
      expect({ pathname, hostname }).to.deep.equal({ pathname: '/export_raw_vdi', hostname: '127.0.0.2' });
      expect(taskOf(task).status).to.equal('pending');
    });

    it('refuses a disk that a running VM writes to', async () => {
      const task = newTask();
      await get({ vdi: refOf('b0'), task_id: task });
      expect(taskOf(task).error_info).to.deep.equal(['VDI_IN_USE', refOf('b0'), 'attach']);
    });

    it('does not end when its task is cancelled, and fails when the client leaves', async () => {
      const task = newTask();
      const leave = new AbortController();
      const url = `${running.httpUrl}/export_raw_vdi?vdi=${emptyDisk(1024)}&task_id=${task}`;
      const answer = await fetch(url, { signal: leave.signal, headers: { authorization: authorization() } });
      running.pool.tasks.cancel(task, 'key');
      expect(running.pool.tasks.isPending(task)).to.equal(true);
      const reader = answer.body!.getReader();
      await reader.read();
      const ended = ofTask(task);
      leave.abort();
      expect((await ended).error_info).to.deep.equal(IO_ERROR);
    });

    it('has the disk attached to the control domain while it runs, and for a while after', async () => {
      const clock = new ManualClock();
      const slow = await startSimulatedPool({ poolFile: DEFINITION, clock });
      try {
        dataPathSettings(slow.pool).detachDelayMs = 5000;
        const [vdi] = slow.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === 'd0')!;
        const held = (): readonly XapiRecord[] =>
          slow.pool.store
            .all('VBD')
            .map(([, vbd]) => vbd)
            .filter((vbd) => textOf(vbd, 'VDI') === vdi && flagOf(vbd, 'currently_attached'));
        const answer = await fetch(`${slow.httpUrl}/export_raw_vdi?vdi=${vdi}`, {
          headers: { authorization: authorization() },
        });
        await answer.arrayBuffer();
        const [vbd] = held();
        expect(vbd).to.include({ mode: 'RO' });
        expect(slow.pool.store.get('VM', textOf(vbd!, 'VM')).is_control_domain).to.equal(true);
        await clock.advance(5000);
        expect(held()).to.deep.equal([]);
      } finally {
        await slow.close();
      }
    });
  });

  describe('PUT /import_raw_vdi', () => {
    it('takes bytes over a disk, and names it in the result', async () => {
      const task = newTask();
      const bytes = Buffer.alloc(SIZE_BYTES, 7);
      expect(await put({ vdi: refOf('d0'), task_id: task }, bytes)).to.equal(200);
      expect(taskOf(task)).to.include({ status: 'success', result: `<value>${refOf('d0')}</value>` });
      expect(bytesOf('d0').equals(bytes)).to.equal(true);
    });

    it('takes fewer bytes than the disk has, and leaves the rest', async () => {
      const before = bytesOf('d0');
      expect(await put({ vdi: refOf('d0') }, Buffer.alloc(512, 1))).to.equal(200);
      expect(bytesOf('d0').equals(Buffer.concat([Buffer.alloc(512, 1), before.subarray(512)]))).to.equal(true);
    });

    it('writes everything and fails all the same when more was announced, as for a length nobody knew', async () => {
      const task = newTask();
      const bytes = Buffer.alloc(SIZE_BYTES, 9);
      await put({ vdi: refOf('d0'), task_id: task }, bytes, { 'content-length': 1024 ** 5 });
      expect((await ofTask(task)).error_info).to.deep.equal(IO_ERROR);
      expect(bytesOf('d0').equals(bytes)).to.equal(true);
    });

    it('fails when the data are larger than the disk', async () => {
      const task = newTask();
      await put({ vdi: refOf('d0'), task_id: task }, Buffer.alloc(SIZE_BYTES + 512, 9));
      expect((await ofTask(task)).error_info).to.deep.equal(IO_ERROR);
    });

    it('takes pieces that say where they go', async () => {
      const task = newTask();
      const pieces = [chunk(MIB + 5, Buffer.from('hello')), chunk(9, Buffer.from('low')), chunk(0, Buffer.alloc(0))];
      const before = bytesOf('d0');
      expect(await put({ vdi: refOf('d0'), chunked: '', task_id: task }, Buffer.concat(pieces))).to.equal(200);
      expect(taskOf(task).status).to.equal('success');
      before.write('hello', MIB + 5);
      before.write('low', 9);
      expect(bytesOf('d0').equals(before)).to.equal(true);
    });

    it('fails when the last piece is missing', async () => {
      const task = newTask();
      await put({ vdi: refOf('d0'), chunked: 'true', task_id: task }, chunk(0, Buffer.from('x')));
      expect((await ofTask(task)).error_info).to.deep.equal(IO_ERROR);
    });

    it('takes a VHD that it gave, and a differencing one on top', async () => {
      const [vdi, record] = vdiOf('sparse');
      const base = snapshot(vdi);
      const full = await get({ vdi: base, format: 'vhd' });
      running.writeGuest(textOf(record, 'uuid'), 11 * MIB, Buffer.from('newer'));
      const difference = await get({ vdi: snapshot(vdi), format: 'vhd', base });
      const copy = emptyDisk(64);
      for (const vhd of [full, difference]) expect(await put({ vdi: copy, format: 'vhd' }, vhd)).to.equal(200);
      expect(
        contentOf(running.pool, copy)
          .read(0, 64 * MIB)
          .equals(bytesOf('sparse')),
      ).to.equal(true);
      expect(running.pool.store.get('VDI', copy).physical_utilisation).to.be.lessThan(8 * MIB);
    });

    it('writes only the sectors that the bitmaps of a VHD name', async () => {
      const vhd = await get({ vdi: refOf('d0'), format: 'vhd' });
      const bitmapAt = 2048 + 512;
      vhd.fill(0, bitmapAt, bitmapAt + 512);
      vhd[bitmapAt] = 0x40;
      const copy = emptyDisk(3);
      await put({ vdi: copy, format: 'vhd' }, vhd);
      const expected = Buffer.concat([
        Buffer.alloc(512),
        bytesOf('d0').subarray(512, 1024),
        Buffer.alloc(2 * MIB - 1024),
      ]);
      expect(
        contentOf(running.pool, copy)
          .read(0, 2 * MIB)
          .equals(expected),
      ).to.equal(true);
    });

    for (const [what, spoil] of [
      ['a wrong checksum', (vhd: Buffer) => vhd.fill(1, 100, 101)],
      ['a footer missing at its end', (vhd: Buffer) => vhd.subarray(0, vhd.length - 512)],
      ['too little data', (vhd: Buffer) => vhd.subarray(0, MIB)],
      ['nothing of a VHD', () => Buffer.alloc(4096)],
      ['no bytes at all', () => Buffer.alloc(0)],
    ] as const) {
      it(`fails for a VHD with ${what}`, async () => {
        const task = newTask();
        const vhd = spoil(await get({ vdi: refOf('d0'), format: 'vhd' }));
        await put({ vdi: emptyDisk(3), format: 'vhd', task_id: task }, Buffer.from(vhd));
        expect((await ofTask(task)).error_info).to.deep.equal(IO_ERROR);
      });
    }

    it('takes a tar that it gave', async () => {
      const tar = await get({ vdi: refOf('sparse'), format: 'tar' });
      const copy = emptyDisk(64);
      expect(await put({ vdi: copy, format: 'tar' }, tar)).to.equal(200);
      expect(
        contentOf(running.pool, copy)
          .read(0, 64 * MIB)
          .equals(bytesOf('sparse')),
      ).to.equal(true);
      const task = newTask();
      await put({ vdi: copy, format: 'tar', task_id: task }, tar.subarray(0, MIB));
      expect((await ofTask(task)).error_info).to.deep.equal(['INTERNAL_ERROR', 'End_of_file']);
    });

    it('makes the disk itself when only the storage is named', async () => {
      const task = newTask();
      const sr = textOf(vdiOf('d0')[1], 'SR');
      expect(await put({ sr_id: sr, task_id: task }, Buffer.alloc(MIB, 3))).to.equal(200);
      const [ref, record] = vdiOf('Imported VDI');
      expect(record).to.include({ virtual_size: MIB, type: 'user', SR: sr });
      expect(taskOf(task).result).to.equal(`<value>${ref}</value>`);
    });

    for (const [query, status, error] of [
      [{ format: 'vhd', sr: 'yes' }, 400, ['INTERNAL_ERROR', 'Importing a VHD directly into an SR not yet supported']],
      [{}, 400, ['VDI_MISSING']],
      [{ format: 'nosuch', sr: 'yes' }, 404, ['INTERNAL_ERROR', 'Unknown format nosuch']],
      [{ format: 'vhd', chunked: '1', sr: 'yes' }, 404, ['INTERNAL_ERROR', 'Cannot handle chunked VHD']],
    ] as const) {
      it(`answers ${status} and fails the task for ${JSON.stringify(query)}`, async () => {
        const task = newTask();
        const { sr, ...rest } = { sr: undefined, ...query };
        const storage = sr === undefined ? {} : { sr_id: textOf(vdiOf('d0')[1], 'SR') };
        expect(await put({ ...rest, ...storage, task_id: task }, Buffer.alloc(512))).to.equal(status);
        expect(taskOf(task).error_info).to.deep.equal(error);
      });
    }

    it('answers 404 to a transfer encoding', async () => {
      const task = newTask();
      const headers = { 'transfer-encoding': 'chunked' };
      expect(await put({ vdi: refOf('d0'), task_id: task }, Buffer.from('x'), headers)).to.equal(404);
      expect(taskOf(task).error_info).to.deep.equal(['INTERNAL_ERROR', 'Cannot handle encoding: chunked']);
    });

    it('does nothing for the empty probe of a client', async () => {
      const before = running.snapshotState();
      const sr = textOf(vdiOf('d0')[1], 'SR');
      for (const query of [{ vdi: refOf('d0') }, { vdi: refOf('d0'), format: 'vhd' }, { sr_id: sr }]) {
        expect(await put(query, Buffer.alloc(0))).to.equal(200);
      }
      expect(running.snapshotState()).to.deep.equal(before);
    });

    it('fails in the task only when a running VM has the disk', async () => {
      const task = newTask();
      const answer = await ask(
        '/import_raw_vdi',
        { vdi: refOf('b0'), task_id: task },
        { method: 'PUT', body: Buffer.alloc(MIB) },
      );
      expect(answer.status).to.equal(200);
      expect(await answer.text()).to.include('HTTP/1.1 500');
      expect(taskOf(task).error_info).to.deep.equal(['VDI_IN_USE', refOf('b0'), 'attach']);
    });

    it('refuses an image that is only to be read', async () => {
      const task = newTask();
      await put({ vdi: refOf('image.iso'), task_id: task }, Buffer.alloc(512));
      expect((await ofTask(task)).error_info).to.deep.equal(['VDI_READONLY', refOf('image.iso')]);
    });
  });

  const snapshot = (vdi: string): string => snapshotVdi(running.pool, vdi);

  /** An empty disk on the default storage. */
  const emptyDisk = (sizeMiB: number): string =>
    createVdi(running.pool, { SR: textOf(vdiOf('d0')[1], 'SR'), virtual_size: sizeMiB * MIB });

  /** The end of a task, waited for. */
  const ofTask = (task: string): Promise<XapiRecord> =>
    new Promise((resolve) => {
      const look = (): boolean => {
        if (running.pool.tasks.isPending(task)) return false;
        resolve(taskOf(task));
        return true;
      };
      if (look()) return;
      const stop = running.pool.store.onChange(() => {
        if (look()) stop();
      });
    });
});

function chunk(offset: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(offset), 0);
  head.writeUInt32LE(data.length, 8);
  return Buffer.concat([head, data]);
}
