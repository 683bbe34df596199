import { BackupError, type BrowseNode } from '../contract/index.js';
import { runOfTemporaryName } from '../session/run-marks.js';
import { type HostRecord, type RefOf } from '../xapi/xapi-records.js';
import { type Inventory, type ShownDisk, type ShownMachine } from './inventory.js';
import { hostPath, POOL_PATH } from './pool-source-name.js';
import { consistencyProperties } from './possible-consistencies.js';
import { isUuid, machineKind, type MachineKind, machinePath, resolveMachine } from './source-name.js';

/**
 * The nodes under a path, in the order in which they are shown. Pure.
 * The tree: `` > `pool` > `pool/metadata`, `vm`, `template`, `host` > `vm/<uuid>` > `vm/<uuid>/<position of a disk>`.
 * @throws {BackupError} OBJECT_NOT_FOUND for a path that is not there.
 */
export function childrenOf(path: string, inventory: Inventory): readonly BrowseNode[] {
  const [first = '', ...rest] = path.replace(/^\/+|\/+$/g, '').split('/');
  const below = rest.join('/');
  if (first === '') return [poolNode(inventory)];
  if (first === 'pool' && below === '') return [metadataNode(inventory), ...folders(inventory)];
  if (path === POOL_PATH) return [];
  if (first === 'vm' || first === 'template') {
    return below === '' ? machineNodes(first, inventory) : diskNodes(path, below, inventory);
  }
  if (first === 'host' && below === '') return hostNodes(inventory);
  if (first === 'host') {
    const wanted = [...inventory.hosts.values()].filter(
      ({ uuid, name_label }) => uuid === below || name_label === below,
    );
    if (wanted.length > 0) return [];
  }
  throw notThere(path);
}

function poolNode({ pool, hosts }: Inventory): BrowseNode {
  const coordinator = pool === undefined ? undefined : hosts.get(pool.master);
  return {
    path: 'pool',
    kind: 'pool',
    // A pool of one host has no name of its own; people know it by its host's.
    name: pool?.name_label === '' || pool === undefined ? (coordinator?.name_label ?? '') : pool.name_label,
    id: pool?.uuid,
    hasChildren: true,
    isSelectable: false,
    properties: { hosts: hosts.size, release: releaseText(coordinator) },
  };
}

function metadataNode(inventory: Inventory): BrowseNode {
  const { id, properties } = poolNode(inventory);
  return {
    path: POOL_PATH,
    kind: 'pool',
    name: 'Pool metadata',
    id,
    hasChildren: false,
    isSelectable: true,
    properties: { ...properties, machines: machinesOf('vm', inventory).length, consistency: ['crash'] },
  };
}

function folders(inventory: Inventory): readonly BrowseNode[] {
  const counts = { vm: machinesOf('vm', inventory).length, template: machinesOf('template', inventory).length };
  const folder = (path: string, name: string, count: number): BrowseNode => ({
    path,
    kind: 'folder',
    name,
    id: undefined,
    hasChildren: count > 0,
    isSelectable: false,
    properties: { count },
  });
  return [
    folder('vm', 'Virtual machines', counts.vm),
    folder('template', 'Templates', counts.template),
    folder('host', 'Hosts', inventory.hosts.size),
  ];
}

function machinesOf(kind: MachineKind, { machines }: Inventory): readonly ShownMachine[] {
  return [...machines.values()].filter(
    (machine) =>
      machineKind(machine) === kind &&
      !machine.is_a_snapshot &&
      !machine.is_control_domain &&
      runOfTemporaryName(machine.name_label) === undefined,
  );
}

function machineNodes(kind: MachineKind, inventory: Inventory): readonly BrowseNode[] {
  return machinesOf(kind, inventory)
    .map((machine) => machineNode(machine, inventory))
    .sort(byNameThenPath);
}

