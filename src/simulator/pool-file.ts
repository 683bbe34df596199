import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../common/package-root.js';
import { contentSpecSchema } from './content/content-spec.js';
import { SimulatedFailure } from './simulated-failure.js';

const uuid = z.uuid();
const texts = z.record(z.string(), z.string());

const hostSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  /** Loopback address; 127.0.0.1, 127.0.0.2, ... when absent. */
  address: z
    .string()
    .regex(/^127\.\d+\.\d+\.\d+$/, 'must be a loopback address')
    .optional(),
  cpuCount: z.int().positive().default(4),
  memoryGiB: z.number().positive().default(64),
});

const networkSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  description: z.string().default(''),
  bridge: z.string(),
  mtu: z.int().positive().default(1500),
  /** A PIF on every host; a network without one is private to the pool. */
  device: z.string().optional(),
  /** -1: none. */
  vlan: z.int().default(-1),
  isManagement: z.boolean().default(false),
  purpose: z.array(z.enum(['nbd', 'insecure_nbd'])).default([]),
  tags: z.array(z.string()).default([]),
});

const storageSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  description: z.string().default(''),
  type: z.enum(['lvm', 'ext', 'nfs', 'lvmoiscsi', 'lvmohba', 'smb', 'file', 'iso', 'udev']),
  /** Name of the only host that sees it; shared by all when absent. */
  host: z.string().optional(),
  sizeGiB: z.number().positive().default(100),
  isDefault: z.boolean().default(false),
  deviceConfig: texts.default({}),
  /** Read-only images on it. */
  images: z.array(z.strictObject({ name: z.string(), sizeMiB: z.number().positive() })).default([]),
});

const diskSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  description: z.string().default(''),
  sizeMiB: z.number().positive(),
  /** Name of the storage; the default one when absent. */
  storage: z.string().optional(),
  content: contentSpecSchema.default({ kind: 'zero' }),
  isBootable: z.boolean().optional(),
  /** `reset`: what the guest writes is gone at its next boot. */
  onBoot: z.enum(['persist', 'reset']).default('persist'),
  isChangeTracked: z.boolean().default(false),
  tags: z.array(z.string()).default([]),
});

const vmSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  description: z.string().default(''),
  kind: z.enum(['vm', 'template', 'default-template']).default('vm'),
  powerState: z.enum(['Halted', 'Paused', 'Running', 'Suspended']).default('Halted'),
  /** Name of the host it runs on; the first that sees all its disks when absent. */
  host: z.string().optional(),
  memoryMiB: z.number().positive().default(1024),
  vcpus: z.int().positive().default(2),
  firmware: z.enum(['bios', 'uefi']).default('bios'),
  disks: z.array(diskSchema).default([]),
  /** A CD drive: `empty`, or the name of an image in it. */
  cdDrive: z.string().optional(),
  interfaces: z.array(z.strictObject({ network: z.string(), mac: z.string().optional() })).default([]),
  /** Present when the guest tools run. */
  guest: z.strictObject({ os: z.string(), ip: z.string().optional() }).optional(),
  /** Names of snapshots taken before the story begins, oldest first. */
  snapshots: z.array(z.string()).default([]),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
  blockedOperations: texts.default({}),
});

/** A pool as data: what a pool file holds. */
export const poolDefinitionSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  description: z.string().default(''),
  release: z.string().optional(),
  /** The same seed gives the same references, uuids and disks. */
  seed: z.int().nonnegative().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  hosts: z.array(hostSchema).min(1),
  networks: z.array(networkSchema).default([]),
  storage: z.array(storageSchema).default([]),
  vms: z.array(vmSchema).default([]),
});

/** What a pool file says, with the defaults left to be filled in. */
export type PoolDefinition = z.input<typeof poolDefinitionSchema>;
export type CompletePool = z.output<typeof poolDefinitionSchema>;
export type VmDefinition = CompletePool['vms'][number];
export type DiskDefinition = VmDefinition['disks'][number];

export const DEFAULT_POOL_FILE = 'fixtures/pools/small.json';

/**
 * Reads and checks a pool definition: a path (absolute, or from the package's folder), the definition itself, or
 * nothing for the small pool. Throws INVALID_VALUE [where, what] with every mistake in it.
 */
export function readPoolDefinition(source: string | PoolDefinition = DEFAULT_POOL_FILE): CompletePool {
  const where = typeof source === 'string' ? source : 'pool definition';
  const result = poolDefinitionSchema.safeParse(typeof source === 'string' ? readJson(source) : source);
  if (!result.success) throw new SimulatedFailure('INVALID_VALUE', [where, z.prettifyError(result.error)]);
  const mistakes = danglingNames(result.data);
  if (mistakes.length > 0) throw new SimulatedFailure('INVALID_VALUE', [where, mistakes.join('; ')]);
  return result.data;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(isAbsolute(path) ? path : join(packageRoot(), path), 'utf8'));
  } catch (error) {
    throw new SimulatedFailure('INVALID_VALUE', [path, error instanceof Error ? error.message : String(error)]);
  }
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
  for (const sr of pool.storage) check(hosts, sr.host, 'host', `storage "${sr.name}"`);
  for (const vm of pool.vms) {
    const of = `VM "${vm.name}"`;
    check(hosts, vm.host, 'host', of);
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
