import { type HostServices } from '../../src/contract/index.js';
import { loadPlugin } from '../../src/host/plugin-loader.js';
import { RecordingLogger } from '../support/recording-logger.js';
import { type ConformanceSubject, describeBackupSource } from './backup-source-conformance.js';
import { memoryManifestPath, memoryWorlds } from './support/memory-world.js';
import { digestOf } from './support/recording-sink.js';

const services: HostServices = {
  logger: new RecordingLogger(),
  hostId: 'spec',
  resolveSecret: () => Promise.resolve('secret'),
};

let worlds = 0;

async function setUp(): Promise<ConformanceSubject> {
  const plugin = await loadPlugin(memoryManifestPath, services);
  const { worldOf, forgetWorld } = await memoryWorlds();
  worlds += 1;
  const machines = [
    { id: 'm-run', name: 'web', isRunning: true, sizeBytes: 700_001, seed: 1 },
    { id: 'm-halt', name: 'archive', sizeBytes: 600_000, seed: 2 },
    { id: 'm-twin-1', name: 'twin', sizeBytes: 10, seed: 3 },
    { id: 'm-twin-2', name: 'twin', sizeBytes: 0, seed: 4 },
  ];
  const client = { name: `conformance-${worlds}`, settings: { machines } };
  const world = worldOf(client);
  return {
    contributions: plugin.contributions,
    client,
    runningMachine: 'vm/m-run',
    haltedMachine: 'vm/m-halt',
    unknownName: 'nobody',
    ambiguousName: 'twin',
    readDisks: (id) => Promise.resolve(digestOf(world.machines.get(id)!.disk)),
    changeDisks: (id) => {
      world.machines.get(id)!.disk.fill(7, 100, 200);
      return Promise.resolve();
    },
    machineIds: () => Promise.resolve([...world.machines.keys()]),
    leftovers: ({ isClosed }) =>
      Promise.resolve([...world.snapshots.keys(), ...(isClosed && world.openSources > 0 ? ['an open source'] : [])]),
    tearDown: async () => {
      await plugin.deactivate();
      forgetWorld(client.name);
    },
  };
}

describeBackupSource({ name: 'memory source', setUp });
