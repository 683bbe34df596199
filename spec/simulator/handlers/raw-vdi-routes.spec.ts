import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { flagOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';

const SIZE_BYTES = 3 * MIB;

describe('routes of raw disks', () => {
  let running: RunningPool;

  beforeEach(async () => {
    running = await startSimulatedPool({
      poolFile: {
        name: 'raw',
        hosts: [{ name: 'one' }],
        storage: [{ name: 'sr', type: 'nfs', isDefault: true }],
        vms: [
          { name: 'halted', disks: [{ name: 'd0', sizeMiB: 3, content: { kind: 'random', seed: 1 } }] },
          { name: 'busy', powerState: 'Running', disks: [{ name: 'b0', sizeMiB: 1 }] },
        ],
      },
    });
  });

  afterEach(() => running.close());

  const vdiOf = (name: string): readonly [string, XapiRecord] =>
    running.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === name)!;

  const newTask = (): string => running.pool.tasks.create({ label: 'test', host: running.pool.coordinator });

  const ask = (path: string, query: Readonly<Record<string, string>>, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(`${running.httpUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    const authorization = `Basic ${Buffer.from(`${running.username}:${running.password}`).toString('base64')}`;
    return fetch(url, { ...init, headers: { authorization } });
  };

  it('serves the bytes of a disk, by reference and by uuid, and ends the task', async () => {
    const [ref, record] = vdiOf('d0');
    for (const vdi of [ref, textOf(record, 'uuid')]) {
      const task = newTask();
      const answer = await ask('/export_raw_vdi', { vdi, format: 'raw', task_id: task });
      expect(answer.headers.get('content-disposition')).to.include(`${textOf(record, 'uuid')}.raw`);
      const body = Buffer.from(await answer.arrayBuffer());
      expect(body.equals(contentOf(running.pool, ref).read(0, SIZE_BYTES))).to.equal(true);
      expect(running.pool.store.get('task', task)).to.include({ status: 'success', result: '' });
    }
    expect(running.pool.store.all('VBD').filter(([, vbd]) => flagOf(vbd, 'currently_attached'))).to.have.length(1);
  });

  it('answers 404 and fails the task for a format that it does not know', async () => {
    const task = newTask();
    const answer = await ask('/export_raw_vdi', { vdi: vdiOf('d0')[0], format: 'nosuch', task_id: task });
    expect(answer.status).to.equal(404);
    expect(running.pool.store.get('task', task).error_info).to.deep.equal(['INTERNAL_ERROR', 'Unknown format nosuch']);
  });

  it('takes bytes over a disk', async () => {
    const [ref] = vdiOf('d0');
    const task = newTask();
    const bytes = Buffer.alloc(SIZE_BYTES, 7);
    const answer = await ask('/import_raw_vdi', { vdi: ref, task_id: task }, { method: 'PUT', body: bytes });
    await answer.text();
    expect(running.pool.store.get('task', task).status).to.equal('success');
    expect(contentOf(running.pool, ref).read(0, SIZE_BYTES).equals(bytes)).to.equal(true);
  });

  it('fails in the task only when a running VM has the disk', async () => {
    const [ref] = vdiOf('b0');
    const task = newTask();
    const answer = await ask(
      '/import_raw_vdi',
      { vdi: ref, task_id: task },
      { method: 'PUT', body: Buffer.alloc(MIB) },
    );
    expect(answer.status).to.equal(200);
    expect(await answer.text()).to.include('HTTP/1.1 500');
    expect(running.pool.store.get('task', task).error_info).to.deep.equal(['VDI_IN_USE', ref, 'attach']);
  });
});
