import { type HostDefinition, type NetworkDefinition } from '../pool-definition.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { NULL_REF, numberOf, setOf, textOf, wireDate } from '../wire/wire-value.js';

const UNTAGGED = -1;
const LACP_PROPERTIES = {
  hashing_algorithm: 'tcpudp_ports',
  'lacp-time': 'slow',
  'lacp-aggregation-key': '0',
  'lacp-fallback-ths': 'true',
};

/** The networks of a pool, and one for each card that is part of a bond. Reference by name; of a card by its device. */
export function buildNetworks(
  pool: SimulatedPool,
  definitions: readonly NetworkDefinition[],
): ReadonlyMap<string, string> {
  const { store } = pool;
  const networks = new Map(
    definitions.map((network) => {
      const { name, description, bridge, mtu, purpose, tags, uuid, otherConfig } = network;
      const fields = {
        name_label: name,
        name_description: description,
        bridge,
        MTU: mtu,
        purpose,
        tags,
        managed: true,
        other_config: otherConfig,
      };
      return [name, store.create('network', { ...fields, ...(uuid === undefined ? {} : { uuid }) })];
    }),
  );
  for (const device of definitions.flatMap(({ bond }) => bond?.slaves ?? [])) {
    const bridge = `xenbr${device.replace(/\D/g, '')}`;
    const name = `Pool-wide network associated with ${device}`;
    networks.set(device, store.create('network', { name_label: name, bridge, MTU: 1500, managed: true }));
  }
  return networks;
}

/** Where a host is found: what its PIFs are made with. */
export interface HostPlace {
  /** Reference of the host. */
  readonly ref: string;
  readonly host: HostDefinition;
  /** Of the management interface. */
  readonly address: string;
}

/** The network interfaces of a host: cards, bonds of cards, and VLANs on either. */
export function buildInterfaces(
  pool: SimulatedPool,
  place: HostPlace,
  definitions: readonly NetworkDefinition[],
  networks: ReadonlyMap<string, string>,
): void {
  for (const definition of definitions) {
    if (definition.device === undefined) continue;
    const master = buildInterface(pool, place, definition, networks);
    if (definition.bond !== undefined) buildBond(pool, place, master, definition.bond, networks);
  }
  for (const pif of setOf(pool.store.get('host', place.ref), 'PIFs')) buildVlan(pool, place.ref, pif);
}

function buildInterface(
  pool: SimulatedPool,
  { ref, host, address }: HostPlace,
  network: NetworkDefinition,
  networks: ReadonlyMap<string, string>,
): string {
  const ip = network.isManagement ? address : network.hostAddresses[host.name];
  const netmask = network.isManagement ? '255.0.0.0' : network.netmask;
  return pool.store.create('PIF', {
    device: network.device ?? '',
    network: networks.get(network.name) ?? '',
    host: ref,
    MAC: pool.random.mac(),
    MTU: network.mtu,
    VLAN: network.vlan,
    physical: network.vlan === UNTAGGED && network.bond === undefined,
    currently_attached: true,
    management: network.isManagement,
    ...(ip === undefined ? {} : { ip_configuration_mode: 'Static', IP: ip, netmask }),
    metrics: pool.store.create('PIF_metrics', { carrier: true, last_updated: wireDate(pool.nowMs()) }),
    managed: true,
  });
}

function buildBond(
  pool: SimulatedPool,
  { ref }: HostPlace,
  master: string,
  { slaves, mode }: NonNullable<NetworkDefinition['bond']>,
  networks: ReadonlyMap<string, string>,
): void {
  const { store } = pool;
  const properties = mode === 'lacp' ? LACP_PROPERTIES : {};
  const bond = store.create('Bond', { master, mode, properties, links_up: slaves.length });
  const pifs = slaves.map((device) =>
    store.create('PIF', {
      device,
      network: networks.get(device) ?? '',
      host: ref,
      MAC: pool.random.mac(),
      MTU: 1500,
      VLAN: UNTAGGED,
      physical: true,
      currently_attached: true,
      bond_slave_of: bond,
      metrics: store.create('PIF_metrics', { carrier: true, last_updated: wireDate(pool.nowMs()) }),
      managed: true,
    }),
  );
  const [primary = NULL_REF] = pifs;
  store.patch('Bond', bond, { primary_slave: primary });
  store.patch('PIF', master, { MAC: textOf(store.get('PIF', primary), 'MAC') });
}

/** Ties a tagged interface to the untagged one of the same device, when the host has that. */
function buildVlan(pool: SimulatedPool, host: string, untagged: string): void {
  const { store } = pool;
  const record = store.get('PIF', untagged);
  const tag = numberOf(record, 'VLAN');
  if (tag === UNTAGGED) return;
  const tagged = setOf(store.get('host', host), 'PIFs').find((pif) => {
    const other = store.get('PIF', pif);
    return textOf(other, 'device') === textOf(record, 'device') && numberOf(other, 'VLAN') === UNTAGGED;
  });
  if (tagged === undefined) return;
  const vlan = store.create('VLAN', { tagged_PIF: tagged, untagged_PIF: untagged, tag });
  store.patch('PIF', untagged, { VLAN_master_of: vlan, MAC: textOf(store.get('PIF', tagged), 'MAC') });
}
