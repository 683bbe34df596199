import { type SavesetRecord } from '../src/contract/index.js';
import { type PoolState } from '../src/simulator/index.js';
import { type WireValue } from '../src/simulator/wire/wire-value.js';
import { type Arena, type Digests, type Stop } from './arena.js';

/** What an operation must have brought about when it says that it succeeded; undefined: all is right. */
export type Finding = string | undefined;

export type Compare = (before: PoolState, after: PoolState) => readonly string[];

/** An operation ready to run in its arena. */
export interface Prepared {
  run(stop?: Stop): Promise<void>;
  /**
   * After success. `alike` says what differs between two states of the pool, as far as it matters.
   */
  check(before: PoolState, alike: Compare): Promise<Finding>;
}

export interface Operation {
  readonly name: string;
  readonly kind: 'backup' | 'restore';
  /** It stops a machine that runs, and starts it again when it fails: what a start changes does not count then. */
  readonly restarts?: boolean;
  /** Makes what the operation needs: savesets to restore, bases to build on. */
  prepare(arena: Arena): Promise<Prepared>;
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** The pool without the bases of increments, and without what points at them. */
export function withoutBases(state: PoolState): PoolState {
  const bases = Object.entries(state.VDI ?? {})
    .filter(([, { is_a_snapshot: isSnapshot, other_config: config }]) => isSnapshot === true && isMarked(config))
    .map(([ref]) => ref);
  const without = (value: WireValue): WireValue =>
    Array.isArray(value) ? value.filter((one) => !bases.includes(String(one))) : value;
  return Object.fromEntries(
    Object.entries(state).map(([cls, table]) => [
      cls,
      Object.fromEntries(
        Object.entries(table)
          .filter(([ref]) => !bases.includes(ref))
          .map(([ref, record]) => [
            ref,
            Object.fromEntries(Object.entries(record).map(([field, value]) => [field, without(value)])),
          ]),
      ),
    ]),
  );
}

function isMarked(config: unknown): boolean {
  return typeof config === 'object' && config !== null && 'xen-backup:run' in config;
}

/** The bytes of a stored machine, proved by bringing it back as a new one. */
async function cameBack(arena: Arena, record: SavesetRecord, wanted: Digests): Promise<Finding> {
  for (const { name } of record.items) if (name === '') return 'an item without a name';
  for await (const { item, status } of arena.repository.verify(record)) {
    if (status !== 'ok') return `${item} is ${status}`;
  }
  const { targetId } = await arena.restore(record.savesetId, { mode: 'new', name: 'proof' });
  return same(arena.disksOf(targetId ?? ''), wanted) ? undefined : 'other bytes came back';
}

interface BackupWish {
  readonly name: string;
  readonly source: string;
  readonly machine?: string;
  readonly format?: 'xva' | 'disks';
  readonly isIncremental?: boolean;
}

function backup({ name, source, machine, format, isIncremental = false }: BackupWish): Operation {
  return {
    name,
    kind: 'backup',
    prepare: async (arena) => {
      const options = format === undefined ? {} : { format };
      if (isIncremental) await arena.backup(source, 'full', options);
      const uuid = machine === undefined ? undefined : arena.uuidOf(machine);
      if (isIncremental && uuid !== undefined) arena.scribble(uuid, 9);
      const wanted = uuid === undefined ? undefined : arena.disksOf(uuid);
      let record: SavesetRecord | undefined;
      return {
        run: async (stop) => {
          record = await arena.backup(source, isIncremental ? 'incremental' : 'full', options, stop);
        },
        check: async (before, alike) => {
          if (record === undefined) return 'no record';
          const isKept = format === 'disks' ? withoutBases : (state: PoolState): PoolState => state;
          const changed = alike(isKept(before), isKept(arena.state()));
          if (changed.length > 0) return `left: ${changed.join('; ')}`;
          if (wanted !== undefined) return await cameBack(arena, record, wanted);
          for await (const { item, status } of arena.repository.verify(record)) {
            if (status !== 'ok') return `${item} is ${status}`;
          }
          return undefined;
        },
      };
    },
  };
}

interface RestoreWish {
  readonly name: string;
  readonly mode: 'new' | 'overwrite';
  readonly format: 'xva' | 'disks';
}

function restore({ name, mode, format }: RestoreWish): Operation {
  return {
    name,
    kind: 'restore',
    restarts: mode === 'overwrite',
    prepare: async (arena) => {
      const uuid = arena.uuidOf('web');
      let { savesetId } = await arena.backup('vm/web', 'full', { format });
      if (format === 'disks') {
        arena.scribble(uuid, 5);
        ({ savesetId } = await arena.backup('vm/web', 'incremental', { format }));
      }
      const saved = arena.disksOf(uuid);
      arena.scribble(uuid, 12);
      let target: string | undefined;
      return {
        run: async (stop) => {
          const request = mode === 'new' ? { mode, name: 'copy' } : { mode, options: { stop: 'hard' } };
          target = (await arena.restore(savesetId, request, stop)).targetId;
        },
        check: (before) => {
          // Whoever unsubscribed was not told what came of it.
          const made = target ?? (mode === 'new' ? arena.uuidOf('copy') : uuid);
          return Promise.resolve(restored(arena, before, { target: made, saved, mode, uuid }));
        },
      };
    },
  };
}

function restored(
  arena: Arena,
  before: PoolState,
  { target, saved, mode, uuid }: { target: string; saved: Digests; mode: 'new' | 'overwrite'; uuid: string },
): Finding {
  if (!same(arena.disksOf(target), saved)) return 'other bytes came back';
  if (mode === 'overwrite' && target !== uuid) return 'another machine came back';
  const after = arena.state();
  const more = mode === 'new' ? { VM: 1, VDI: Object.keys(saved).length } : { VM: 0, VDI: 0 };
  for (const [cls, count] of Object.entries(more)) {
    const [had, has] = [before, after].map(withoutBases).map((state) => Object.keys(state[cls] ?? {}).length);
    if (has !== (had ?? 0) + count) return `${has ?? 0} ${cls} where there were ${had ?? 0}`;
  }
  const marked = Object.values(after.VM ?? {}).filter(({ other_config: config }) => isMarked(config));
  return marked.length === 0 ? undefined : 'a machine still bears the mark of the run';
}

/** One disk as a new disk of the pool, attached to nothing. */
function restoreDisk(): Operation {
  return {
    name: 'disk restore',
    kind: 'restore',
    prepare: async (arena) => {
      const uuid = arena.uuidOf('web');
      await arena.backup('vm/web', 'full', { format: 'disks' });
      arena.scribble(uuid, 5);
      const { savesetId } = await arena.backup('vm/web', 'incremental', { format: 'disks' });
      const wanted = arena.disksOf(uuid)['0'];
      let target: string | undefined;
      return {
        run: async (stop) => {
          target = (await arena.restore(savesetId, { mode: 'disk', disk: '0', name: 'one disk' }, stop)).targetId;
        },
        check: (before, alike) => {
          const after = arena.state();
          const [came, ...others] = alike(before, after).filter((one) => !/^SR .* VDIs:/.test(one));
          if (came !== 'VDI "one disk" came' || others.length > 0)
            return Promise.resolve(`left: ${[came, ...others].join('; ')}`);
          return Promise.resolve(
            arena.digestOf(target ?? arena.uuidOf('one disk', 'VDI')) === wanted ? undefined : 'other bytes came back',
          );
        },
      };
    },
  };
}

export const OPERATIONS: readonly Operation[] = [
  backup({ name: 'VM full, xva', source: 'vm/web', machine: 'web', format: 'xva' }),
  backup({ name: 'VM full, disks', source: 'vm/web', machine: 'web', format: 'disks' }),
  backup({ name: 'VM incremental', source: 'vm/web', machine: 'web', format: 'disks', isIncremental: true }),
  backup({ name: 'template', source: 'template/golden', machine: 'golden' }),
  backup({ name: 'pool metadata', source: 'pool/metadata' }),
  backup({ name: 'host', source: 'host/host-b' }),
  restore({ name: 'restore new', mode: 'new', format: 'xva' }),
  restore({ name: 'restore overwrite', mode: 'overwrite', format: 'xva' }),
  restore({ name: 'chain restore new', mode: 'new', format: 'disks' }),
  restore({ name: 'chain restore overwrite', mode: 'overwrite', format: 'disks' }),
  restoreDisk(),
];
