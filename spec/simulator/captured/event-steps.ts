import { type Dispatcher, request } from 'undici';
import { type RunningPool } from '../../../src/simulator/index.js';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { PLAIN_DISK, PLAIN_DRIVE } from '../../support/new-records.js';
import { type RpcClient } from '../support/rpc-client.js';

/** What the capturing client did, by the note of the step that saw it; each is done once, before that step's call. */
export class EventActions {
  readonly #pool: RunningPool;
  readonly #client: RpcClient;
  readonly #vm: string;
  #task = '';
  #snapshot = '';
  #snapshotDisk = '';
  #imported = '';
  #device = '';
  #archive = Buffer.alloc(0);

  constructor(pool: RunningPool, client: RpcClient, vm: string) {
    this.#pool = pool;
    this.#client = client;
    this.#vm = vm;
  }

  /** Made before the token of the step was taken. */
  readonly preparations: Readonly<Record<string, () => Promise<unknown>>> = {
    'after task.cancel': async () => {
      this.#task = await this.#client.call<string>('task.create', 'ev-task2', '');
    },
    'VBD.plug into the running VM': async () => {
      const { store } = this.#pool.pool;
      const [SR] = store.all('SR').find(([, { name_label: label }]) => label === 'files') ?? [];
      const VDI = await this.#client.call('VDI.create', {
        ...PLAIN_DISK,
        name_label: 'ev-hot',
        SR,
        virtual_size: '4194304',
      });
      this.#device = await this.#client.call<string>('VBD.create', {
        ...PLAIN_DRIVE,
        VM: this.#vm,
        VDI,
        userdevice: '3',
        unpluggable: true,
      });
    },
  };

  readonly actions: Readonly<Record<string, () => Promise<unknown>>> = {
    'three sets of the same field (the last one to the same value) since the token': async () => {
      for (const text of ['a', 'b', 'b']) await this.#client.call('VM.set_name_description', this.#vm, text);
    },
    'a set to the value it has': () => this.#client.call('VM.set_name_description', this.#vm, 'b'),
    'task.create': async () => {
      this.#task = await this.#client.call<string>('task.create', 'ev-task', 'by a test');
    },
    'task.set_progress, on task/ref': () => this.#client.call('task.set_progress', this.#task, 0.5),
    'task.set_status success, on task/ref': () => this.#client.call('task.set_status', this.#task, 'success'),
    'task.destroy, on task/ref': () => this.#client.call('task.destroy', this.#task),
    'after task.cancel': () => this.#client.call('task.cancel', this.#task),
    'task.destroy': () => this.#client.call('task.destroy', this.#task),
    'task created and destroyed between two calls': async () => {
      await this.#client.call('task.destroy', await this.#client.call('task.create', 'short', ''));
    },
    'Async.VM.snapshot': async () => {
      const end = await this.#async('VM.snapshot', this.#vm, 'ev-snap');
      this.#snapshot = referenceIn(end.result);
      const { store } = this.#pool.pool;
      const [vbd = ''] = setOf(store.get('VM', this.#snapshot), 'VBDs');
      this.#snapshotDisk = textOf(store.get('VBD', vbd), 'VDI');
      return end;
    },
    'export with a task': async () => {
      const task = await this.#client.call<string>('task.create', 'ev-export', '');
      this.#archive = Buffer.from(await (await this.#send('GET', `export?ref=${this.#snapshot}`, task)).arrayBuffer());
      return this.#ended(task);
    },
    'Async.VM.destroy of the snapshot': () => this.#async('VM.destroy', this.#snapshot),
    'Async.VDI.destroy of its disk': async () => [await this.#async('VDI.destroy', this.#snapshotDisk)],
    import: async () => {
      const task = await this.#client.call<string>('task.create', 'ev-import', '');
      await (await this.#send('PUT', 'import?', task, this.#archive)).dump();
      const end = await this.#ended(task);
      this.#imported = referenceIn(end.result);
      return end;
    },
    'VM.start (sync)': () => this.#client.call('VM.start', this.#vm, false, false),
    'VBD.plug into the running VM': () => this.#client.call('VBD.plug', this.#device),
    'VBD.unplug': () => this.#client.call('VBD.unplug', this.#device),
    'VBD.destroy': () => this.#client.call('VBD.destroy', this.#device),
    'VM.hard_shutdown (sync)': () => this.#client.call('VM.hard_shutdown', this.#vm),
    'VM.destroy of the imported VM (sync)': () => this.#client.call('VM.destroy', this.#imported),
    'failed import (noise)': async () => {
      const task = await this.#client.call<string>('task.create', 'ev-import', '');
      const body = await this.#send('PUT', 'import?', task, Buffer.alloc(4096, 7));
      const end = await this.#ended(task);
      // The real server leaves it open.
      body.on('error', () => undefined).destroy();
      return end;
    },
    'failed Async call (VM.start of a snapshot-less bad state: hard_shutdown of a halted VM)': () =>
      this.#async('VM.hard_shutdown', this.#vm),
    'message.create': async () => {
      const uuid = await this.#client.call('VM.get_uuid', this.#vm);
      return this.#client.call('message.create', 'EV', '5', 'VM', uuid, 'body');
    },
    'VM.add_to_other_config and remove': async () => [
      await this.#client.call('VM.add_to_other_config', this.#vm, 'ev', 'x'),
      await this.#client.call('VM.remove_from_other_config', this.#vm, 'ev'),
    ],
  };

  get task(): string {
    return this.#task;
  }

  /** The final record of a task, which is then destroyed, as the capturing client did. */
  async #async(method: string, ...params: readonly unknown[]): Promise<Readonly<Record<string, unknown>>> {
    return this.#ended(await this.#client.call<string>(`Async.${method}`, ...params));
  }

  async #ended(task: string): Promise<Readonly<Record<string, unknown>>> {
    const end = await this.#client.taskEnd(task);
    await this.#client.call('task.destroy', task);
    return end;
  }

  async #send(method: 'GET' | 'PUT', target: string, task: string, body?: Buffer): Promise<Body> {
    const path = `${target}&session_id=${this.#client.session}&task_id=${task}`;
    const answer = await request(`${this.#pool.httpUrl}/${path}`, { method, body: body ?? null, reset: true });
    return answer.body;
  }
}

type Body = Dispatcher.ResponseData['body'];

function referenceIn(result: unknown): string {
  return /OpaqueRef:[0-9a-f-]+/.exec(String(result))?.[0] ?? '';
}
