import { type PoolConnection } from '../session/pool-connection.js';
import { type RecordClass, type RefOf, type VmRecord, type XapiRecordTypes } from '../xapi/xapi-records.js';

type Table<Class extends RecordClass> = ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]>;

/** The pool as one picture: what a tree of it needs. */
export interface Inventory {
  readonly pools: Table<'pool'>;
  readonly hosts: Table<'host'>;
  readonly hostMetrics: Table<'host_metrics'>;
  readonly machines: Table<'VM'>;
  /** By UUID, in lower case. */
  readonly machinesByUuid: ReadonlyMap<string, VmRecord>;
  readonly guestMetrics: Table<'VM_guest_metrics'>;
  readonly devices: Table<'VBD'>;
  readonly disks: Table<'VDI'>;
  readonly storages: Table<'SR'>;
}

/** One call for each class, all at once: eight, whatever the size of the pool. */
export async function loadInventory(pool: PoolConnection, signal?: AbortSignal): Promise<Inventory> {
  const options = signal === undefined ? {} : { signal };
  const [pools, hosts, hostMetrics, machines, guestMetrics, devices, disks, storages] = await Promise.all([
    pool.allRecords('pool', options),
    pool.allRecords('host', options),
    pool.allRecords('host_metrics', options),
    pool.allRecords('VM', options),
    pool.allRecords('VM_guest_metrics', options),
    pool.allRecords('VBD', options),
    pool.allRecords('VDI', options),
    pool.allRecords('SR', options),
  ]);
  const machinesByUuid = new Map([...machines.values()].map((machine) => [machine.uuid.toLowerCase(), machine]));
  return { pools, hosts, hostMetrics, machines, machinesByUuid, guestMetrics, devices, disks, storages };
}
