/** A reference field and the set on the other object that mirrors it. `from.field` may itself be a set of refs. */
export interface Relation {
  readonly from: string;
  readonly field: string;
  readonly to: string;
  readonly backField: string;
}

/** The one-to-many relations of the datamodel, owner of the reference first. */
const TABLE: readonly (readonly [from: string, field: string, to: string, backField: string])[] = [
  ['VBD', 'VM', 'VM', 'VBDs'],
  ['VBD', 'VDI', 'VDI', 'VBDs'],
  ['VIF', 'VM', 'VM', 'VIFs'],
  ['VIF', 'network', 'network', 'VIFs'],
  ['VDI', 'SR', 'SR', 'VDIs'],
  ['VDI', 'snapshot_of', 'VDI', 'snapshots'],
  ['PBD', 'SR', 'SR', 'PBDs'],
  ['PBD', 'host', 'host', 'PBDs'],
  ['PIF', 'network', 'network', 'PIFs'],
  ['PIF', 'host', 'host', 'PIFs'],
  ['PIF', 'bond_slave_of', 'Bond', 'slaves'],
  ['Bond', 'master', 'PIF', 'bond_master_of'],
  ['VLAN', 'tagged_PIF', 'PIF', 'VLAN_slave_of'],
  ['tunnel', 'access_PIF', 'PIF', 'tunnel_access_PIF_of'],
  ['tunnel', 'transport_PIF', 'PIF', 'tunnel_transport_PIF_of'],
  ['network_sriov', 'physical_PIF', 'PIF', 'sriov_physical_PIF_of'],
  ['network_sriov', 'logical_PIF', 'PIF', 'sriov_logical_PIF_of'],
  ['VM', 'snapshot_of', 'VM', 'snapshots'],
  ['VM', 'parent', 'VM', 'children'],
  ['VM', 'resident_on', 'host', 'resident_VMs'],
  ['VM', 'appliance', 'VM_appliance', 'VMs'],
  ['VM', 'protection_policy', 'VMPP', 'VMs'],
  ['VM', 'snapshot_schedule', 'VMSS', 'VMs'],
  ['VM', 'groups', 'VM_group', 'VMs'],
  ['VTPM', 'VM', 'VM', 'VTPMs'],
  ['VGPU', 'VM', 'VM', 'VGPUs'],
  ['VGPU', 'GPU_group', 'GPU_group', 'VGPUs'],
  ['VUSB', 'VM', 'VM', 'VUSBs'],
  ['VUSB', 'USB_group', 'USB_group', 'VUSBs'],
  ['PUSB', 'USB_group', 'USB_group', 'PUSBs'],
  ['PUSB', 'host', 'host', 'PUSBs'],
  ['PGPU', 'GPU_group', 'GPU_group', 'PGPUs'],
  ['PGPU', 'host', 'host', 'PGPUs'],
  ['PCI', 'host', 'host', 'PCIs'],
  ['console', 'VM', 'VM', 'consoles'],
  ['crashdump', 'VM', 'VM', 'crash_dumps'],
  ['crashdump', 'VDI', 'VDI', 'crash_dumps'],
  ['host_crashdump', 'host', 'host', 'crashdumps'],
  ['host_cpu', 'host', 'host', 'host_CPUs'],
  ['host_patch', 'host', 'host', 'patches'],
  ['Certificate', 'host', 'host', 'certificates'],
  ['Feature', 'host', 'host', 'features'],
  ['Cluster_host', 'cluster', 'Cluster', 'cluster_hosts'],
  ['task', 'subtask_of', 'task', 'subtasks'],
  ['PVS_server', 'site', 'PVS_site', 'servers'],
  ['PVS_proxy', 'site', 'PVS_site', 'proxies'],
  ['PVS_cache_storage', 'site', 'PVS_site', 'cache_storage'],
];

export const RELATIONS: readonly Relation[] = TABLE.map(([from, field, to, backField]) => ({
  from,
  field,
  to,
  backField,
}));

const BY_CLASS = new Map<string, readonly Relation[]>();
for (const relation of RELATIONS) {
  BY_CLASS.set(relation.from, [...(BY_CLASS.get(relation.from) ?? []), relation]);
}

/** The relations whose reference a class holds. */
export function relationsFrom(cls: string): readonly Relation[] {
  return BY_CLASS.get(cls) ?? [];
}
