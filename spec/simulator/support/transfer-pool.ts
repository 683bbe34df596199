import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';

export interface Answer {
  readonly status: number;
  readonly version: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export const TRANSFER_POOL = {
  name: 'pool',
  hosts: [{ name: 'one' }, { name: 'two' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'sr', type: 'nfs' as const, isDefault: true },
    { name: 'isos', type: 'iso' as const, images: [{ name: 'guest-tools.iso', sizeMiB: 1 }] },
    { name: 'local-two', type: 'ext' as const, host: 'two' },
  ],
  vms: [
    {
      name: 'vm',
      disks: [
        { name: 'd0', sizeMiB: 4, content: { kind: 'random' as const, fillPercent: 50 } },
        { name: 'd1', sizeMiB: 1.5, content: { kind: 'text' as const } },
      ],
      cdDrive: 'guest-tools.iso',
      interfaces: [{ network: 'net0', mac: '02:00:00:00:00:01' }],
    },
    { name: 'busy', powerState: 'Running' as const, disks: [{ name: 'b0', sizeMiB: 1 }] },
    { name: 'elsewhere', disks: [{ name: 'e0', sizeMiB: 1, storage: 'local-two' }] },
  ],
};

/** A pool for each spec, and what its routes of transfers are asked with. */
export interface TransferPool {
  readonly running: RunningPool;
  readonly session: string;
  /** The archive of `vm`. */
  readonly xva: Buffer;
  readonly store: () => RunningPool['pool']['store'];
  readonly refOf: (cls: string, name: string) => string;
  readonly newTask: () => string;
  readonly taskOf: (ref: string) => XapiRecord;
  readonly query: (parts: Readonly<Record<string, string>>) => string;
  readonly get: (path: string, parts: Readonly<Record<string, string>>, base?: string) => Promise<Answer>;
  readonly put: (
    path: string,
    parts: Readonly<Record<string, string>>,
    body: Buffer,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Answer>;
  /** Sends raw bytes, ends its side, and returns all that came back. */
  readonly raw: (bytes: Buffer) => Promise<string>;
  /** Imports an archive, `xva` if none is given, and gives the task at its end. */
  readonly importAs: (parts: Readonly<Record<string, string>>, body?: Buffer) => Promise<XapiRecord>;
}

/** To be called in a `describe`. */
export function useTransferPool(): TransferPool {
  let running: RunningPool;
  let session: string;
  let xva: Buffer;

  const store = (): RunningPool['pool']['store'] => running.pool.store;
  const refOf = (cls: string, name: string): string =>
    store()
      .all(cls)
      .find(([, record]) => textOf(record, 'name_label') === name)![0];
  const newTask = (): string => running.pool.tasks.create({ label: 'test', host: running.pool.coordinator });
  const taskOf = (ref: string): XapiRecord => store().get('task', ref);

  function query(parts: Readonly<Record<string, string>>): string {
    return new URLSearchParams({ session_id: session, ...parts }).toString();
  }

  function get(path: string, parts: Readonly<Record<string, string>>, base = running.httpUrl): Promise<Answer> {
    return new Promise((resolve, reject) => {
      httpRequest(`${base}${path}?${query(parts)}`, (response) => {
        collect(response, resolve, reject);
      })
        .on('error', reject)
        .end();
    });
  }

  function put(
    path: string,
    parts: Readonly<Record<string, string>>,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const length: Record<string, string> =
        'transfer-encoding' in headers ? {} : { 'content-length': String(body.length) };
      const upload = httpRequest(
        `${running.httpUrl}${path}?${query(parts)}`,
        { method: 'PUT', headers: { ...length, ...headers } },
        (response) => {
          collect(response, resolve, reject);
        },
      );
      upload.on('error', reject).end(body);
    });
  }

  function collect(response: IncomingMessage, resolve: (answer: Answer) => void, reject: (error: Error) => void): void {
    const pieces: Buffer[] = [];
    response.on('data', (piece: Buffer) => pieces.push(piece));
    response.on('error', reject);
    response.on('end', () => {
      const body = Buffer.concat(pieces);
      resolve({ status: response.statusCode ?? 0, version: response.httpVersion, headers: response.rawHeaders, body });
    });
  }

  function raw(bytes: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(running.httpUrl);
      const pieces: Buffer[] = [];
      const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => {
        socket.end(bytes);
      });
      socket.on('data', (piece) => pieces.push(piece));
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(Buffer.concat(pieces).toString('latin1'));
      });
    });
  }

  async function importAs(parts: Readonly<Record<string, string>>, body = xva): Promise<XapiRecord> {
    const task = newTask();
    await put('/import', { task_id: task, ...parts }, body);
    return taskOf(task);
  }

  beforeEach(async () => {
    running = await startSimulatedPool({ poolFile: TRANSFER_POOL });
    session = running.pool.sessions.login(running.username, running.password, 'spec', running.pool.coordinator);
    xva = (await get('/export/', { ref: refOf('VM', 'vm') })).body;
  });
  afterEach(async () => {
    await running.close();
  });

  return {
    get running() {
      return running;
    },
    get session() {
      return session;
    },
    get xva() {
      return xva;
    },
    store,
    refOf,
    newTask,
    taskOf,
    query,
    get,
    put,
    raw,
    importAs,
  };
}
