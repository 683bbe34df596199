import { MIB } from '../../../src/common/byte-size.js';
import { createDiskContent } from '../../../src/simulator/content/content-spec.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { type Fields } from '../../../src/simulator/record-store.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { RpcClient } from '../support/rpc-client.js';
import { capturedSteps } from './captured-fixtures.js';
import { type Comparison } from './comparison.js';

type Records = Readonly<Record<string, Fields>>;

/** The records of the pool that was captured, before its first step: class to reference to record. */
export function capturedRecords(): Readonly<Record<string, Records>> {
  const lists = capturedSteps('backup-restore-flow').filter(({ rpc }) => rpc?.endsWith('.get_all_records'));
  return Object.fromEntries(
    lists.map(({ rpc = '', answer }) => [rpc.slice(0, rpc.indexOf('.')), answer?.result as Records]),
  );
}

/** What the captured pool had, as far as the simulated one builds it by itself. */
const DEFINITION = {
  name: '',
  release: '8.3',
  seed: 3,
  username: 'root',
  password: 'xenroot',
  hosts: [{ name: 'vm1', cpuCount: 4, memoryGiB: 16 }],
  networks: [
    { name: 'Pool-wide network associated with eth0', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    { name: 'Pool-wide network associated with eth1', bridge: 'xenbr1', device: 'eth1' },
    { name: 'net0', bridge: 'xapi1' },
  ],
  storage: [
    { name: 'files', description: 'raw files', type: 'file' as const, host: 'vm1', sizeGiB: 1024, isDefault: true },
  ],
};

export interface CapturedWorld {
  readonly pool: RunningPool;
  readonly client: RpcClient;
  /** Where the hosts of a pool of two are to be found. */
  readonly urls?: Readonly<Record<'coordinator' | 'member', string>>;
}

/** A simulated pool with the objects of the captured one, under the same references, and the two bound together. */
export async function startCapturedWorld(comparison: Comparison): Promise<CapturedWorld> {
  const pool = await startSimulatedPool({ poolFile: DEFINITION });
  const records = capturedRecords();
  const { store } = pool.pool;
  const { binding } = comparison;
  const pair = (cls: string, captured: readonly [string, Fields] | undefined, ref: string | undefined): void => {
    if (captured === undefined || ref === undefined) return;
    binding.set(captured[0], ref);
    binding.set(textOf(captured[1], 'uuid'), textOf(store.get(cls, ref), 'uuid'));
  };
  for (const cls of ['pool', 'host', 'SR', 'network', 'VM']) {
    for (const entry of Object.entries(records[cls] ?? {})) {
      const own = store
        .all(cls)
        .find(([, record]) => cls === 'pool' || cls === 'host' || record.name_label === entry[1].name_label);
      const domain = entry[1].is_control_domain === true ? store.all('VM')[0] : undefined;
      pair(cls, entry, (domain ?? own)?.[0]);
    }
  }
  for (const vm of Object.entries(records.VM ?? {})) {
    if (vm[1].is_control_domain !== true) copyMachine(pool, comparison, records, vm);
  }
  return { pool, client: await new RpcClient(pool.httpUrl).login(pool) };
}

/** Gives the pool a captured VM: its record, devices and disks. */
export function copyMachine(
  { pool }: RunningPool,
  { binding }: Comparison,
  records: Readonly<Record<string, Records>>,
  [ref, record]: readonly [string, Fields],
): void {
  const copy = (cls: string, fields: Fields, own: string): void => {
    const translated = binding.translateAll(fields);
    for (const text of [own, textOf(fields, 'uuid')]) binding.set(text, text);
    pool.store.create(cls, { ...translated, ...EMPTIED }, own);
  };
  copy('VM', record, ref);
  pool.store.create('VM_metrics', {}, textOf(record, 'metrics'));
  for (const [vif, fields] of Object.entries(records.VIF ?? {})) if (fields.VM === ref) copy('VIF', fields, vif);
  for (const [vbd, fields] of Object.entries(records.VBD ?? {})) {
    if (fields.VM !== ref) continue;
    const vdi = textOf(fields, 'VDI');
    const disk = records.VDI?.[vdi];
    if (disk !== undefined && !pool.store.has('VDI', vdi)) {
      copy('VDI', disk, vdi);
      const sizeBytes = Number(disk.virtual_size);
      pool.contents.set(vdi, createDiskContent(sizeBytes, { kind: 'random', seed: 5, allocatedRanges: FILLED }));
    }
    copy('VBD', fields, vbd);
  }
}

/** What the store keeps by itself. */
const EMPTIED: Fields = { VBDs: [], VIFs: [], VDIs: [], snapshots: [], children: [], VTPMs: [], consoles: [] };
/** The captured disk had six of its eight MiB filled. */
const FILLED = [{ offsetBytes: 0, lengthBytes: 6 * MIB }];
