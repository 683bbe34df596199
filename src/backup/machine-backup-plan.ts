import { machineConfiguration } from '../browser/machine-configuration.js';
import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { machineKind, type MachineKind } from '../browser/source-name.js';
import { type BackupEstimate, BackupError, type SavesetDisk } from '../contract/index.js';
import { type MachineDetails } from '../format/machine-details.js';
import { type HostRecord } from '../xapi/xapi-records.js';
import { type ConsistencyDecision, type ConsistencyWish, decideConsistency } from './consistency-plan.js';

/** The one item of a machine's saveset. */
export const ARCHIVE_ITEM = 'vm.xva';
/** Why a disk is saved in full: it is what was asked for. */
export const REASON_POLICY = 'POLICY';

/** Weight of `ova.xml` and the tar around it, next to the data of disks that have hardly any. */
const ARCHIVE_OVERHEAD_BYTES = 64 * 1024;

export interface MachineBackupPlan extends ConsistencyDecision {
  readonly kind: MachineKind;
  /** `snapshot`: of a snapshot that is made for it. `direct`: of the machine itself, which is at rest by then. */
  readonly way: 'snapshot' | 'direct';
  readonly disks: readonly SavesetDisk[];
  readonly expectedBytes: number;
}

/**
 * How a machine in this state is saved.
 * @throws {BackupError} SOURCE_UNSUPPORTED when a disk's data can't be had; REQUEST_INVALID and OBJECT_NOT_SUPPORTED for a
 *   consistency that can't be.
 */
export function planMachineBackup(machine: Machine, wish: ConsistencyWish = {}): MachineBackupPlan {
  const { record } = machine;
  const disks = disksOf(machine);
  const missing = disks.find(({ medium }) => medium.record.missing);
  if (missing !== undefined) {
    throw new BackupError(
      'SOURCE_UNSUPPORTED',
      `The disk "${missing.medium.record.name_label}" is missing from its storage.`,
      {
        hint: 'Scan the storage, or detach the disk from the machine.',
        context: { disk: missing.medium.record.uuid },
      },
    );
  }
  const decision = decideConsistency(machine, wish);
  const memoryBytes = decision.withMemory ? record.memory_static_max : 0;
  return {
    ...decision,
    kind: machineKind(record),
    way: wayOf(decision),
    disks: disks.map(toSavesetDisk),
    expectedBytes: disks.reduce((sum, disk) => sum + expectedBytesOf(disk), ARCHIVE_OVERHEAD_BYTES + memoryBytes),
  };
}

/** The same plan by another method, when the first did not work. */
export function replan(plan: MachineBackupPlan, decision: ConsistencyDecision): MachineBackupPlan {
  return { ...plan, ...decision, way: wayOf(decision) };
}

function wayOf({ method }: ConsistencyDecision): MachineBackupPlan['way'] {
  return method === 'direct' || method === 'shutdown' || method === 'force-shutdown' ? 'direct' : 'snapshot';
}

export function estimateOf(source: BackupEstimate['source'], plan: MachineBackupPlan): BackupEstimate {
  return {
    source,
    level: 'full',
    expectedBytes: plan.expectedBytes,
    expectedIs: 'estimate',
    disks: plan.disks.map(({ id, name, sizeBytes, level, reason }) => ({ id, name, sizeBytes, level, reason })),
  };
}

/** What the saveset record keeps of the machine for a restore. Pure. */
export function machineDetails(
  machine: Machine,
  plan: MachineBackupPlan,
  host: HostRecord | undefined,
): MachineDetails {
  const { record } = machine;
  const {
    product_brand: brand = '',
    product_version: version = '',
    build_number: build = '',
  } = host?.software_version ?? {};
  return {
    version: 1,
    machine: {
      uuid: record.uuid,
      name: record.name_label,
      description: record.name_description,
      powerState: record.power_state,
      isTemplate: record.is_a_template,
      memoryBytes: record.memory_static_max,
      vcpus: record.VCPUs_max,
      keptFields: {
        blocked_operations: record.blocked_operations,
        ha_restart_priority: record.ha_restart_priority,
        order: record.order,
        start_delay: record.start_delay,
        shutdown_delay: record.shutdown_delay,
      },
    },
    disks: disksOf(machine).map(({ record: device, medium: { record: disk } }) => ({
      uuid: disk.uuid,
      name: disk.name_label,
      description: disk.name_description,
      position: device.userdevice,
      sizeBytes: disk.virtual_size,
      isBootable: device.bootable,
      mode: device.mode,
      storageId: machine.storages.get(disk.SR)?.uuid ?? '',
      storageName: machine.storages.get(disk.SR)?.name_label ?? '',
    })),
    interfaces: machine.interfaces.map(({ record: vif, network, vlan }) => ({
      position: vif.device,
      mac: vif.MAC,
      networkId: network?.uuid ?? '',
      networkName: network?.name_label ?? '',
      mtu: vif.MTU,
      ...(vlan === undefined ? {} : { vlan }),
    })),
    configuration: machineConfiguration(record),
    isOfSnapshot: plan.way === 'snapshot',
    release: { brand, version, build },
  };
}

function toSavesetDisk({ record: device, medium: { record: disk } }: MachineDisk): SavesetDisk {
  return {
    id: disk.uuid,
    name: disk.name_label,
    position: device.userdevice,
    sizeBytes: disk.virtual_size,
    level: 'full',
    reason: REASON_POLICY,
    item: ARCHIVE_ITEM,
  };
}

/** An archive leaves out what is zero. Some storages report no use at all; then the size is the best guess. */
function expectedBytesOf({ medium: { record: disk } }: MachineDisk): number {
  return disk.physical_utilisation > 0 ? Math.min(disk.physical_utilisation, disk.virtual_size) : disk.virtual_size;
}
