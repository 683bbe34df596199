import { BackupError } from '../contract/index.js';
import { type HostFacts } from '../format/pool-details.js';
import { type PoolConnection } from '../session/pool-connection.js';
import { type HostRecord, type PoolRecord, type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';

/** The pool and its members, as a backup of either must know them. */
export interface PoolFacts {
  readonly pool: PoolRecord;
  readonly coordinator: HostRecord;
  readonly hosts: ReadonlyMap<RefOf<'host'>, HostRecord>;
  readonly metrics: ReadonlyMap<RefOf<'host_metrics'>, XapiRecordTypes['host_metrics']>;
}

/** @throws {BackupError} SOURCE_FAILED when the pool does not say which host leads it. */
export async function loadPoolFacts(connection: PoolConnection, signal?: AbortSignal): Promise<PoolFacts> {
  const options = signal === undefined ? {} : { signal };
  const [{ pool, hosts }, metrics] = await Promise.all([
    connection.poolAndHosts(options),
    connection.allRecords('host_metrics', options),
  ]);
  const coordinator = pool === undefined ? undefined : hosts.get(pool.master);
  if (pool === undefined || coordinator === undefined) {
    throw new BackupError('SOURCE_FAILED', 'The pool does not say which host leads it.', {
      hint: 'Its roles may be changing; try again in a moment.',
      isRetriable: true,
    });
  }
  return { pool, coordinator, hosts, metrics };
}

/** A pool of one host has no name of its own; people know it by its host's. */
export function poolName({ pool, coordinator }: Pick<PoolFacts, 'pool' | 'coordinator'>): string {
  return pool.name_label === '' ? coordinator.name_label : pool.name_label;
}

/** Whether the pool itself still hears of the host. */
export function isLive({ metrics }: Pick<PoolFacts, 'metrics'>, host: HostRecord): boolean {
  return metrics.get(host.metrics)?.live ?? false;
}

export function hostFacts({ uuid, name_label: name, address }: HostRecord): HostFacts {
  return { uuid, name, address };
}

export function releaseOf({ software_version: versions }: HostRecord): {
  readonly brand: string;
  readonly version: string;
  readonly build: string;
} {
  const { product_brand: brand = '', product_version: version = '', build_number: build = '' } = versions;
  return { brand, version, build };
}
