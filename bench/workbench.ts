import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { GIB, KIB, MIB } from '../src/common/byte-size.js';
import { type CleanupStack } from '../src/common/cleanup-stack.js';
import { type BenchSizes } from './pool-data.js';
import { type PoolProcess } from './pool-process.js';
import { BenchError, runNode, type RunOptions, runShell, type Sample, XEN_BACKUP } from './programs.js';

/** Two copies of the largest machine, a few chains, and what the rest of this computer needs. */
const ROOM_BYTES = 15 * GIB;
const QUICK_ROOM_BYTES = 2 * GIB;
const CHANGE_BYTES = 64 * KIB;

export interface WorkbenchOptions {
  readonly sizes: BenchSizes;
  readonly pool: PoolProcess;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly cleanups: CleanupStack;
}

/** A folder in memory when there is room, so that no disk is measured; it goes with the cleanups. */
export async function benchFolder(isQuick: boolean, cleanups: CleanupStack): Promise<string> {
  const needed = isQuick ? QUICK_ROOM_BYTES : ROOM_BYTES;
  const { bavail, bsize } = await statfs('/dev/shm').catch(() => ({ bavail: 0, bsize: 0 }));
  const isRoomy = Math.min(bavail * bsize, freemem()) > needed;
  const folder = await mkdtemp(join(isRoomy ? '/dev/shm' : tmpdir(), 'xen-backup-bench-'));
  cleanups.add('the bench folder', () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A pool, a folder, and our program set up for both. */
export class Workbench {
  readonly sizes: BenchSizes;
  readonly pool: PoolProcess;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly cleanups: CleanupStack;
  #session: Promise<string> | undefined;
  #changes = 0;

  constructor({ sizes, pool, folder, signal, cleanups }: WorkbenchOptions) {
    this.sizes = sizes;
    this.pool = pool;
    this.folder = folder;
    this.signal = signal;
    this.cleanups = cleanups;
  }

  get run(): RunOptions {
    return { signal: this.signal, folder: this.folder };
  }

  /** A configuration with two clients of this pool, `http` and `https`, by what their bulk data goes over. */
  async configFile(pool: PoolProcess = this.pool): Promise<string> {
    const { url, httpUrl, username, fingerprint256 } = pool.address;
    const shared = { url, username, password: 'env:XEN_BACKUP_PASSWORD', trust: { fingerprints: [fingerprint256] } };
    const httpPort = Number(new URL(httpUrl).port);
    const clients = {
      http: { settings: { ...shared, dataTransport: 'http', httpPort } },
      https: { settings: shared },
    };
    const path = join(this.folder, `config-${new URL(url).port}.json`);
    await writeFile(path, JSON.stringify({ defaultClient: 'http', clients }));
    return path;
  }

  /** One call of our program, as a user's machine makes it. */
  async xenBackup(args: readonly string[], repository: string, pool: PoolProcess = this.pool): Promise<Sample> {
    const config = ['--config', await this.configFile(pool), '--repository', this.repositoryPath(repository), '--json'];
    const env = { XEN_BACKUP_PASSWORD: pool.address.password };
    return await runNode([XEN_BACKUP, ...args, ...config], { ...this.run, env });
  }

  /** A backup of a machine whose guest is not asked for anything. */
  async backup(args: readonly string[], repository: string): Promise<Sample> {
    return await this.xenBackup(['backup', ...args, '--consistency', 'crash'], repository);
  }

  /** A backup into an empty repository, that is emptied again when the clock has stopped. */
  async freshBackup(args: readonly string[]): Promise<Sample> {
    try {
      return await this.backup(args, 'fresh');
    } finally {
      await this.emptyRepository('fresh');
    }
  }

  repositoryPath(name: string): string {
    return join(this.folder, `repository-${name}`);
  }

  async emptyRepository(name: string): Promise<void> {
    await rm(this.repositoryPath(name), { recursive: true, force: true });
  }

  async shell(command: string): Promise<Sample> {
    return await runShell(command, this.run);
  }

  /** `curl` with what it needs to get into the pool. */
  curl(pool: PoolProcess = this.pool): string {
    const { username, password } = pool.address;
    return `curl -sS --fail -k -u ${username}:${password}`;
  }

  /** The same for a request by hand. */
  get authorization(): string {
    const { username, password } = this.pool.address;
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  /** One XAPI call, for preparing. */
  async call(method: string, params: readonly unknown[]): Promise<unknown> {
    this.#session ??= this.login();
    return await this.#post(method, [await this.#session, ...params]);
  }

  async login(pool: PoolProcess = this.pool): Promise<string> {
    const { username, password } = pool.address;
    return (await this.#post('session.login_with_password', [username, password], pool)) as string;
  }

  /** UUID of a snapshot of a running machine: only that can be exported. */
  async snapshotOf(machine: string): Promise<string> {
    const vm = await this.call('VM.get_by_uuid', [machine]);
    return (await this.call('VM.get_uuid', [await this.call('VM.snapshot', [vm, 'for the peer', []])])) as string;
  }

  /** What a guest writes: pieces of 64 KiB of new noise, evenly spread over the disk. */
  async scatter(machine: string, sizeMiB: number, count: number): Promise<void> {
    const stride = Math.floor((sizeMiB * MIB) / count / CHANGE_BYTES) * CHANGE_BYTES;
    this.#changes += 1;
    const random = { length: CHANGE_BYTES, seed: `change ${this.#changes}` };
    for (let index = 0; index < count; index += 1) {
      const disk = { vm: machine, position: 0 };
      await this.pool.perform('writeDisk', { disk, offset: index * stride, random });
    }
  }

  async #post(method: string, params: readonly unknown[], pool: PoolProcess = this.pool): Promise<unknown> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const response = await fetch(`${pool.address.httpUrl}/jsonrpc`, { method: 'POST', body, signal: this.signal });
    const { result, error } = (await response.json()) as { result?: unknown; error?: { message: string } };
    if (error !== undefined) throw new BenchError(`${method}: ${error.message}`);
    return result;
  }
}

/** Id of the saveset that a backup made. */
export function savesetIdOf({ stdout }: Sample): string {
  const found = /"savesetId":"([^"]+)"/.exec(stdout)?.[1];
  if (found === undefined) throw new BenchError('The backup named no saveset.');
  return found;
}
