import { GIB } from '../../common/byte-size.js';
import { assertSpace, updateSrSpace } from '../behaviour/sr-space.js';
import { type HostCertificate } from '../certificate.js';
import { type CompletePool } from '../pool-definition.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { NULL_REF, textOf, wireDate } from '../wire/wire-value.js';
import { buildHost } from './build-host.js';
import { buildNetworks } from './build-network.js';
import { buildStorage } from './build-storage.js';
import { buildUsers } from './build-users.js';
import { buildVm } from './build-vm.js';
import { type BuiltPool } from './built-pool.js';
import { restrictionsOf } from './restrictions.js';

/** Where a host is to be found, and what it shows. */
interface HostPlace {
  readonly address: string;
  readonly certificate: HostCertificate;
}

/**
 * Makes the objects of a pool file. `hosts` gives each host, in order, its address and certificate. Throws
 * SR_BACKEND_FAILURE_44 when a storage is smaller than what lies on it.
 */
export function buildPool(pool: SimulatedPool, definition: CompletePool, hosts: readonly HostPlace[]): void {
  const { store } = pool;
  pool.isBeingBuilt = true;
  store.load(() => {
    buildObjects(pool, definition, hosts);
  });
  pool.isBeingBuilt = false;
  for (const [sr] of store.all('SR')) {
    updateSrSpace(pool, sr);
    assertSpace(pool, sr, 0);
  }
}

function buildObjects(pool: SimulatedPool, definition: CompletePool, hosts: readonly HostPlace[]): void {
  const { store } = pool;
  const networks = buildNetworks(pool, definition.networks);
  const hostRefs = new Map<string, string>();
  for (const [index, host] of definition.hosts.entries()) {
    const place = hosts[index];
    if (place === undefined) continue;
    hostRefs.set(host.name, buildHost(pool, host, place, definition, networks));
  }
  const [coordinator = NULL_REF] = hostRefs.values();
  store.create('pool', {
    ...(definition.uuid === undefined ? {} : { uuid: definition.uuid }),
    name_label: definition.name,
    name_description: definition.description,
    master: coordinator,
    other_config: poolConfig(pool, definition, networks),
    tags: definition.tags,
    ha_enabled: definition.isHaEnabled,
    restrictions: restrictionsOf(definition.restrictions),
    ha_cluster_stack: 'xhad',
    cpu_info: { cpu_count: '4', socket_count: '1', vendor: 'GenuineIntel' },
    tls_verification_enabled: true,
    allowed_operations: [],
  });
  const built = buildStorage(pool, definition, hostRefs);
  const defaultSr = definition.storage.find(({ isDefault }) => isDefault);
  const defaultRef = defaultSr === undefined ? NULL_REF : (built.storage.get(defaultSr.name) ?? NULL_REF);
  const [poolRef] = pool.poolEntry;
  store.patch('pool', poolRef, { default_SR: defaultRef, suspend_image_SR: defaultRef, crash_dump_SR: defaultRef });
  const appliances = new Map(
    definition.appliances.map(({ name, description }) => [
      name,
      store.create('VM_appliance', { name_label: name, name_description: description }),
    ]),
  );
  const parts: BuiltPool = { hosts: hostRefs, networks, appliances, ...built };
  for (const vm of definition.vms) buildVm(pool, vm, parts);
  for (const [ref, record] of store.all('host_metrics')) {
    const total = typeof record.memory_total === 'number' ? record.memory_total : 0;
    store.patch('host_metrics', ref, { memory_free: total - 2 * GIB, last_updated: wireDate(pool.nowMs()) });
  }
  buildUsers(pool, definition.users);
}

function poolConfig(
  pool: SimulatedPool,
  { otherConfig, backupNetwork }: CompletePool,
  networks: ReadonlyMap<string, string>,
): Readonly<Record<string, string>> {
  const network = backupNetwork === undefined ? undefined : networks.get(backupNetwork);
  return {
    'memory-ratio-hvm': '0.25',
    'memory-ratio-pv': '0.25',
    ...otherConfig,
    ...(network === undefined ? {} : { 'xo:backupNetwork': textOf(pool.store.get('network', network), 'uuid') }),
  };
}
