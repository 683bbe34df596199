import { hostSeeing } from '../http/redirect.js';
import { type CallContext } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { flagOf, NULL_REF, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { cloneVdi, destroyVdi } from './disks.js';
import { withOperation } from './with-operation.js';

/**
 * VDI.pool_migrate: a VM's disk goes to other storage of the pool, and is another disk there. Its snapshots stay where they
 * are. Throws VDI_NEEDS_VM_FOR_MIGRATE [vdi], VDI_INCOMPATIBLE_TYPE, VDI_CBT_ENABLED [vdi], what keeps the VM from being
 * moved, what the SR refuses, and NO_HOSTS_AVAILABLE [] when no host sees both.
 */
export async function migrateVdi({ pool, task }: CallContext, vdi: string, sr: string): Promise<string> {
  const { store } = pool;
  const record = store.get('VDI', vdi);
  const vbds = setOf(record, 'VBDs');
  const [first] = vbds;
  if (first === undefined) throw new SimulatedFailure('VDI_NEEDS_VM_FOR_MIGRATE', [vdi]);
  const vm = textOf(store.get('VBD', first), 'VM');
  return withOperation(pool, task, 'VM', vm, 'migrate_send', () => {
    assertMovable(vdi, record);
    const resident = textOf(store.get('VM', vm), 'resident_on');
    const host = hostSeeing(pool, [textOf(record, 'SR'), sr], resident === NULL_REF ? pool.coordinator : resident);
    const mustStay = resident !== NULL_REF && host !== resident;
    if (host === undefined || mustStay) throw new SimulatedFailure('NO_HOSTS_AVAILABLE');
    const moved = cloneVdi(pool, vdi, sr);
    for (const vbd of vbds) store.patch('VBD', vbd, { VDI: moved });
    for (const snapshot of setOf(store.get('VDI', vdi), 'snapshots'))
      store.patch('VDI', snapshot, { snapshot_of: moved });
    destroyVdi(pool, vdi);
    return moved;
  });
}

function assertMovable(vdi: string, record: XapiRecord): void {
  if (textOf(record, 'type') === 'cbt_metadata') {
    throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
  }
  if (flagOf(record, 'cbt_enabled')) throw new SimulatedFailure('VDI_CBT_ENABLED', [vdi]);
}
