import { roomIn, storageCondition } from '../behaviour/sr-space.js';
import { dataPathSettings } from '../handlers/data-path-settings.js';
import { snapshotState, type PoolState } from '../pool-state.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { numberOf, textOf, wireDate } from '../wire/wire-value.js';
import { diskDigest } from './disk-digest.js';
import { type ControlledPool } from './operation.js';

export interface ReportOptions {
  /** Of the records only these classes; all but sessions, tasks and messages when absent. */
  readonly classes?: readonly string[] | undefined;
  /** Adds the SHA-256 of every disk, which takes as long as reading them. */
  readonly withDigests?: boolean | undefined;
  /** Leaves out numbers that move by themselves. */
  readonly withoutVolatile?: boolean | undefined;
}

interface DiskReport {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly sha256?: string;
}

/** All of a pool as data: what its records say, and what they do not. */
export async function reportOf(target: ControlledPool, options: ReportOptions): Promise<object> {
  const { pool } = target;
  const { store } = pool;
  const tasks = store.all('task').map(([, record]) => ({
    uuid: textOf(record, 'uuid'),
    label: textOf(record, 'name_label'),
    status: textOf(record, 'status'),
    progress: numberOf(record, 'progress'),
  }));
  const sessions = store.all('session').map(([, record]) => ({
    uuid: textOf(record, 'uuid'),
    user: textOf(record, 'auth_user_name'),
    originator: textOf(record, 'originator'),
    lastActive: textOf(record, 'last_active'),
  }));
  return {
    release: pool.release,
    time: wireDate(pool.nowMs()),
    hosts: hostsOf(pool),
    connections: target.connectionCount,
    sessions,
    tasks,
    storage: storageOf(pool),
    disks: await disksOf(pool, options.withDigests === true),
    faults: pool.faults.list(),
    timings: { ...pool.timings, ...dataPathSettings(pool) },
    records: recordsOf(pool, options),
  };
}

function recordsOf(pool: SimulatedPool, { classes, withoutVolatile = false }: ReportOptions): PoolState {
  if (classes === undefined) return snapshotState(pool, { withoutVolatile });
  const withoutClasses = [...pool.datamodel.classes.keys()].filter((cls) => !classes.includes(cls));
  return snapshotState(pool, { withoutVolatile, withClasses: classes, withoutClasses });
}

function hostsOf(pool: SimulatedPool): readonly object[] {
  return pool.store.all('host').map(([ref, record]) => ({
    uuid: textOf(record, 'uuid'),
    name: textOf(record, 'name_label'),
    address: textOf(record, 'address'),
    isCoordinator: ref === pool.coordinator,
    isDown: pool.downHosts.has(ref),
    connections: pool.connections.get(ref)?.size ?? 0,
  }));
}

/** `roomBytes` is the truth, absent for storage without a size; the record may lag behind. */
function storageOf(pool: SimulatedPool): readonly object[] {
  return pool.store.all('SR').map(([ref, record]) => {
    const room = roomIn(pool, ref);
    return {
      uuid: textOf(record, 'uuid'),
      name: textOf(record, 'name_label'),
      sizeBytes: numberOf(record, 'physical_size'),
      usedBytes: numberOf(record, 'physical_utilisation'),
      allocatedBytes: numberOf(record, 'virtual_allocation'),
      foreignBytes: storageCondition(pool, ref).foreignBytes,
      ...(Number.isFinite(room) ? { roomBytes: room } : {}),
    };
  });
}

async function disksOf(pool: SimulatedPool, withDigests: boolean): Promise<readonly DiskReport[]> {
  const disks: DiskReport[] = [];
  for (const [ref, record] of pool.store.all('VDI')) {
    const content = pool.contents.get(ref);
    if (content === undefined) continue;
    disks.push({
      uuid: textOf(record, 'uuid'),
      name: textOf(record, 'name_label'),
      sizeBytes: content.sizeBytes,
      allocatedBytes: content.allocatedBytes,
      ...(withDigests ? { sha256: await diskDigest(content) } : {}),
    });
  }
  return disks;
}