function machineNode(machine: ShownMachine, inventory: Inventory): BrowseNode {
  const disks = disksOfMachine(machine, inventory);
  const host = inventory.hosts.get(machine.resident_on);
  const isEmpty = machine.is_default_template;
  const hasGuestTools = inventory.guestMetrics.get(machine.guest_metrics)?.PV_drivers_detected ?? false;
  return {
    path: machinePath(machine),
    kind: machineKind(machine),
    name: machine.name_label,
    id: machine.uuid,
    hasChildren: disks.length > 0,
    isSelectable: !isEmpty,
    ...(isEmpty ? { reason: 'It comes with the product and holds no data.' } : {}),
    sizeBytes: disks.reduce((sum, { disk }) => sum + disk.virtual_size, 0),
    properties: {
      description: machine.name_description,
      ...(machine.is_a_template
        ? {}
        : {
            powerState: machine.power_state.toLowerCase(),
            guestTools: hasGuestTools,
          }),
      ...consistencyProperties(machine, hasGuestTools),
      disks: disks.length,
      ...(host === undefined ? {} : { host: host.name_label }),
      tags: machine.tags,
    },
  };
}

interface PlacedDisk {
  readonly position: string;
  readonly disk: ShownDisk;
}

function disksOfMachine(machine: ShownMachine, { devices, disks }: Inventory): readonly PlacedDisk[] {
  return machine.VBDs.flatMap((ref: RefOf<'VBD'>): PlacedDisk[] => {
    const device = devices.get(ref);
    const disk = device?.type === 'Disk' ? disks.get(device.VDI) : undefined;
    return device === undefined || disk === undefined ? [] : [{ position: device.userdevice, disk }];
  }).sort((a, b) => Number(a.position) - Number(b.position));
}

function diskNodes(path: string, below: string, inventory: Inventory): readonly BrowseNode[] {
  const machine = findMachine(path, below, inventory);
  if (machine === undefined) return [];
  return disksOfMachine(machine, inventory).map(({ position, disk }) => ({
    path: `${machinePath(machine)}/${position}`,
    kind: 'disk',
    name: disk.name_label,
    id: disk.uuid,
    hasChildren: false,
    isSelectable: false,
    sizeBytes: disk.virtual_size,
    properties: {
      position,
      usedBytes: disk.physical_utilisation,
      storage: inventory.storages.get(disk.SR)?.name_label ?? '',
      isReadOnly: disk.read_only,
    },
  }));
}

/** The machine whose disks are asked for; undefined when the path is that of a disk, which has nothing below it. */
function findMachine(path: string, below: string, inventory: Inventory): ShownMachine | undefined {
  const slash = below.indexOf('/');
  const head = slash < 0 ? below : below.slice(0, slash);
  if (isUuid(head)) {
    const machine = inventory.machinesByUuid.get(head.toLowerCase());
    if (machine === undefined) throw notThere(path);
    if (slash < 0) return machine;
    const position = below.slice(slash + 1);
    if (disksOfMachine(machine, inventory).some((disk) => disk.position === position)) return undefined;
    throw notThere(path);
  }
  return resolveMachine(path, inventory.machines.values());
}

function hostNodes({ hosts, hostMetrics }: Inventory): readonly BrowseNode[] {
  return [...hosts.values()]
    .map((host) => ({ host, isLive: hostMetrics.get(host.metrics)?.live ?? false }))
    .map(({ host, isLive }) => ({
      path: hostPath(host),
      kind: 'host',
      name: host.name_label,
      id: host.uuid,
      hasChildren: false,
      isSelectable: isLive,
      ...(isLive ? {} : { reason: 'The pool does not hear of it: it is down or cut off.' }),
      properties: {
        address: host.address,
        isEnabled: host.enabled,
        isLive,
        consistency: ['crash'],
        machines: host.resident_VMs.length,
        release: releaseText(host),
      },
    }))
    .sort(byNameThenPath);
}

function releaseText(host: HostRecord | undefined): string {
  const { product_brand: brand = '', product_version: version = '' } = host?.software_version ?? {};
  return `${brand} ${version}`.trim();
}

function byNameThenPath(a: BrowseNode, b: BrowseNode): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.path < b.path ? -1 : 1;
}

function notThere(path: string): BackupError {
  return new BackupError('OBJECT_NOT_FOUND', `There is nothing at "${path}".`, {
    hint: 'It may be gone since it was listed; list the pool again.',
    context: { path },
  });
}
