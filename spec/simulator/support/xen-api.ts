import { type Readable } from 'node:stream';
import { type RunningPool } from '../../../src/simulator/index.js';
import { textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';

export interface XenObject {
  readonly $ref: string;
  readonly $type: string;
  readonly name_label: string;
  readonly name_description: string;
}

interface WatchedObjects {
  readonly all: Readonly<Record<string, XenObject>>;
  on(event: 'update' | 'add', listener: (objects: Readonly<Record<string, XenObject>>) => void): void;
}

/** What specs use of a client of the npm package xen-api, which has no types of its own. */
export interface XenApi {
  readonly objects: WatchedObjects;
  readonly objectsFetched: Promise<void>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  call(method: string, ...args: readonly unknown[]): Promise<unknown>;
  callAsync(method: string, ...args: readonly unknown[]): Promise<string>;
  barrier(ref?: string): Promise<XenObject>;
  getResource(path: string, options: object): Promise<{ readonly body: AsyncIterable<Buffer> }>;
  putResource(body: Readable | Buffer, path: string, options: object): Promise<unknown>;
  once(event: 'disconnected', listener: () => void): void;
}

/** A client of a pool's user, not connected yet. */
export async function xenApiClient(
  { username, password }: RunningPool,
  options: { readonly url: string } & Readonly<Record<string, unknown>>,
): Promise<XenApi> {
  const { createClient } = (await import('xen-api')) as unknown as { createClient: (options: object) => XenApi };
  return createClient({ auth: { user: username, password }, allowUnauthorized: true, ...options });
}

/** An archive to send: the client cuts its connection at the end of the stream, so that comes when the pool has it all. */
export async function* untilImported(running: RunningPool, archive: Buffer): AsyncGenerator<Buffer> {
  yield archive;
  const isOver = ([, task]: readonly [string, XapiRecord]): boolean =>
    !textOf(task, 'name_label').includes('import') || task.status !== 'pending';
  await until(running, () => running.pool.store.all('task').every(isOver));
}

/** Waits for something to be so in the records of a pool. */
export function until({ pool: { store } }: RunningPool, isSo: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!isSo()) return;
      stop();
      resolve();
    };
    const stop = store.onChange(look);
    look();
  });
}
