import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromEvent, lastValueFrom, type Observable, takeUntil, tap } from 'rxjs';
import { CleanupStack } from '../src/common/cleanup-stack.js';
import { systemClock, type Clock } from '../src/common/clock.js';
import {
  BackupError,
  type BackupLevel,
  type BackupSource,
  type BackupSourceProvider,
  type ClientConfig,
  type HostLogger,
  type HostServices,
  type Options,
  type RestoreEvent,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../src/contract/index.js';
import { runBackup } from '../src/host/backup-runner.js';
import { type OpenItemHandle, openNewFile } from '../src/host/repository/item-file.js';
import { DirectoryRepository } from '../src/host/repository/directory-repository.js';
import { createPlugin } from '../src/plugin/create-plugin.js';
import { type PoolDefinition, type PoolState, type RunningPool, startSimulatedPool } from '../src/simulator/index.js';

const HOST_ID = 'torture-host';
/** Limits of the client. No round number, so that the clock can tell them from pauses. */
const LIMIT_MS = 1499;
const ROUND_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
const HURRY = 500;
const RELEASE_WAIT_MS = 500;
/** Every lease is over by then. */
const LATER_MS = 48 * 60 * 60_000;

/** Pauses between two attempts are over at once; limits and leases are what they are. */
const hurriedClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  sleep: (delayMs, signal) => {
    const isPause = delayMs % ROUND_MS === 0 && delayMs <= LONGEST_PAUSE_MS;
    return systemClock.sleep(isPause ? delayMs / HURRY : delayMs, signal);
  },
};

/** Two hosts, NBD, and a machine of each kind; small, so that a cell takes moments. */
const ARENA_POOL: PoolDefinition = {
  name: 'Torture pool',
  seed: 23,
  hosts: [{ name: 'host-a' }, { name: 'host-b' }],
  networks: [
    { name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true, purpose: ['nbd'] },
    { name: 'Production', bridge: 'xenbr1', device: 'eth1' },
  ],
  storage: [
    { name: 'Main', type: 'nfs', sizeGiB: 1, isDefault: true },
    { name: 'Second', type: 'lvmoiscsi', sizeGiB: 1 },
  ],
  vms: [
    {
      name: 'web',
      powerState: 'Running',
      host: 'host-b',
      memoryMiB: 64,
      guest: { os: 'Debian GNU/Linux 12' },
      disks: [
        { name: 'root', sizeMiB: 3, content: { kind: 'random', seed: 1 }, isChangeTracked: true },
        { name: 'data', sizeMiB: 2, storage: 'Second', content: { kind: 'text', seed: 2 }, isChangeTracked: true },
      ],
      interfaces: [{ network: 'Production' }],
      tags: ['nightly'],
    },
    {
      name: 'golden',
      kind: 'template',
      disks: [{ name: 'golden disk', sizeMiB: 2, content: { kind: 'random', seed: 3 } }],
      interfaces: [{ network: 'Production' }],
    },
    {
      name: 'bystander',
      memoryMiB: 64,
      disks: [{ name: 'bystander disk', sizeMiB: 1, content: { kind: 'random', seed: 4 } }],
      snapshots: ['kept by hand'],
    },
  ],
};

export interface ArenaWish {
  readonly openHandle?: OpenItemHandle;
  /** How long the client waits for a call or for bytes. */
  readonly limitMs?: number;
}

/** How a caller ends an operation early. */
export interface Stop {
  readonly signal?: AbortSignal;
  /** The Observable is unsubscribed from when it aborts. */
  readonly unsubscribe?: AbortSignal;
}

export type Digests = Readonly<Record<string, string>>;

/** A pool, the product over a repository on a real folder, and what is left when everything is closed. */
export class Arena {
  /** Warnings of the last operation. */
  readonly warnings: string[] = [];
  readonly #cleanup: CleanupStack;
  readonly #close: () => Promise<void>;

  private constructor(
    readonly running: RunningPool,
    readonly source: BackupSource,
    readonly provider: BackupSourceProvider,
    readonly repository: DirectoryRepository,
    /** Codes of all warnings in the log. */
    readonly logged: readonly string[],
    cleanup: CleanupStack,
    close: () => Promise<void>,
  ) {
    this.#cleanup = cleanup;
    this.#close = close;
  }

