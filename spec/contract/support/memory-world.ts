import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ClientConfig } from '../../../src/contract/index.js';
import { packageRoot } from '../../../src/common/package-root.js';

/** The state behind the memory source, as its own module keeps it. */
export interface MemoryWorld {
  readonly machines: Map<string, { readonly id: string; name: string; isRunning: boolean; disk: Buffer }>;
  readonly snapshots: Map<string, { readonly name: string; isAlive: boolean }>;
  readonly base: Map<string, string>;
  openSources: number;
}

interface WorldModule {
  readonly worldOf: (client: ClientConfig) => MemoryWorld;
  readonly forgetWorld: (name: string) => void;
}

const folder = join(packageRoot(), 'fixtures', 'plugins', 'memory-source');

export const memoryManifestPath = join(folder, 'plugin.manifest.json');

/** The same module instance that the loaded plugin uses. */
export async function memoryWorlds(): Promise<WorldModule> {
  return (await import(pathToFileURL(join(folder, 'machine-world.js')).href)) as WorldModule;
}
