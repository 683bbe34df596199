import { z } from 'zod';

const byteCount = z.int().nonnegative();
const text = z.string().max(4096);

const diskSchema = z.strictObject({
  /** UUID of the disk that was saved (of the machine's own disk, also when a snapshot was read). */
  uuid: text,
  name: text,
  description: z.string(),
  /** `userdevice` of the VBD. */
  position: z.string().max(64),
  sizeBytes: byteCount,
  isBootable: z.boolean(),
  mode: z.enum(['RO', 'RW']),
  /** UUID and name of the SR it lived on. */
  storageId: text,
  storageName: text,
});

const interfaceSchema = z.strictObject({
  /** `device` of the VIF: "0", "1", ... */
  position: z.string().max(64),
  mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i, 'must be a MAC address'),
  networkId: text,
  networkName: text,
  mtu: z.number(),
  /** Tag of its VLAN, where the pool says one. */
  vlan: z.int().nonnegative().exactOptional(),
});

const fieldValue = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.array(z.string()),
  z.record(z.string(), z.string()),
]);

/** The machine's settings by XAPI's names, as they were. Memory in bytes. */
const configurationSchema = z.strictObject({
  fields: z.record(z.string(), fieldValue),
  memory: z.strictObject({
    staticMin: byteCount,
    staticMax: byteCount,
    dynamicMin: byteCount,
    dynamicMax: byteCount,
  }),
  vcpus: z.strictObject({ max: z.number(), atStartup: z.number() }),
  otherConfig: z.record(z.string(), z.string()),
  /** How many virtual TPMs it has. */
  tpms: z.number(),
});

/** Fields that a snapshot of a machine loses, so that the archive of a running machine doesn't have them. */
const keptFieldsSchema = z.strictObject({
  blocked_operations: z.record(z.string(), z.string()),
  ha_restart_priority: z.string(),
  order: z.number(),
  start_delay: z.number(),
  shutdown_delay: z.number(),
});

const chainDiskSchema = z.strictObject({
  /** `position` and `uuid` of the disk in `disks`. */
  position: z.string().max(64),
  uuid: text,
  /** The item with its data: the name of a VHD. */
  item: text,
  /** Unique id in the footer of that VHD. */
  vhdId: text,
  /** What its VHD builds on; absent for a full. */
  parent: z.strictObject({ savesetId: text, item: text, vhdId: text }).exactOptional(),
  /** UUID of the VDI that is this moment of the disk in the pool: what a next increment builds on. Absent: none was kept. */
  baseId: text.exactOptional(),
  /** What is kept of it: the bitmap of changes, or the whole snapshot. */
  baseKind: z.enum(['metadata', 'snapshot']).exactOptional(),
  /** True when this run has switched changed-block tracking on. */
  startedTracking: z.boolean(),
  /** How its data was read. */
  readBy: z.enum(['export', 'nbd', 'difference']),
});

/** How the savesets of a chain hang together: only in savesets of the form `disks`. */
const chainSchema = z.strictObject({
  /** What it builds on, the full first, the parent last; empty for a full. */
  ancestors: z.array(text).max(4096),
  /** Savesets whose bases in the pool nobody needs once this one is stored. */
  supersedes: z.array(text).max(4096),
  /** The item with the machine's metadata (`ova.xml` in a tar). */
  metadataItem: text,
  disks: z.array(chainDiskSchema),
});

/** A disk of the machine that was left out. */
const excludedDiskSchema = z.strictObject({
  uuid: text,
  name: text,
  position: z.string().max(64),
  sizeBytes: byteCount,
  /** `request`: by the options of the backup. `name`: by a word in its name. */
  by: z.enum(['request', 'name']),
});

/**
 * `details` of a saveset record that holds a machine: what a restore must know before it opens the archive.
 * Version 1. Sizes in bytes.
 */
export const machineDetailsSchema = z.strictObject({
  version: z.literal(1),
  machine: z.strictObject({
    uuid: z.uuid(),
    name: text,
    description: z.string(),
    powerState: z.enum(['Halted', 'Paused', 'Running', 'Suspended']),
    isTemplate: z.boolean(),
    memoryBytes: byteCount,
    vcpus: z.number(),
    keptFields: keptFieldsSchema,
  }),
  disks: z.array(diskSchema),
  interfaces: z.array(interfaceSchema),
  /** Absent in records of early versions. */
  configuration: configurationSchema.exactOptional(),
  /** True when the archive is of a snapshot that we made: its name, uuid and template flag are the snapshot's. */
  isOfSnapshot: z.boolean(),
  /** Present: each disk is an item of its own, a VHD. Absent: one archive holds all. */
  chain: chainSchema.exactOptional(),
  /** Absent: none was left out. */
  excludedDisks: z.array(excludedDiskSchema).exactOptional(),
  release: z.strictObject({ brand: text, version: text, build: text }),
});

export type MachineDetails = z.infer<typeof machineDetailsSchema>;
export type MachineDetailsInterface = MachineDetails['interfaces'][number];
export type MachineChain = z.infer<typeof chainSchema>;
export type MachineChainDisk = z.infer<typeof chainDiskSchema>;
export type ExcludedDisk = z.infer<typeof excludedDiskSchema>;

/** How the savesets of a chain hang together, from the `details` of a record; undefined for an archive and for others' details. */
export function machineChainOf(details: unknown): MachineChain | undefined {
  const parsed = machineDetailsSchema.safeParse(details);
  return parsed.success ? parsed.data.chain : undefined;
}
