import { type RecordStore } from '../record-store.js';
import { flagOf, mapOf, NULL_REF, setOf, textOf } from '../wire/wire-value.js';

/** Devices that a metadata export may leave out. */
export type DeviceType = 'vif' | 'vbd' | 'vgpu' | 'vtpm';

export interface ExportScope {
  /** References of the VMs to export. */
  readonly vms: readonly string[];
  /** Snapshots and their place in the tree go along (`/export_metadata` only). */
  readonly withSnapshots: boolean;
  readonly preservePowerState: boolean;
  readonly includeVhdParents: boolean;
  readonly excludedDevices: readonly DeviceType[];
  /** VM_metrics objects are part of the archive (since xapi 25). */
  readonly withVmMetrics: boolean;
}

/** The counter behind `Ref:<n>`: it goes on from one export to the next, as it does in XAPI. */
export class ExportIds {
  #next = 0;

  next(): string {
    const id = `Ref:${this.#next}`;
    this.#next += 1;
    return id;
  }
}

/** Reference in the pool to `Ref:<n>` in the archive, for everything that goes into it. */
export type ExportTable = ReadonlyMap<string, string>;

/**
 * Walks from the VMs to all that must go along, in XAPI's order (it numbers them). The null reference gets a number too
 * when a VM has no guest metrics or host: no object of the archive will bear it (facts 5.2).
 */
export function collectExport(store: RecordStore, scope: ExportScope, ids: ExportIds): ExportTable {
  const table = new Map<string, string>();
  const add = (ref: string): void => {
    if (!table.has(ref)) table.set(ref, ids.next());
  };
  const addVdi = (ref: string): void => {
    const vdi = store.find('VDI', ref);
    add(ref);
    if (vdi === undefined) return;
    add(textOf(vdi, 'SR'));
    if (!scope.includeVhdParents) return;
    const parentUuid = mapOf(vdi, 'sm_config')['vhd-parent'];
    const parent = store.all('VDI').find(([, record]) => textOf(record, 'uuid') === parentUuid)?.[0];
    if (parentUuid !== undefined && parent !== undefined && !table.has(parent)) addVdi(parent);
  };
  const addVm = (ref: string, withSnapshots: boolean): void => {
    const vm = store.find('VM', ref);
    if (vm === undefined || table.has(ref)) return;
    add(ref);
    if (!scope.excludedDevices.includes('vif')) {
      for (const vif of setOf(vm, 'VIFs')) {
        add(vif);
        add(textOf(store.get('VIF', vif), 'network'));
      }
    }
    if (!scope.excludedDevices.includes('vbd')) {
      for (const vbd of setOf(vm, 'VBDs')) {
        add(vbd);
        const record = store.get('VBD', vbd);
        if (!flagOf(record, 'empty')) addVdi(textOf(record, 'VDI'));
      }
    }
    if (!scope.excludedDevices.includes('vgpu')) {
      for (const vgpu of setOf(vm, 'VGPUs')) {
        add(vgpu);
        add(textOf(store.get('VGPU', vgpu), 'type'));
        add(textOf(store.get('VGPU', vgpu), 'GPU_group'));
      }
    }
    for (const [proxy, record] of store.all('PVS_proxy')) {
      if (!setOf(vm, 'VIFs').includes(textOf(record, 'VIF'))) continue;
      add(proxy);
      add(textOf(record, 'site'));
    }
    if (!scope.excludedDevices.includes('vtpm')) for (const vtpm of setOf(vm, 'VTPMs')) add(vtpm);
    if (withSnapshots) for (const snapshot of setOf(vm, 'snapshots')) addVm(snapshot, false);
    const isSuspended = textOf(vm, 'power_state') === 'Suspended';
    if (scope.preservePowerState && isSuspended && store.has('VDI', textOf(vm, 'suspend_VDI')))
      addVdi(textOf(vm, 'suspend_VDI'));
    if (scope.withVmMetrics) add(textOf(vm, 'metrics'));
    add(textOf(vm, 'guest_metrics'));
    add(textOf(vm, 'resident_on'));
    add(textOf(vm, 'affinity'));
    if (withSnapshots) addVm(textOf(vm, 'parent'), false);
  };
  for (const vm of scope.vms) addVm(vm, scope.withSnapshots);
  return table;
}

/** A disk whose bytes go into the archive. */
export interface ExportedDisk {
  /** The folder of its chunks: its `Ref:<n>`. */
  readonly id: string;
  readonly vdi: string;
}

/** The disks of a VM whose bytes go along, sorted as text by their folder (`Ref:10` before `Ref:9`). CDs and ISOs stay. */
export function disksOf(
  store: RecordStore,
  vm: string,
  table: ExportTable,
  preservePowerState: boolean,
): readonly ExportedDisk[] {
  const record = store.get('VM', vm);
  const vdis = setOf(record, 'VBDs')
    .map((vbd) => store.get('VBD', vbd))
    .filter((vbd) => textOf(vbd, 'type') !== 'CD')
    .map((vbd) => textOf(vbd, 'VDI'));
  if (preservePowerState && textOf(record, 'power_state') === 'Suspended') vdis.push(textOf(record, 'suspend_VDI'));
  return [...new Set(vdis)]
    .filter((vdi) => vdi !== NULL_REF && store.has('VDI', vdi))
    .filter((vdi) => textOf(store.get('SR', textOf(store.get('VDI', vdi), 'SR')), 'content_type') !== 'iso')
    .flatMap((vdi) => {
      const id = table.get(vdi);
      return id === undefined ? [] : [{ id, vdi }];
    })
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
