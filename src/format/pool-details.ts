import { z } from 'zod';

const text = z.string().max(4096);
const count = z.int().nonnegative();
const release = z.strictObject({ brand: text, version: text, build: text });

export const hostFactsSchema = z.strictObject({ uuid: z.uuid(), name: text, address: text });

/** `details` of a saveset record that holds a pool's metadata. Version 1. */
export const poolDetailsSchema = z.strictObject({
  version: z.literal(1),
  pool: z.strictObject({ uuid: z.uuid(), name: text }),
  coordinator: hostFactsSchema,
  /** All members at backup time: after a restore all but the coordinator must join again. */
  hosts: z.array(hostFactsSchema),
  database: z.strictObject({
    schemaMajor: count,
    schemaMinor: count,
    generation: count,
    /** Rows by table; tables without rows are left out. */
    rows: z.record(z.string(), count),
  }),
  /** Machines and templates whose records are in the metadata archive, control domains left out. */
  machines: count,
  release,
  /** How to bring it back, also without this software. */
  runbook: z.string().max(65536),
});

/** `details` of a saveset record that holds the backup of a host's control domain. Version 1. */
export const hostDetailsSchema = z.strictObject({
  version: z.literal(1),
  host: hostFactsSchema,
  isCoordinator: z.boolean(),
  archive: z.strictObject({ members: count, unpackedBytes: count, productVersion: text }),
  release,
  runbook: z.string().max(65536),
});

export type HostFacts = z.infer<typeof hostFactsSchema>;
export type PoolDetails = z.infer<typeof poolDetailsSchema>;
export type HostDetails = z.infer<typeof hostDetailsSchema>;

/** Names of the items. */
export const DATABASE_ITEM = 'pool-database.xml';
export const MACHINES_ITEM = 'vm-metadata.xva';
export const HOST_ITEM = 'host-backup.tar.gz';
export const RUNBOOK_ITEM = 'RUNBOOK.txt';
