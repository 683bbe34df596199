import { machineConfiguration } from '../browser/machine-configuration.js';
import { disksOf, type Machine, type MachineDisk } from '../browser/machine.js';
import { machineKind, type MachineKind } from '../browser/source-name.js';
import { type BackupEstimate, BackupError, type SavesetDisk } from '../contract/index.js';
import { type MachineDetails } from '../format/machine-details.js';
import { type HostRecord, type RefOf } from '../xapi/xapi-records.js';
import { assertFitsVhd } from './chain-disk.js';
import { type ConsistencyDecision, type ConsistencyWish, decideConsistency, fallBack } from './consistency-plan.js';
import { type LevelPlan } from './level-plan.js';
import { type StoredForm } from './saveset-history.js';

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
  /** Disks of the machine that a snapshot leaves out. */
  readonly excluded: readonly RefOf<'VDI'>[];
  /** True when the machine can't be read itself, though it is at rest. */
  readonly needsSnapshot: boolean;
}

/** What is stored of the machine. */
export interface WantedContent {
  readonly form: StoredForm;
  readonly excluded: readonly RefOf<'VDI'>[];
}

const WHOLE_ARCHIVE: WantedContent = { form: 'xva', excluded: [] };

/**
 * How a machine in this state is saved.
 * @throws {BackupError} SOURCE_UNSUPPORTED when a disk's data can't be had; REQUEST_INVALID and OBJECT_NOT_SUPPORTED for a
 *   consistency that can't be.
 */
export function planMachineBackup(
  machine: Machine,
  wish: ConsistencyWish = {},
  { form, excluded }: WantedContent = WHOLE_ARCHIVE,
): MachineBackupPlan {
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
  if (form === 'disks') assertFitsVhd(disks);
  const needsSnapshot = form === 'disks' || excluded.length > 0;
  if (needsSnapshot && record.is_a_template) throw templateIsWhole(record.name_label);
  const decided = decideConsistency(machine, wish);
  const decision = form === 'disks' && decided.withMemory ? withoutMemory(machine, wish) : decided;
  const memoryBytes = decision.withMemory ? record.memory_static_max : 0;
  return {
    ...decision,
    kind: machineKind(record),
    way: needsSnapshot ? 'snapshot' : wayOf(decision),
    excluded,
    needsSnapshot,
    disks: disks.map(toSavesetDisk),
    expectedBytes: disks.reduce((sum, disk) => sum + expectedBytesOf(disk), ARCHIVE_OVERHEAD_BYTES + memoryBytes),
  };
}

/** The same plan by another method, when the first did not work. */
export function replan(plan: MachineBackupPlan, decision: ConsistencyDecision): MachineBackupPlan {
  return { ...plan, ...decision, way: plan.needsSnapshot ? 'snapshot' : wayOf(decision) };
}

/** Memory is no disk: what only a tag asked for is left out, what the request asked for is refused. */
function withoutMemory({ record }: Machine, wish: ConsistencyWish): ConsistencyDecision {
  if (wish.consistency === 'memory') {
    throw new BackupError('REQUEST_INVALID', 'consistency=memory and format=disks contradict each other.', {
      hint: 'Memory is saved with format=xva only.',
    });
  }
  const message = `The memory of "${record.name_label}" is not saved with format=disks.`;
  return fallBack('MEMORY_UNAVAILABLE', message);
}

function templateIsWhole(name: string): BackupError {
  return new BackupError('OBJECT_NOT_SUPPORTED', `The template "${name}" can only be saved whole, as one archive.`, {
    hint: 'The pool makes no snapshots of templates. Leave format, disks and excludeDisks out.',
  });
}

function wayOf({ method }: ConsistencyDecision): MachineBackupPlan['way'] {
  return method === 'direct' || method === 'shutdown' || method === 'force-shutdown' ? 'direct' : 'snapshot';
}

/** @param costs bytes that will be read of each disk, by position, where that is known. */
export function estimateOf(
  source: BackupEstimate['source'],
  plan: MachineBackupPlan,
  levels: LevelPlan,
  costs: ReadonlyMap<string, number | undefined>,
): BackupEstimate {
  const isChain = levels.form === 'disks';
  const known = levels.disks.map(({ disk }) => costs.get(disk.position));
  const isKnown = !known.includes(undefined);
  const sum = known.reduce<number>((total, bytes) => total + (bytes ?? 0), ARCHIVE_OVERHEAD_BYTES);
  return {
    source,
    level: levels.level,
    expectedBytes: isChain ? sum : plan.expectedBytes,
    expectedIs: isKnown ? 'estimate' : 'unknown',
    disks: levels.disks.map(({ disk: { id, name, sizeBytes, position }, level, reason }) => {
      const expectedBytes = costs.get(position);
      return { id, name, sizeBytes, level, reason, ...(expectedBytes === undefined ? {} : { expectedBytes }) };
    }),
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
