import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { IO_ERROR, RawVdiPool } from '../support/raw-vdi-pool.js';

const SIZE_BYTES = 3 * MIB;

describe('PUT /import_raw_vdi', () => {
  let pool: RawVdiPool;

  beforeEach(async () => {
    pool = await RawVdiPool.start();
  });

  afterEach(() => pool.running.close());

  it('takes bytes over a disk, and names it in the result', async () => {
    const task = pool.newTask();
    const bytes = Buffer.alloc(SIZE_BYTES, 7);
    expect(await pool.put({ vdi: pool.refOf('d0'), task_id: task }, bytes)).to.equal(200);
    expect(pool.taskOf(task)).to.include({ status: 'success', result: `<value>${pool.refOf('d0')}</value>` });
    expect(pool.bytesOf('d0').equals(bytes)).to.equal(true);
  });

  it('takes fewer bytes than the disk has, and leaves the rest', async () => {
    const before = pool.bytesOf('d0');
    expect(await pool.put({ vdi: pool.refOf('d0') }, Buffer.alloc(512, 1))).to.equal(200);
    expect(pool.bytesOf('d0').equals(Buffer.concat([Buffer.alloc(512, 1), before.subarray(512)]))).to.equal(true);
  });

  it('writes everything and fails all the same when more was announced, as for a length nobody knew', async () => {
    const task = pool.newTask();
    const bytes = Buffer.alloc(SIZE_BYTES, 9);
    await pool.put({ vdi: pool.refOf('d0'), task_id: task }, bytes, { 'content-length': 1024 ** 5 });
    expect((await pool.ofTask(task)).error_info).to.deep.equal(IO_ERROR);
    expect(pool.bytesOf('d0').equals(bytes)).to.equal(true);
  });

  it('fails when the data are larger than the disk', async () => {
    const task = pool.newTask();
    await pool.put({ vdi: pool.refOf('d0'), task_id: task }, Buffer.alloc(SIZE_BYTES + 512, 9));
    expect((await pool.ofTask(task)).error_info).to.deep.equal(IO_ERROR);
  });

  it('takes pieces that say where they go', async () => {
    const task = pool.newTask();
    const pieces = [chunk(MIB + 5, Buffer.from('hello')), chunk(9, Buffer.from('low')), chunk(0, Buffer.alloc(0))];
    const before = pool.bytesOf('d0');
    expect(await pool.put({ vdi: pool.refOf('d0'), chunked: '', task_id: task }, Buffer.concat(pieces))).to.equal(200);
    expect(pool.taskOf(task).status).to.equal('success');
    before.write('hello', MIB + 5);
    before.write('low', 9);
    expect(pool.bytesOf('d0').equals(before)).to.equal(true);
  });

  it('fails when the last piece is missing', async () => {
    const task = pool.newTask();
    await pool.put({ vdi: pool.refOf('d0'), chunked: 'true', task_id: task }, chunk(0, Buffer.from('x')));
    expect((await pool.ofTask(task)).error_info).to.deep.equal(IO_ERROR);
  });

  it('takes a VHD that it gave, and a differencing one on top', async () => {
    const [vdi, record] = pool.vdiOf('sparse');
    const base = pool.snapshot(vdi);
    const full = await pool.get({ vdi: base, format: 'vhd' });
    pool.running.writeGuest(textOf(record, 'uuid'), 11 * MIB, Buffer.from('newer'));
    const difference = await pool.get({ vdi: pool.snapshot(vdi), format: 'vhd', base });
    const copy = pool.emptyDisk(64);
    for (const vhd of [full, difference]) expect(await pool.put({ vdi: copy, format: 'vhd' }, vhd)).to.equal(200);
    expect(
      contentOf(pool.running.pool, copy)
        .read(0, 64 * MIB)
        .equals(pool.bytesOf('sparse')),
    ).to.equal(true);
    expect(pool.running.pool.store.get('VDI', copy).physical_utilisation).to.be.lessThan(8 * MIB);
  });

  it('writes only the sectors that the bitmaps of a VHD name', async () => {
    const vhd = await pool.get({ vdi: pool.refOf('d0'), format: 'vhd' });
    const bitmapAt = 2048 + 512;
    vhd.fill(0, bitmapAt, bitmapAt + 512);
    vhd[bitmapAt] = 0x40;
    const copy = pool.emptyDisk(3);
    await pool.put({ vdi: copy, format: 'vhd' }, vhd);
    const expected = Buffer.concat([
      Buffer.alloc(512),
      pool.bytesOf('d0').subarray(512, 1024),
      Buffer.alloc(2 * MIB - 1024),
    ]);
    expect(
      contentOf(pool.running.pool, copy)
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
      const task = pool.newTask();
      const vhd = spoil(await pool.get({ vdi: pool.refOf('d0'), format: 'vhd' }));
      await pool.put({ vdi: pool.emptyDisk(3), format: 'vhd', task_id: task }, Buffer.from(vhd));
      expect((await pool.ofTask(task)).error_info).to.deep.equal(IO_ERROR);
    });
  }

  it('takes a tar that it gave', async () => {
    const tar = await pool.get({ vdi: pool.refOf('sparse'), format: 'tar' });
    const copy = pool.emptyDisk(64);
    expect(await pool.put({ vdi: copy, format: 'tar' }, tar)).to.equal(200);
    expect(
      contentOf(pool.running.pool, copy)
        .read(0, 64 * MIB)
        .equals(pool.bytesOf('sparse')),
    ).to.equal(true);
    const task = pool.newTask();
    await pool.put({ vdi: copy, format: 'tar', task_id: task }, tar.subarray(0, MIB));
    expect((await pool.ofTask(task)).error_info).to.deep.equal(['INTERNAL_ERROR', 'End_of_file']);
  });

  it('makes the disk itself when only the storage is named', async () => {
    const task = pool.newTask();
    const sr = textOf(pool.vdiOf('d0')[1], 'SR');
    expect(await pool.put({ sr_id: sr, task_id: task }, Buffer.alloc(MIB, 3))).to.equal(200);
    const [ref, record] = pool.vdiOf('Imported VDI');
    expect(record).to.include({ virtual_size: MIB, type: 'user', SR: sr });
    expect(pool.taskOf(task).result).to.equal(`<value>${ref}</value>`);
  });

  for (const [query, status, error] of [
    [{ format: 'vhd', sr: 'yes' }, 400, ['INTERNAL_ERROR', 'Importing a VHD directly into an SR not yet supported']],
    [{}, 400, ['VDI_MISSING']],
    [{ format: 'nosuch', sr: 'yes' }, 404, ['INTERNAL_ERROR', 'Unknown format nosuch']],
    [{ format: 'vhd', chunked: '1', sr: 'yes' }, 404, ['INTERNAL_ERROR', 'Cannot handle chunked VHD']],
  ] as const) {
    it(`answers ${status} and fails the task for ${JSON.stringify(query)}`, async () => {
      const task = pool.newTask();
      const { sr, ...rest } = { sr: undefined, ...query };
      const storage = sr === undefined ? {} : { sr_id: textOf(pool.vdiOf('d0')[1], 'SR') };
      expect(await pool.put({ ...rest, ...storage, task_id: task }, Buffer.alloc(512))).to.equal(status);
      expect(pool.taskOf(task).error_info).to.deep.equal(error);
    });
  }

  it('answers 404 to a transfer encoding', async () => {
    const task = pool.newTask();
    const headers = { 'transfer-encoding': 'chunked' };
    expect(await pool.put({ vdi: pool.refOf('d0'), task_id: task }, Buffer.from('x'), headers)).to.equal(404);
    expect(pool.taskOf(task).error_info).to.deep.equal(['INTERNAL_ERROR', 'Cannot handle encoding: chunked']);
  });

  it('does nothing for the empty probe of a client', async () => {
    const before = pool.running.snapshotState();
    const sr = textOf(pool.vdiOf('d0')[1], 'SR');
    for (const query of [{ vdi: pool.refOf('d0') }, { vdi: pool.refOf('d0'), format: 'vhd' }, { sr_id: sr }]) {
      expect(await pool.put(query, Buffer.alloc(0))).to.equal(200);
    }
    expect(pool.running.snapshotState()).to.deep.equal(before);
  });

  it('fails in the task only when a running VM has the disk', async () => {
    const task = pool.newTask();
    const answer = await pool.ask(
      '/import_raw_vdi',
      { vdi: pool.refOf('b0'), task_id: task },
      { method: 'PUT', body: Buffer.alloc(MIB) },
    );
    expect(answer.status).to.equal(200);
    expect(await answer.text()).to.include('HTTP/1.1 500');
    expect(pool.taskOf(task).error_info).to.deep.equal(['VDI_IN_USE', pool.refOf('b0'), 'attach']);
  });

  it('refuses an image that is only to be read', async () => {
    const task = pool.newTask();
    await pool.put({ vdi: pool.refOf('image.iso'), task_id: task }, Buffer.alloc(512));
    expect((await pool.ofTask(task)).error_info).to.deep.equal(['VDI_READONLY', pool.refOf('image.iso')]);
  });
});

function chunk(offset: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(offset), 0);
  head.writeUInt32LE(data.length, 8);
  return Buffer.concat([head, data]);
}
