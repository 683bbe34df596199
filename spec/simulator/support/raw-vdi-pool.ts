import { request } from 'node:http';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf, createVdi, snapshotVdi } from '../../../src/simulator/behaviour/disks.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';

export const IO_ERROR = ['VDI_IO_ERROR', 'Device I/O errors'];

export const RAW_VDI_POOL = {
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

type Query = Readonly<Record<string, string>>;

/** A pool for each spec, and what its routes of single disks are asked with. */
export class RawVdiPool {
  readonly running: RunningPool;

  private constructor(running: RunningPool) {
    this.running = running;
  }

  static async start(): Promise<RawVdiPool> {
    return new RawVdiPool(await startSimulatedPool({ poolFile: RAW_VDI_POOL }));
  }

  get authorization(): string {
    return `Basic ${Buffer.from(`${this.running.username}:${this.running.password}`).toString('base64')}`;
  }

  vdiOf(name: string): readonly [ref: string, record: XapiRecord] {
    return this.running.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === name)!;
  }

  refOf(name: string): string {
    return this.vdiOf(name)[0];
  }

  bytesOf(name: string): Buffer {
    const content = contentOf(this.running.pool, this.refOf(name));
    return content.read(0, content.sizeBytes);
  }

  newTask(): string {
    return this.running.pool.tasks.create({ label: 'test', host: this.running.pool.coordinator });
  }

  taskOf(ref: string): XapiRecord {
    return this.running.pool.store.get('task', ref);
  }

  /** The end of a task, waited for. */
  ofTask(task: string): Promise<XapiRecord> {
    return new Promise((resolve) => {
      const look = (): boolean => {
        if (this.running.pool.tasks.isPending(task)) return false;
        resolve(this.taskOf(task));
        return true;
      };
      if (look()) return;
      const stop = this.running.pool.store.onChange(() => {
        if (look()) stop();
      });
    });
  }

  snapshot(vdi: string): string {
    return snapshotVdi(this.running.pool, vdi);
  }

  /** An empty disk on the default storage. */
  emptyDisk(sizeMiB: number): string {
    const sr = textOf(this.vdiOf('d0')[1], 'SR');
    return createVdi(this.running.pool, { SR: sr, virtual_size: sizeMiB * MIB });
  }

  ask(path: string, query: Query, init: RequestInit = {}): Promise<Response> {
    const url = new URL(`${this.running.httpUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    return fetch(url, { redirect: 'manual', ...init, headers: { authorization: this.authorization } });
  }

  async get(query: Query): Promise<Buffer> {
    return Buffer.from(await (await this.ask('/export_raw_vdi', query)).arrayBuffer());
  }

  /** Puts bytes with any head; resolves with the status once the answer has ended. */
  put(
    query: Query,
    body: Buffer,
    headers: Readonly<Record<string, string | number>> = { 'content-length': body.length },
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const url = new URL(`${this.running.httpUrl}/import_raw_vdi?${new URLSearchParams(query).toString()}`);
      const sent = request(url, { method: 'PUT', headers: { authorization: this.authorization, ...headers } });
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
  }
}
