import { type PoolAndHosts, type PoolConnection } from '../session/pool-connection.js';
import { type RecordClass, type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';

/** What the tree shows of each class. Of a large pool's tens of megabytes nothing else is kept. */
const SHOWN = {
  VM: [
    'uuid',
    'name_label',
    'name_description',
    'power_state',
    'is_a_template',
    'is_default_template',
    'is_control_domain',
    'is_a_snapshot',
    'VBDs',
    'resident_on',
    'guest_metrics',
    'allowed_operations',
    'tags',
  ],
  VM_guest_metrics: ['PV_drivers_detected'],
  VBD: ['VDI', 'userdevice', 'type'],
  VDI: ['uuid', 'name_label', 'SR', 'virtual_size', 'physical_utilisation', 'read_only'],
  SR: ['name_label'],
} as const satisfies { readonly [Class in RecordClass]?: readonly (keyof XapiRecordTypes[Class])[] };

type ShownClass = keyof typeof SHOWN;

type Shown<Class extends ShownClass> = Pick<
  XapiRecordTypes[Class],
  (typeof SHOWN)[Class][number] & keyof XapiRecordTypes[Class]
>;
type Table<Class extends ShownClass> = ReadonlyMap<RefOf<Class>, Shown<Class>>;

export type ShownMachine = Shown<'VM'>;
export type ShownDisk = Shown<'VDI'>;

/** The pool as one picture: what a tree of it needs. */
export interface Inventory extends PoolAndHosts {
  readonly machines: Table<'VM'>;
  /** By UUID, in lower case. */
  readonly machinesByUuid: ReadonlyMap<string, ShownMachine>;
  readonly guestMetrics: Table<'VM_guest_metrics'>;
  readonly devices: Table<'VBD'>;
  readonly disks: Table<'VDI'>;
  readonly storages: Table<'SR'>;
}

/**
 * One call for each of five classes, and one for pool and hosts when they have not just been read, whatever the size of the
 * pool. One after the other: the answers of a large pool have tens of megabytes, and need not lie in memory together; but
 * each is read while the pool makes the next. The largest come first, so that the last is read in no time.
 */
export async function loadInventory(pool: PoolConnection, signal?: AbortSignal): Promise<Inventory> {
  const options = signal === undefined ? {} : { signal };
  const poolAndHosts = await pool.poolAndHosts(options);
  const disks = await answered((onAnswered) => pool.allWithFields('VDI', SHOWN.VDI, { ...options, onAnswered }));
  const machines = await answered((onAnswered) => pool.allWithFields('VM', SHOWN.VM, { ...options, onAnswered }));
  const devices = await answered((onAnswered) => pool.allWithFields('VBD', SHOWN.VBD, { ...options, onAnswered }));
  const guestMetrics = await answered((onAnswered) =>
    pool.allWithFields('VM_guest_metrics', SHOWN.VM_guest_metrics, { ...options, onAnswered }),
  );
  const storages = await answered((onAnswered) => pool.allWithFields('SR', SHOWN.SR, { ...options, onAnswered }));
  const allMachines = await machines.table;
  return {
    ...poolAndHosts,
    machines: allMachines,
    machinesByUuid: new Map([...allMachines.values()].map((machine) => [machine.uuid.toLowerCase(), machine])),
    guestMetrics: await guestMetrics.table,
    devices: await devices.table,
    disks: await disks.table,
    storages: await storages.table,
  };
}

/** Resolves when the answer is here; its table comes when it has been read. */
async function answered<Table>(
  ask: (onAnswered: () => void) => Promise<Table>,
): Promise<{ readonly table: Promise<Table> }> {
  return await new Promise((resolve, reject) => {
    const table = ask(() => {
      resolve({ table });
    });
    table.then(() => {
      resolve({ table });
    }, reject);
  });
}
