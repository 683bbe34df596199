import { readRunMark, type RunMark, SETTLED_KEY } from '../session/run-marks.js';
import { isNullRef, type RefOf, type VdiRecord, type VmRecord } from '../xapi/xapi-records.js';

/** A disk's snapshot that is ours and that increments build on. */
export interface OwnBase {
  readonly ref: RefOf<'VDI'>;
  readonly record: VdiRecord;
  readonly keep: NonNullable<RunMark['keep']>;
}

/** What one saveset has left in the pool for those that build on it. */
export interface BaseSet {
  readonly savesetId: string;
  readonly host: string;
  /** True once its saveset is known to be stored. */
  readonly isSettled: boolean;
  /** Until when its host may still say what became of the saveset. */
  readonly aliveUntilMs: number;
  /** The snapshot machine that holds the disks, while it is there. */
  readonly snapshot: { readonly ref: RefOf<'VM'>; readonly record: VmRecord } | undefined;
  readonly disks: readonly OwnBase[];
}

export type Records<Class extends 'VM' | 'VDI'> = ReadonlyMap<RefOf<Class>, Class extends 'VM' ? VmRecord : VdiRecord>;

interface Gathering {
  host: string;
  isSettled: boolean;
  aliveUntilMs: number;
  snapshot: BaseSet['snapshot'];
  disks: OwnBase[];
}

/** Every base in the pool that carries our mark, of whichever host. What has inherited it from a base is none. Pure. */
export function findBases(machines: Records<'VM'>, disks: Records<'VDI'>): readonly BaseSet[] {
  const sets = new Map<string, Gathering>();
  const setOf = (mark: RunMark): Gathering => {
    const { host, aliveUntilMs } = mark;
    const key = keyOf(mark);
    const found = sets.get(key) ?? { host, isSettled: false, aliveUntilMs: 0, snapshot: undefined, disks: [] };
    found.aliveUntilMs = Math.max(found.aliveUntilMs, aliveUntilMs);
    sets.set(key, found);
    return found;
  };
  for (const [ref, record] of machines) {
    const mark = readRunMark(record.other_config);
    if (isBase(mark, record)) setOf(mark).snapshot = { ref, record };
  }
  for (const [ref, record] of disks) {
    const mark = readRunMark(record.other_config);
    if (!isBase(mark, record)) continue;
    const set = setOf(mark);
    set.disks.push({ ref, record, keep: mark.keep ?? 'snapshot' });
    set.isSettled ||= record.other_config[SETTLED_KEY] === mark.run;
  }
  // While a run reads its snapshot it renews the mark of that, not those of the disks.
  for (const { other_config: config } of machines.values()) {
    const mark = readRunMark(config);
    const set = mark === undefined ? undefined : sets.get(keyOf(mark));
    if (mark !== undefined && set !== undefined) set.aliveUntilMs = Math.max(set.aliveUntilMs, mark.aliveUntilMs);
  }
  return [...sets].map(([key, set]) => ({ ...set, savesetId: key.slice(set.host.length + 1) }));
}

function keyOf({ host, run }: RunMark): string {
  return `${host}\n${run}`;
}

/** True for what the mark was put on itself. */
function isBase(
  mark: RunMark | undefined,
  { uuid, is_a_snapshot: isSnapshot }: { readonly uuid: string; readonly is_a_snapshot: boolean },
): mark is RunMark {
  return mark?.role === 'base' && mark.object === uuid && isSnapshot;
}

/** True when the set is of this machine: its snapshot, or the snapshot of one of its disks. */
export function isOfMachine(set: BaseSet, machine: RefOf<'VM'>, disks: ReadonlySet<string>): boolean {
  return set.snapshot?.record.snapshot_of === machine || set.disks.some(({ record }) => disks.has(record.snapshot_of));
}

/** Why nothing can build on a base any more; undefined when something can. `disks` are all of the pool. Pure. */
export function whyUseless({ record }: OwnBase, disks: Records<'VDI'>): string | undefined {
  if (isNullRef(record.snapshot_of) || !disks.has(record.snapshot_of)) return 'the disk that it was a base of is gone';
  if (record.type === 'cbt_metadata' && !record.cbt_enabled) return 'the pool lost track of changes since it was made';
  return undefined;
}

/** True when a crash came between the steps that make a base of a snapshot. */
export function isHalfMade({ snapshot, disks }: BaseSet): boolean {
  return (
    snapshot !== undefined ||
    disks.some(({ keep, record }) => keep === 'metadata' && record.cbt_enabled && record.type !== 'cbt_metadata')
  );
}
