import { databaseFieldName } from '../database/field-names.js';
import { databaseText } from '../rpc/query.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { isMap, NULL_REF, setOf, textOf, wireDate, type XapiRecord } from '../wire/wire-value.js';
import { copyVm } from './copy-vm.js';
import { cloneVdi, destroyVdi, snapshotVdi } from './disks.js';
import { postVmMessage } from './messages.js';
import { destroyVmRecord } from './destroy-vm.js';
import { withOperation } from './with-operation.js';

export const snapshotMethods: MethodTable = {
  'VM.snapshot': (context, args) => snapshot(context, args.text(0), args.text(1), new Set(args.strings(2))),
  'VM.revert': async (context, args) => {
    await revert(context, args.text(0));
    return undefined;
  },
};

async function snapshot(
  { pool, task }: CallContext,
  vm: string,
  name: string,
  ignored: ReadonlySet<string>,
): Promise<string> {
  return withOperation(pool, task, 'VM', vm, 'snapshot', () => {
    const ref = makeSnapshot(pool, vm, name, ignored, { power_state: 'Halted' });
    postVmMessage(pool, 'VM_SNAPSHOTTED', vm, `snapshotted, snapshot name: ${name}`);
    return ref;
  });
}

/** A snapshot of the record and of all disks but those in `ignored`. What it made goes again when it fails. */
export function makeSnapshot(
  pool: SimulatedPool,
  vm: string,
  name: string,
  ignored: ReadonlySet<string>,
  state: Readonly<Record<string, string>>,
): string {
  const record = pool.store.get('VM', vm);
  const made: string[] = [];
  try {
    const ref = copyVm(pool, vm, name, {
      copyDisk: (vdi) => {
        if (ignored.has(vdi)) return undefined;
        made.push(snapshotVdi(pool, vdi));
        return made.at(-1);
      },
      keepsMacs: true,
      keepsGuestMetrics: true,
      fields: {
        is_a_template: true,
        is_a_snapshot: true,
        snapshot_of: vm,
        snapshot_time: wireDate(pool.nowMs()),
        snapshot_info: {
          'disk-snapshot-type': 'crash_consistent',
          'power-state-at-snapshot': textOf(record, 'power_state'),
        },
        snapshot_metadata: snapshotMetadata(vm, record),
        parent: textOf(record, 'parent'),
        ...state,
      },
    });
    pool.store.patch('VM', vm, { parent: ref });
    return ref;
  } catch (thrown) {
    for (const vdi of made) destroyVdi(pool, vdi);
    throw toSimulatedFailure(thrown);
  }
}

/** The source's record as text, in the form of XAPI's database: what VM.revert restores the fields from. */
function snapshotMetadata(ref: string, record: XapiRecord): string {
  const pairs = Object.entries({ ...record, _ref: ref }).map(([name, value]) => {
    const text = databaseText(value).replaceAll('\\', '\\\\').replaceAll("'", "\\'");
    return [databaseFieldName('VM', name), text] as const;
  });
  const inOrder = pairs.sort(([a], [b]) => (a < b ? 1 : -1)).map(([name, text]) => `('${name}' '${text}')`);
  return `(${inOrder.join(' ')})`;
}

/** Puts a VM back to a snapshot: its disks are replaced by clones of the snapshot's, its record stays. */
async function revert({ pool, task }: CallContext, snapshotRef: string): Promise<void> {
  const { store } = pool;
  await withOperation(pool, task, 'VM', snapshotRef, 'revert', () => {
    const record = store.get('VM', snapshotRef);
    const vm = textOf(record, 'snapshot_of');
    if (!store.has('VM', vm)) throw new SimulatedFailure('VM_REVERT_FAILED', [snapshotRef, vm]);
    const target = store.get('VM', vm);
    const old = setOf(target, 'VBDs').map((vbd) => [vbd, textOf(store.get('VBD', vbd), 'VDI')] as const);
    const copy = copyVm(pool, snapshotRef, textOf(target, 'name_label'), {
      copyDisk: (vdi) => cloneVdi(pool, vdi, undefined, { is_a_snapshot: false }),
      keepsMacs: true,
      keepsGuestMetrics: false,
      fields: { is_a_template: false, domid: -1 },
    });
    for (const [vbd, vdi] of old) {
      const isDisk = textOf(store.get('VBD', vbd), 'type') === 'Disk';
      store.patch('VBD', vbd, { currently_attached: false });
      store.destroy('VBD', vbd);
      if (isDisk && vdi !== NULL_REF && store.has('VDI', vdi)) destroyVdi(pool, vdi);
    }
    for (const vif of setOf(target, 'VIFs')) store.destroy('VIF', vif);
    for (const vbd of setOf(store.get('VM', copy), 'VBDs')) store.patch('VBD', vbd, { VM: vm });
    for (const vif of setOf(store.get('VM', copy), 'VIFs')) store.patch('VIF', vif, { VM: vm });
    store.patch('VM', vm, {
      power_state: 'Halted',
      resident_on: NULL_REF,
      domid: -1,
      parent: snapshotRef,
      ...revertedFields(record),
    });
    destroyVmRecord(pool, copy);
    postVmMessage(pool, 'VM_REVERTED', vm, `reverted to snapshot ${textOf(record, 'name_label')}`);
  });
}

const REVERTED = [
  'name_description',
  'memory_static_max',
  'memory_static_min',
  'memory_dynamic_max',
  'memory_dynamic_min',
  'VCPUs_max',
  'VCPUs_at_startup',
  'VCPUs_params',
  'platform',
  'HVM_boot_policy',
  'HVM_boot_params',
  'PV_args',
  'tags',
  'other_config',
];

function revertedFields(record: XapiRecord): Readonly<Record<string, NonNullable<XapiRecord[string]>>> {
  const entries = REVERTED.flatMap((name) => {
    const value = record[name];
    return value === undefined ? [] : [[name, isMap(value) ? { ...value } : value] as const];
  });
  return Object.fromEntries(entries);
}

/** A snapshot outside of any call: for pools that begin with some. */
export function takeSnapshot(pool: SimulatedPool, vm: string, name: string): string {
  return makeSnapshot(pool, vm, name, new Set(), { power_state: 'Halted' });
}
