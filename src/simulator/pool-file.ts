import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../common/package-root.js';
import { type ContentSpec } from './content/content-spec.js';
import { poolDefinitionSchema, type CompletePool, type PoolDefinition, type VmDefinition } from './pool-definition.js';
import { SimulatedFailure } from './simulated-failure.js';

export const DEFAULT_POOL_FILE = 'fixtures/pools/small.json';

/**
 * Reads and checks a pool definition: a path (absolute, or from the package's folder), the definition itself, or
 * nothing for the small pool. Throws INVALID_VALUE [where, what] with every mistake in it.
 */
export function readPoolDefinition(source: string | PoolDefinition = DEFAULT_POOL_FILE): CompletePool {
  const where = typeof source === 'string' ? source : 'pool definition';
  const result = poolDefinitionSchema.safeParse(typeof source === 'string' ? readJson(source) : source);
  if (!result.success) throw new SimulatedFailure('INVALID_VALUE', [where, z.prettifyError(result.error)]);
  const mistakes = [...danglingNames(result.data), ...impossibleCopies(result.data)];
  if (mistakes.length > 0) throw new SimulatedFailure('INVALID_VALUE', [where, mistakes.join('; ')]);
  return { ...result.data, vms: result.data.vms.flatMap(copiesOf) };
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(isAbsolute(path) ? path : join(packageRoot(), path), 'utf8'));
  } catch (error) {
    throw new SimulatedFailure('INVALID_VALUE', [path, error instanceof Error ? error.message : String(error)]);
  }
}

/** What cannot be said of several VMs at once. */
function impossibleCopies({ vms }: CompletePool): readonly string[] {
  return vms
    .filter(({ count }) => count > 1)
    .flatMap((vm) => [
      ...(vm.name.includes('{n}') ? [] : [`VM "${vm.name}": with a count its name needs a {n}`]),
      ...(vm.uuid === undefined && vm.disks.every(({ uuid }) => uuid === undefined)
        ? []
        : [`VM "${vm.name}": with a count there can be no uuid`]),
      ...(vm.interfaces.every(({ mac }) => mac === undefined)
        ? []
        : [`VM "${vm.name}": with a count there can be no mac`]),
    ]);
}

/** The VMs that one entry stands for. */
function copiesOf(vm: VmDefinition): readonly VmDefinition[] {
  if (vm.count === 1) return [vm];
  const width = String(vm.count).length;
  return Array.from({ length: vm.count }, (_none, index) => {
    const number = String(index + 1).padStart(width, '0');
    const numbered = (text: string): string => text.replaceAll('{n}', number);
    return {
      ...vm,
      count: 1,
      name: numbered(vm.name),
      description: numbered(vm.description),
      disks: vm.disks.map((disk) => ({
        ...disk,
        name: numbered(disk.name),
        description: numbered(disk.description),
        content: ownContent(disk.content, number),
      })),
    };
  });
}

/** Noise and text differ from copy to copy; files and zeroes are what they are. */
function ownContent(content: ContentSpec, number: string): ContentSpec {
  if (content.kind !== 'random' && content.kind !== 'text') return content;
  return { ...content, seed: `${content.seed ?? 1}/${number}` };
}

/** Names that nothing in the file answers to. */
function danglingNames(pool: CompletePool): readonly string[] {
  const hosts = new Set(pool.hosts.map(({ name }) => name));
  const storage = new Set(pool.storage.map(({ name }) => name));
  const networks = new Set(pool.networks.map(({ name }) => name));
  const images = new Set(pool.storage.flatMap((sr) => sr.images.map(({ name }) => name)));
  const mistakes: string[] = [];
  const check = (names: ReadonlySet<string>, name: string | undefined, what: string, of: string): void => {
    if (name !== undefined && !names.has(name)) mistakes.push(`${of}: no ${what} is called "${name}"`);
  };
  const appliances = new Set(pool.appliances.map(({ name }) => name));
  for (const sr of pool.storage) check(hosts, sr.host, 'host', `storage "${sr.name}"`);
  for (const network of pool.networks) {
    for (const name of Object.keys(network.hostAddresses)) check(hosts, name, 'host', `network "${network.name}"`);
  }
  check(networks, pool.backupNetwork, 'network', 'backupNetwork');
  for (const vm of pool.vms) {
    const of = `VM "${vm.name}"`;
    check(hosts, vm.host, 'host', of);
    check(appliances, vm.appliance, 'appliance', of);
    check(storage, vm.suspendStorage, 'storage', of);
    if (vm.cdDrive !== 'empty') check(images, vm.cdDrive, 'image', of);
    for (const disk of vm.disks) {
      check(storage, disk.storage, 'storage', of);
      if (disk.storage === undefined && !pool.storage.some(({ isDefault }) => isDefault)) {
        mistakes.push(`${of}: disk "${disk.name}" names no storage, and none is the default`);
      }
    }
    for (const { network } of vm.interfaces) check(networks, network, 'network', of);
  }
  return mistakes;
}