  static async open({ openHandle = openNewFile, limitMs = LIMIT_MS }: ArenaWish = {}): Promise<Arena> {
    const cleanup = new CleanupStack();
    try {
      const running = await startSimulatedPool({ poolFile: ARENA_POOL });
      cleanup.add('the pool', () => running.close());
      Object.assign(running.timings, { nbdDetachMs: 5, coalesceDelayMs: 1, restartMs: 100, dataDestroyWaitMs: 50 });
      const folder = await mkdtemp(join(tmpdir(), 'torture-'));
      cleanup.add('the folder', () => rm(folder, { recursive: true }));
      const repository = await DirectoryRepository.open(join(folder, 'repository'), {
        create: true,
        hostId: HOST_ID,
        openHandle,
      });
      const logged: string[] = [];
      const { source, provider, close } = await openSource(running, 0, limitMs, logged);
      cleanup.add('the plugin', close);
      return new Arena(running, source, provider, repository, logged, cleanup, close);
    } catch (error) {
      await cleanup.run();
      throw error;
    }
  }

  /** Every record but what moves by itself. */
  state(): PoolState {
    return this.running.snapshotState({ withoutVolatile: true });
  }

  uuidOf(name: string, cls = 'VM'): string {
    const found = this.running.pool.store.all(cls).find(([, { name_label: label }]) => label === name);
    return (found?.[1].uuid as string | undefined) ?? '';
  }

  async backup(
    source: string,
    level: BackupLevel | 'auto',
    options: Options = {},
    { signal, unsubscribe }: Stop = {},
  ): Promise<SavesetRecord> {
    const [target] = await this.source.resolve([source]);
    const { repository } = this;
    const opened = Object.create(this.source, {
      backup: {
        value: (...args: Parameters<BackupSource['backup']>) => untilLeft(this.source.backup(...args), unsubscribe),
      },
      settle: { value: this.source.settle.bind(this.source) },
    }) as BackupSource;
    const request = { level, options, ...(signal === undefined ? {} : { signal }) };
    const onEvent = (event: { readonly type: string; readonly code?: string }): void => {
      if (event.type === 'warning') this.warnings.push(event.code ?? '');
    };
    this.warnings.length = 0;
    return (await runBackup({ source: opened, target: target!, repository, request, onEvent })).record;
  }

  async restore(
    savesetId: string,
    request: RestoreRequest,
    { signal, unsubscribe }: Stop = {},
  ): Promise<RestoreReport> {
    this.warnings.length = 0;
    const onEvent = (event: { readonly type: string; readonly code?: string }): void => {
      if (event.type === 'warning') this.warnings.push(event.code ?? '');
    };
    const media = await this.repository.openMedia(savesetId);
    const stoppable = signal === undefined ? request : { ...request, signal };
    return await lastReport(
      untilLeft(this.source.restore(stoppable, media), unsubscribe).pipe(
        tap((event) => {
          onEvent(event);
        }),
      ),
    );
  }

  /** What a host does some time after it died: everything of a dead run is repaired or removed. */
  async reconcileLater(): Promise<readonly string[]> {
    const { source, close } = await openSource(this.running, LATER_MS, LIMIT_MS);
    try {
      return (await source.reconcile()).kept.map(({ kind, name, why }) => `${kind} ${name}: ${why}`);
    } finally {
      await close();
    }
  }

