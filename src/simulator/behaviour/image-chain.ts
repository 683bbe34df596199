import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, mapOf, numberOf, setOf, textOf, type XapiRecord } from '../wire/wire-value.js';
import { contentOf, createVdi, dropVdi, updateVdiSpace } from './disk-records.js';
import { assertSpace, EXTENT_BYTES, isSparseSr, parentOf, spaceOf, storageCondition } from './sr-space.js';

/** Longer and SM refuses a snapshot. */
const MAX_DEPTH = 30;
const PARENT = 'vhd-parent';

/** How many images a disk consists of, itself included. */
export function chainDepth(pool: SimulatedPool, vdi: string): number {
  const parent = parentOf(pool, pool.store.get('VDI', vdi));
  return parent === undefined ? 1 : 1 + chainDepth(pool, parent);
}

/**
 * Makes a disk's image the base of a chain, as a snapshot or clone of it needs: a `base copy` VDI that nobody manages.
 * Returns its uuid, undefined on storage without chains. Throws SR_BACKEND_FAILURE_109 for a chain that is too long.
 */
export function branch(pool: SimulatedPool, vdi: string): string | undefined {
  const record = pool.store.get('VDI', vdi);
  const sr = textOf(record, 'SR');
  if (!storageCondition(pool, sr).hasChains) return undefined;
  if (chainDepth(pool, vdi) >= MAX_DEPTH) {
    throw new SimulatedFailure('SR_BACKEND_FAILURE_109', ['', 'The snapshot chain is too long', '']);
  }
  const srRecord = pool.store.get('SR', sr);
  const parent = parentOf(pool, record);
  const grandContent = parent === undefined ? undefined : pool.contents.get(parent);
  const frozen = { ...record, managed: false };
  const baseBytes = spaceOf(srRecord, frozen, contentOf(pool, vdi), grandContent);
  if (!isSparseSr(srRecord)) assertSpace(pool, sr, baseBytes + EXTENT_BYTES);
  return addBase(pool, vdi, record);
}

/** Gives a new disk a chain of that length, for pools that begin with one. */
export function lengthenChain(pool: SimulatedPool, vdi: string, depth: number): void {
  while (chainDepth(pool, vdi) < depth) {
    if (addBase(pool, vdi, pool.store.get('VDI', vdi)) === undefined) return;
  }
}

/** Lets the SR's collector run in a while: what only one image builds on is merged into that, what none does goes. */
export function coalesceLater(pool: SimulatedPool, sr: string): void {
  if (!storageCondition(pool, sr).hasChains) return;
  pool.later(pool.timings.coalesceDelayMs, () => {
    if (pool.store.has('SR', sr)) coalesce(pool, sr);
  });
}

function coalesce(pool: SimulatedPool, sr: string): void {
  for (let found = collectable(pool, sr); found !== undefined; found = collectable(pool, sr)) {
    const { base, child } = found;
    const grandParent = mapOf(pool.store.get('VDI', base), 'sm_config')[PARENT];
    if (child !== undefined) setParent(pool, child, grandParent);
    dropVdi(pool, base);
    if (child !== undefined) updateVdiSpace(pool, child);
  }
}

function collectable(
  pool: SimulatedPool,
  sr: string,
): { readonly base: string; readonly child: string | undefined } | undefined {
  const vdis = setOf(pool.store.get('SR', sr), 'VDIs').map((ref) => [ref, pool.store.get('VDI', ref)] as const);
  for (const [base, record] of vdis) {
    if (flagOf(record, 'managed')) continue;
    const children = vdis.filter(([, other]) => mapOf(other, 'sm_config')[PARENT] === textOf(record, 'uuid'));
    if (children.length < 2) return { base, child: children[0]?.[0] };
  }
  return undefined;
}

function addBase(pool: SimulatedPool, vdi: string, record: XapiRecord): string | undefined {
  const parent = mapOf(record, 'sm_config')[PARENT];
  const uuid = pool.random.uuid();
  createVdi(
    pool,
    {
      SR: textOf(record, 'SR'),
      virtual_size: numberOf(record, 'virtual_size'),
      parent,
      fields: {
        uuid,
        name_label: 'base copy',
        type: textOf(record, 'type'),
        managed: false,
        read_only: true,
        sm_config: { vdi_type: 'vhd' },
      },
      isSpaceChecked: true,
    },
    contentOf(pool, vdi).snapshot(),
  );
  setParent(pool, vdi, uuid);
  updateVdiSpace(pool, vdi);
  return uuid;
}

function setParent(pool: SimulatedPool, vdi: string, parent: string | undefined): void {
  const kept = Object.entries(mapOf(pool.store.get('VDI', vdi), 'sm_config')).filter(([key]) => key !== PARENT);
  const config = parent === undefined ? kept : [...kept, [PARENT, parent]];
  pool.store.patch('VDI', vdi, { sm_config: Object.fromEntries(config) as Readonly<Record<string, string>> });
}
