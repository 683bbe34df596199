import { createHash } from 'node:crypto';
import { systemClock, type Clock } from '../../../src/common/clock.js';
import {
  type BackupPlugin,
  type BackupSource,
  type ClientConfig,
  type HostServices,
  type PluginContributions,
  type SavesetRecord,
} from '../../../src/contract/index.js';
import { createPlugin } from '../../../src/plugin/create-plugin.js';
import {
  type PoolDefinition,
  type PoolState,
  type RunningPool,
  startSimulatedPool,
} from '../../../src/simulator/index.js';
import { RecordingSink } from '../../contract/support/recording-sink.js';
import { reportOf } from '../../contract/support/run-operation.js';
import { type LogLine, RecordingLogger } from '../../support/recording-logger.js';

export const HOST_ID = 'spec-host';

/** Pauses of seconds are over at once; limits of minutes stay what they are. */
export const hurriedClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  sleep: (delayMs, signal) => systemClock.sleep(delayMs < 20_000 ? delayMs / 500 : delayMs, signal),
};

/** A pool with one of each: small, so that a journey takes moments. */
export const SMALL_POOL: PoolDefinition = {
  name: 'Spec pool',
  seed: 5,
  hosts: [{ name: 'host-a' }],
  networks: [
    { name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    { name: 'Production', bridge: 'xenbr1', device: 'eth1' },
  ],
  storage: [
    { name: 'Main', type: 'nfs', sizeGiB: 4, isDefault: true },
    { name: 'Second', type: 'lvm', host: 'host-a', sizeGiB: 2 },
    { name: 'ISO library', type: 'iso', sizeGiB: 1, images: [{ name: 'rescue.iso', sizeMiB: 1 }] },
  ],
  vms: [
    { name: 'Debian 12', kind: 'default-template' },
    {
      name: 'golden',
      kind: 'template',
      disks: [{ name: 'golden disk', sizeMiB: 1, content: { kind: 'random', seed: 3 } }],
      interfaces: [{ network: 'Production' }],
    },
    {
      name: 'web',
      powerState: 'Running',
      memoryMiB: 256,
      cdDrive: 'empty',
      disks: [
        { name: 'web root', sizeMiB: 3, content: { kind: 'random', seed: 1 } },
        { name: 'web data', sizeMiB: 2, storage: 'Second', content: { kind: 'text', seed: 2 } },
      ],
      interfaces: [{ network: 'Production' }, { network: 'Management' }],
      guest: { os: 'Debian GNU/Linux 12' },
      snapshots: ['before the update'],
      tags: ['nightly'],
    },
    {
      name: 'db',
      description: 'Orders',
      memoryMiB: 256,
      disks: [{ name: 'db root', sizeMiB: 2, content: { kind: 'random', seed: 4 } }],
      interfaces: [{ network: 'Production', mac: '02:00:5e:00:00:21' }],
      snapshots: ['kept'],
      blockedOperations: { destroy: 'kept by hand' },
      otherConfig: { owner: 'sales' },
    },
    {
      name: 'frozen',
      powerState: 'Suspended',
      disks: [{ name: 'frozen disk', sizeMiB: 1, content: { kind: 'random', seed: 6 } }],
    },
    { name: 'twin', disks: [] },
    { name: 'twin', disks: [] },
  ],
};

/** A simulated pool, the plugin active, one source open, and what a spec asks of them. */
export interface XenWorld {
  readonly running: RunningPool;
  readonly plugin: BackupPlugin;
  readonly contributions: PluginContributions;
  readonly client: ClientConfig;
  readonly source: BackupSource;
  readonly log: readonly LogLine[];
  /** Opens one more source, with other settings if given. */
  open(settings?: Readonly<Record<string, unknown>>): Promise<BackupSource>;
  uuidOf(name: string, cls?: string): string;
  field(cls: string, uuid: string, name: string): unknown;
  patch(cls: string, uuid: string, fields: Readonly<Record<string, never>> | Record<string, unknown>): void;
  /** Digest of every byte of the machine's disks, by position. */
  disksOf(uuid: string): Readonly<Record<string, string>>;
  /** Writes over the start of every disk of a machine. */
  scribble(uuid: string): void;
  /** What a person would compare: every record but what moves by itself and what no one names. */
  state(): PoolState;
  backup(source: string, savesetId?: string): Promise<{ readonly record: SavesetRecord; readonly sink: RecordingSink }>;
  /** The plugin once more, as another process of the same host would have it, so much later. */
  anotherProcess(laterMs: number): Promise<{ readonly source: BackupSource; close(): Promise<void> }>;
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly poolFile?: PoolDefinition;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly release?: string;
}

export async function startXenWorld(options: WorldOptions = {}): Promise<XenWorld> {
  const running = await startSimulatedPool({
    poolFile: options.poolFile ?? SMALL_POOL,
    ...(options.release === undefined ? {} : { release: options.release }),
  });
  const logger = new RecordingLogger();
  const host: HostServices = {
    logger,
    hostId: HOST_ID,
    resolveSecret: () => Promise.resolve(running.password),
  };
  const plugin = createPlugin({ clock: options.clock ?? hurriedClock });
  const contributions = await plugin.activate(host);
  const client = clientOf(running, options.settings);
  const provider = contributions.sources[0]!;
  let source: BackupSource;
  try {
    source = await provider.open(client);
  } catch (error) {
    await running.close();
    throw error;
  }
  let savesets = 0;
  const { store, contents } = running.pool;
  const refOf = (cls: string, uuid: string): string => store.refByUuid(cls, uuid);
  const disksIn = (uuid: string): { position: string; vdi: string }[] =>
    store
      .all('VBD')
      .map(([, device]) => device)
      .filter(({ VM, type }) => VM === refOf('VM', uuid) && type === 'Disk')
      .map(({ userdevice, VDI }) => ({ position: userdevice as string, vdi: VDI as string }))
      .sort((a, b) => Number(a.position) - Number(b.position));
  const world: XenWorld = {
    running,
    plugin,
    contributions,
    client,
    source,
    log: logger.lines,
    open: (settings) => provider.open(clientOf(running, { ...options.settings, ...settings })),
    uuidOf: (name, cls = 'VM') => {
      const found = store.all(cls).find(([, record]) => record.name_label === name);
      if (found === undefined) throw new Error(`no ${cls} ${name}`);
      return found[1].uuid as string;
    },
    field: (cls, uuid, name) => store.get(cls, refOf(cls, uuid))[name],
    patch: (cls, uuid, fields) => {
      store.patch(cls, refOf(cls, uuid), fields as never);
    },
    disksOf: (uuid) =>
      Object.fromEntries(
        disksIn(uuid).map(({ position, vdi }) => {
          const content = contents.get(vdi)!;
          return [position, createHash('sha256').update(content.read(0, content.sizeBytes)).digest('hex')];
        }),
      ),
    scribble: (uuid) => {
      for (const { vdi } of disksIn(uuid)) contents.get(vdi)!.write(0, Buffer.alloc(4096, 0x5a));
    },
    state: () => running.snapshotState({ withoutVolatile: true }),
    backup: async (name, savesetId) => {
      savesets += 1;
      const sink = new RecordingSink();
      const { record } = await reportOf(
        source.backup({ source: name, savesetId: savesetId ?? `saveset-${savesets}` }, sink),
      );
      return { record, sink };
    },
    anotherProcess: async (laterMs) => {
      const clock: Clock = { ...hurriedClock, nowMs: () => systemClock.nowMs() + laterMs };
      const other = createPlugin({ clock });
      const { sources } = await other.activate(host);
      return { source: await sources[0]!.open(client), close: () => other.deactivate() };
    },
    close: async () => {
      await plugin.deactivate();
      await running.close();
    },
  };
  return world;
}

function clientOf(running: RunningPool, settings: Readonly<Record<string, unknown>> = {}): ClientConfig {
  return {
    name: 'spec-client',
    settings: {
      url: running.url,
      username: running.username,
      password: 'env:SPEC',
      trust: { fingerprints: running.hosts.map(({ fingerprint256 }) => fingerprint256) },
      httpPort: Number(new URL(running.httpUrl).port),
      ...settings,
    },
  };
}
