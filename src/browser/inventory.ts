import { type PoolAndHosts, type PoolConnection } from '../session/pool-connection.js';
import { type RecordClass, type RefOf, type VmRecord, type XapiRecordTypes } from '../xapi/xapi-records.js';

type Table<Class extends RecordClass> = ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]>;

/** The pool as one picture: what a tree of it needs. */
export interface Inventory extends PoolAndHosts {
  readonly machines: Table<'VM'>;
  /** By UUID, in lower case. */
  readonly machinesByUuid: ReadonlyMap<string, VmRecord>;
  readonly guestMetrics: Table<'VM_guest_metrics'>;
  readonly devices: Table<'VBD'>;
  readonly disks: Table<'VDI'>;
  readonly storages: Table<'SR'>;
}

/**
 * One call for each of five classes, and one for pool and hosts when they have not just been read, whatever the size of the
 * pool. One after the other: the answers of a large pool have tens of megabytes, and need not lie in memory together.
 */
export async function loadInventory(pool: PoolConnection, signal?: AbortSignal): Promise<Inventory> {
  const options = signal === undefined ? {} : { signal };
  const poolAndHosts = await pool.poolAndHosts(options);
  const machines = await pool.allRecords('VM', options);
  const guestMetrics = await pool.allRecords('VM_guest_metrics', options);
  const devices = await pool.allRecords('VBD', options);
  const disks = await pool.allRecords('VDI', options);
  const storages = await pool.allRecords('SR', options);
  const machinesByUuid = new Map([...machines.values()].map((machine) => [machine.uuid.toLowerCase(), machine]));
  return { ...poolAndHosts, machines, machinesByUuid, guestMetrics, devices, disks, storages };
}
