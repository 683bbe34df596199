import { z } from 'zod';
import { contentSpecSchema } from './content/content-spec.js';
import { ROLES } from './datamodel/role.js';

const uuid = z.uuid();
const texts = z.record(z.string(), z.string());

const loopback = z.string().regex(/^127\.\d+\.\d+\.\d+$/, 'must be a loopback address');

const hostSchema = z.strictObject({
  name: z.string(),
  uuid: uuid.optional(),
  /** Loopback address; 127.0.0.1, 127.0.0.2, ... when absent. */
  address: loopback.optional(),
  cpuCount: z.int().positive().default(4),
  memoryGiB: z.number().positive().default(64),
  /** How far its clock is ahead of the pool's; negative when it is behind. */
  clockOffsetMs: z.int().default(0),
  /** Its port for plain http is shut. */
  isHttpsOnly: z.boolean().default(false),
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
  /** `device` is a bond of these, on every host; each gets a PIF and a network of its own. */
  bond: z
    .strictObject({
      slaves: z.array(z.string()).min(2),
      mode: z.enum(['balance-slb', 'active-backup', 'lacp']).default('lacp'),
    })
    .optional(),
  /** Further loopback addresses that hosts answer at, by the name of the host: the IP of their PIF on this network. */
  hostAddresses: z.record(z.string(), loopback).default({}),
  /** Of `hostAddresses`. With the default they lie in one subnet with the management addresses. */
  netmask: z.string().default('255.0.0.0'),
  purpose: z.array(z.enum(['nbd', 'insecure_nbd'])).default([]),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
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
  /** Its record shows what was true at the last SR.scan or SR.update, as with storage that nobody scans by itself. */
  isStale: z.boolean().default(false),
  /** Space that something else than the pool's disks takes. */
  foreignGiB: z.number().nonnegative().default(0),
  /** Snapshots leave `base copy` VDIs behind, which are coalesced some time after the snapshot went. */
  hasChains: z.boolean().default(false),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
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
  /** Length of the chain of images it ends, 1 for a single one; needs storage with `hasChains`. */
  chainDepth: z.int().positive().default(1),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
});

/** What the tools in a guest say and do. */
const guestSchema = z.strictObject({
  os: z.string(),
  ip: z.string().optional(),
  /** Further addresses by their place, such as `0/ipv6/0` or `1/ipv4/0`. */
  addresses: texts.default({}),
  /** False: there are no tools, only an emulated machine. Nothing that needs them can be asked of it. */
  hasTools: z.boolean().default(true),
  /** `ignored`: it never answers; `endless`: it answers and then never ends. */
  shutdown: z.enum(['works', 'ignored', 'endless']).default('works'),
  /** Whether it can be quiesced for a snapshot; any other text is the error that its VSS provider gives. */
  vss: z.union([z.boolean(), z.enum(['times-out', 'does-not-respond']), z.string().regex(/^[A-Z_]+$/)]).default(false),
  /** Whether it can be suspended; the text is the reason that it tells. */
  nonSuspendable: z.string().optional(),
});

const vmSchema = z.strictObject({
  /** With `count`, `{n}` in names and descriptions is the number of the copy. */
  name: z.string(),
  /** So many of these, 1 to `count`, each with disks of its own content. */
  count: z.int().positive().max(100_000).default(1),
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
  interfaces: z
    .array(
      z.strictObject({
        network: z.string(),
        mac: z.string().optional(),
        lockingMode: z.enum(['network_default', 'locked', 'unlocked', 'disabled']).default('network_default'),
        ipv4Allowed: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  /** Present when the guest tools run. */
  guest: guestSchema.optional(),
  /** Names of snapshots taken before the story begins, oldest first. */
  snapshots: z.array(z.string()).default([]),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
  blockedOperations: texts.default({}),
  /** XenCenter's custom fields: `other_config` keys `XenCenter.CustomFields.<name>`. */
  customFields: texts.default({}),
  /** A virtual TPM; `contents` is base64. */
  vtpm: z.strictObject({ contents: z.base64().default(''), isUnique: z.boolean().default(false) }).optional(),
  nvram: texts.default({}),
  biosStrings: texts.default({}),
  /** Name of a vApp. */
  appliance: z.string().optional(),
  order: z.int().nonnegative().default(0),
  startDelaySeconds: z.int().nonnegative().default(0),
  shutdownDelaySeconds: z.int().nonnegative().default(0),
  haRestartPriority: z.enum(['', 'restart', 'best-effort']).default(''),
  /** Name of the storage for its memory; the pool's when absent. */
  suspendStorage: z.string().optional(),
});

/** Somebody of the directory that the pool trusts. Without a role he may not log in at all. */
const userSchema = z.strictObject({ name: z.string(), password: z.string(), role: z.enum(ROLES).optional() });

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
  users: z.array(userSchema).default([]),
  appliances: z.array(z.strictObject({ name: z.string(), description: z.string().default('') })).default([]),
  /** What the edition forbids, over the default of nothing: `{ "restrict_cbt": true }`. */
  restrictions: z.record(z.string(), z.boolean()).default({}),
  tags: z.array(z.string()).default([]),
  otherConfig: texts.default({}),
  /** Name of the network that backups go over: its uuid becomes `other_config` `xo:backupNetwork`. */
  backupNetwork: z.string().optional(),
  isHaEnabled: z.boolean().default(false),
});

/** What a pool file says, with the defaults left to be filled in. */
export type PoolDefinition = z.input<typeof poolDefinitionSchema>;
export type CompletePool = z.output<typeof poolDefinitionSchema>;
export type VmDefinition = CompletePool['vms'][number];
export type DiskDefinition = VmDefinition['disks'][number];
export type HostDefinition = CompletePool['hosts'][number];
export type NetworkDefinition = CompletePool['networks'][number];
export type StorageDefinition = CompletePool['storage'][number];
export type GuestDefinition = NonNullable<VmDefinition['guest']>;
