import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { dataPathSettings } from '../../../src/simulator/handlers/data-path-settings.js';
import { startSimulatedPool } from '../../../src/simulator/index.js';
import { flagOf, setOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';
import { ManualClock } from '../../support/manual-clock.js';
import { IO_ERROR, RAW_VDI_POOL, RawVdiPool } from '../support/raw-vdi-pool.js';
import { partsOf } from '../support/vhd-parts.js';

describe('GET /export_raw_vdi', () => {
  let pool: RawVdiPool;

  beforeEach(async () => {
    pool = await RawVdiPool.start();
  });

  afterEach(() => pool.running.close());

  it('serves the bytes of a disk, by reference and by uuid, and ends the task', async () => {
    const [ref, record] = pool.vdiOf('d0');
    for (const vdi of [ref, textOf(record, 'uuid')]) {
      const task = pool.newTask();
      const answer = await pool.ask('/export_raw_vdi', { vdi, format: 'RAW', task_id: task });
      expect(answer.headers.get('content-disposition')).to.include(`${textOf(record, 'uuid')}.raw`);
      expect(answer.headers.get('content-type')).to.equal('application/octet-stream');
      expect(Buffer.from(await answer.arrayBuffer()).equals(pool.bytesOf('d0'))).to.equal(true);
      expect(pool.taskOf(task)).to.include({ status: 'success', result: '', progress: 1 });
    }
    expect(pool.running.pool.store.all('VBD').filter(([, vbd]) => flagOf(vbd, 'currently_attached'))).to.have.length(1);
  });

  it('answers 404 and fails the task for a format that it does not know', async () => {
    for (const format of ['nosuch', 'qcow2']) {
      const task = pool.newTask();
      const answer = await pool.ask('/export_raw_vdi', { vdi: pool.refOf('d0'), format, task_id: task });
      expect(answer.status).to.equal(404);
      expect(pool.taskOf(task).error_info).to.deep.equal(['INTERNAL_ERROR', `Unknown format ${format}`]);
    }
  });

  it('leaves the task alone when the disk is not known', async () => {
    const task = pool.newTask();
    const answer = await pool.ask('/export_raw_vdi', { vdi: 'nosuch', task_id: task });
    expect(answer.status).to.equal(500);
    expect(await answer.text()).to.include('UUID_INVALID');
    expect(pool.taskOf(task).status).to.equal('pending');
  });

  it('sends a dynamic VHD with the blocks that hold anything, in ascending order', async () => {
    const answer = await pool.ask('/export_raw_vdi', { vdi: pool.refOf('sparse'), format: 'vhd' });
    expect(answer.headers.get('content-type')).to.equal('application/vhd');
    expect(answer.headers.get('content-disposition')).to.match(/\.vhd"$/);
    const vhd = Buffer.from(await answer.arrayBuffer());
    const parts = partsOf(vhd);
    expect(parts).to.include({ type: 3, sizeBytes: 64 * MIB });
    expect(parts.blocks).to.deep.equal([2, 20]);
    expect(parts.blockAt(2)?.bitmap.equals(Buffer.alloc(512, 0xff))).to.equal(true);
    expect(parts.blockAt(20)?.data.equals(pool.bytesOf('sparse').subarray(40 * MIB, 42 * MIB))).to.equal(true);
    expect(vhd.length).to.equal(2048 + 512 + 2 * (512 + 2 * MIB) + 512);
  });

  it('sends what changed since the base as a differencing VHD of whole blocks', async () => {
    const [vdi, record] = pool.vdiOf('sparse');
    const base = pool.snapshot(vdi);
    pool.running.writeGuest(textOf(record, 'uuid'), 30 * MIB + 7, Buffer.from('new'));
    pool.running.writeGuest(textOf(record, 'uuid'), 5 * MIB, Buffer.alloc(MIB));
    const newer = pool.snapshot(vdi);
    for (const name of [base, textOf(pool.running.pool.store.get('VDI', base), 'uuid')]) {
      const task = pool.newTask();
      const parts = partsOf(await pool.get({ vdi: newer, format: 'vhd', base: name, task_id: task }));
      expect(parts.type).to.equal(4);
      expect(parts.blocks).to.deep.equal([2, 15]);
      const uuid = textOf(pool.running.pool.store.get('VDI', base), 'uuid');
      expect(parts.parentUuid).to.equal(uuid.replaceAll('-', ''));
      expect(parts.blockAt(2)?.data.equals(pool.bytesOf('sparse').subarray(4 * MIB, 6 * MIB))).to.equal(true);
      expect(pool.taskOf(task).status).to.equal('success');
    }
    const raw = await pool.get({ vdi: newer, format: 'raw', base });
    expect(raw.subarray(30 * MIB, 32 * MIB).equals(pool.bytesOf('sparse').subarray(30 * MIB, 32 * MIB))).to.equal(true);
    expect(raw.subarray(40 * MIB, 41 * MIB).equals(Buffer.alloc(MIB))).to.equal(true);
  });

  it('sends everything that either has when the two have nothing in common', async () => {
    const parts = partsOf(await pool.get({ vdi: pool.refOf('sparse'), format: 'vhd', base: pool.refOf('d0') }));
    expect(parts.blocks).to.deep.equal([0, 1, 2, 20]);
  });

  it('fails in the body and the task when the base is no VHD', async () => {
    const task = pool.newTask();
    const body = await pool.get({ vdi: pool.refOf('d0'), format: 'vhd', base: pool.refOf('image.iso'), task_id: task });
    expect(body.toString()).to.match(/^HTTP\/1\.1 500/);
    const [code, text] = setOf(pool.taskOf(task), 'error_info');
    expect(code).to.equal('INTERNAL_ERROR');
    expect(text).to.include('base VDI is not a vhd');
  });

  it('refuses a VHD of more than 2040 GiB, behind the head', async () => {
    const task = pool.newTask();
    pool.running.makeCoordinator(pool.running.hosts[1]!.uuid);
    const url = `${pool.running.hosts[1]!.httpUrl}/export_raw_vdi?vdi=${pool.refOf('huge')}&format=vhd&task_id=${task}`;
    const answer = await fetch(url, { headers: { authorization: pool.authorization } });
    expect(answer.status).to.equal(200);
    expect(await answer.text()).to.include('HTTP/1.1 500');
    expect(pool.taskOf(task).error_info).to.deep.equal(['VDI_TOO_LARGE', pool.refOf('huge'), '2190433320960']);
  });

  it('sends a tar of chunks of 1 MiB with their checksums', async () => {
    const answer = await pool.ask('/export_raw_vdi', { vdi: pool.refOf('sparse'), format: 'tar' });
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
    const task = pool.newTask();
    const answer = await pool.ask('/export_raw_vdi', { vdi: pool.refOf('elsewhere'), format: 'vhd', task_id: task });
    expect(answer.status).to.equal(302);
    const { pathname, hostname } = new URL(answer.headers.get('location')!);
    expect({ pathname, hostname }).to.deep.equal({ pathname: '/export_raw_vdi', hostname: '127.0.0.2' });
    expect(pool.taskOf(task).status).to.equal('pending');
  });

  it('refuses a disk that a running VM writes to', async () => {
    const task = pool.newTask();
    await pool.get({ vdi: pool.refOf('b0'), task_id: task });
    expect(pool.taskOf(task).error_info).to.deep.equal(['VDI_IN_USE', pool.refOf('b0'), 'attach']);
  });

  it('does not end when its task is cancelled, and fails when the client leaves', async () => {
    const task = pool.newTask();
    const leave = new AbortController();
    const url = `${pool.running.httpUrl}/export_raw_vdi?vdi=${pool.emptyDisk(1024)}&task_id=${task}`;
    const answer = await fetch(url, { signal: leave.signal, headers: { authorization: pool.authorization } });
    pool.running.pool.tasks.cancel(task, 'key');
    expect(pool.running.pool.tasks.isPending(task)).to.equal(true);
    const reader = answer.body!.getReader();
    await reader.read();
    const ended = pool.ofTask(task);
    leave.abort();
    expect((await ended).error_info).to.deep.equal(IO_ERROR);
  });

  it('has the disk attached to the control domain while it runs, and for a while after', async () => {
    const clock = new ManualClock();
    const slow = await startSimulatedPool({ poolFile: RAW_VDI_POOL, clock });
    try {
      dataPathSettings(slow.pool).detachDelayMs = 5000;
      const [vdi] = slow.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === 'd0')!;
      const held = (): readonly XapiRecord[] =>
        slow.pool.store
          .all('VBD')
          .map(([, vbd]) => vbd)
          .filter((vbd) => textOf(vbd, 'VDI') === vdi && flagOf(vbd, 'currently_attached'));
      const answer = await fetch(`${slow.httpUrl}/export_raw_vdi?vdi=${vdi}`, {
        headers: { authorization: pool.authorization },
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
