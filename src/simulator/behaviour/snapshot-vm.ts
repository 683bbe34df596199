import { databaseFieldName } from '../database/field-names.js';
import { databaseText } from '../rpc/query.js';
import { type CallContext, type MethodTable } from '../rpc/method.js';
import { toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { textOf, wireDate, type XapiRecord } from '../wire/wire-value.js';
import { copyVm } from './copy-vm.js';
import { destroyVdi, snapshotVdi } from './disks.js';
import { postVmMessage } from './messages.js';
import { withOperation } from './with-operation.js';

export const snapshotMethods: MethodTable = {
  'VM.snapshot': (context, args) => snapshot(context, args.text(0), args.text(1), new Set(args.strings(2))),
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

/** A snapshot outside of any call: for pools that begin with some. */
export function takeSnapshot(pool: SimulatedPool, vm: string, name: string): string {
  return makeSnapshot(pool, vm, name, new Set(), { power_state: 'Halted' });
}