  /** The same in the repository. */
  async sweepLater(): Promise<void> {
    const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + LATER_MS };
    await (await DirectoryRepository.open(this.repository.path, { clock })).sweep();
  }

  /** All hosts answer again. */
  async revive(): Promise<void> {
    for (const { name } of this.running.hosts) await this.running.perform('startHost', { host: name });
  }

  /** Digest of each disk of a machine, by position. */
  disksOf(uuid: string): Digests {
    const { store, contents } = this.running.pool;
    const vm = store.refByUuid('VM', uuid);
    const disks = store.all('VBD').filter(([, { VM, type }]) => VM === vm && type === 'Disk');
    return Object.fromEntries(
      disks
        .map(([, { userdevice, VDI }]) => {
          const content = contents.get(VDI as string)!;
          const digest = createHash('sha256').update(content.read(0, content.sizeBytes)).digest('hex');
          return [userdevice as string, digest] as const;
        })
        .sort(([one], [other]) => one.localeCompare(other)),
    );
  }

  /** Digest of one disk. */
  digestOf(uuid: string): string {
    const { store, contents } = this.running.pool;
    const content = contents.get(store.refByUuid('VDI', uuid))!;
    return createHash('sha256').update(content.read(0, content.sizeBytes)).digest('hex');
  }

  /** The guest writes to each of its disks. */
  scribble(uuid: string, value: number): void {
    const { store, contents } = this.running.pool;
    const vm = store.refByUuid('VM', uuid);
    for (const [, { VM, type, VDI }] of store.all('VBD')) {
      if (VM === vm && type === 'Disk')
        contents.get(VDI as string)!.write(64 * 1024 * (value % 7), Buffer.alloc(9000, value));
    }
  }

  /** Names in the repository that no finished saveset explains. */
  async strays(): Promise<readonly string[]> {
    const { records } = await this.repository.list();
    const known = new Set(
      records.flatMap(({ savesetId, items }) => [
        savesetId,
        ...['saveset.json', ...items.map(({ name }) => name)].map((name) => join(savesetId, name)),
      ]),
    );
    const found = await readdir(join(this.repository.path, 'savesets'), { recursive: true });
    const beside = (await readdir(this.repository.path)).filter(
      (name) => !['savesets', 'repository.json'].includes(name),
    );
    return [...beside, ...found.filter((name) => !known.has(name))];
  }

  /** Closes the product, then says what it left: logins, tasks, connections. */
  async closeProduct(): Promise<readonly string[]> {
    await this.#close();
    const { store } = this.running.pool;
    const left = (): string[] => [
      ...store.all('session').map(() => 'a login'),
      ...store
        .all('task')
        .filter(([, { status }]) => status === 'pending')
        .map(([, { name_label: label }]) => `task ${JSON.stringify(label)}`),
      ...(this.running.connectionCount === 0 ? [] : [`${this.running.connectionCount} connections`]),
    ];
    for (const endMs = Date.now() + RELEASE_WAIT_MS; left().length > 0 && Date.now() < endMs;) {
      await systemClock.sleep(5);
    }
    return left();
  }

  async close(): Promise<void> {
    await this.#cleanup.run();
  }
}

function untilLeft<T>(events: Observable<T>, left: AbortSignal | undefined): Observable<T> {
  return left === undefined ? events : events.pipe(takeUntil(fromEvent(left, 'abort')));
}

async function lastReport(events: Observable<RestoreEvent>): Promise<RestoreReport> {
  const last = await lastValueFrom(events);
  if (last.type === 'completed') return last.report;
  throw new BackupError('INTERNAL', 'The restore ended without a report.');
}

interface Opened {
  readonly source: BackupSource;
  readonly provider: BackupSourceProvider;
  readonly close: () => Promise<void>;
}

async function openSource(
  running: RunningPool,
  laterMs: number,
  limitMs: number,
  logged: string[] = [],
): Promise<Opened> {
  const clock: Clock = { ...hurriedClock, nowMs: () => systemClock.nowMs() + laterMs };
  const plugin = createPlugin({ clock });
  const host: HostServices = {
    logger: loggerInto(logged),
    hostId: HOST_ID,
    resolveSecret: () => Promise.resolve(running.password),
  };
  const { sources } = await plugin.activate(host);
  const close = (): Promise<void> => plugin.deactivate();
  try {
    const provider = sources[0]!;
    return { source: await provider.open(clientOf(running, limitMs)), provider, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function clientOf(running: RunningPool, limitMs: number): ClientConfig {
  return {
    name: 'torture',
    settings: {
      url: running.url,
      username: running.username,
      password: 'env:TORTURE',
      trust: { fingerprints: running.hosts.map(({ fingerprint256 }) => fingerprint256) },
      httpPort: Number(new URL(running.httpUrl).port),
      idleTimeoutMs: limitMs,
      firstByteTimeoutMs: limitMs,
      callTimeoutMs: limitMs,
      connectTimeoutMs: 2_000,
      reconnectTimeoutMs: limitMs,
    },
  };
}

/** Keeps the codes of warnings: whoever has unsubscribed is told of them only there. */
function loggerInto(codes: string[]): HostLogger {
  const logger: HostLogger = {
    child: () => logger,
    error: () => undefined,
    warn: (_message, fields) => codes.push(String(fields?.code)),
    info: () => undefined,
    debug: () => undefined,
  };
  return logger;
}
