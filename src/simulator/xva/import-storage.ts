import { SimulatedFailure } from '../simulated-failure.js';
import { mapOf, NULL_REF, textOf, type XapiRecord } from '../wire/wire-value.js';
import { archived, dummyRef, type ImportState, isDryRun, lookUp } from './import-state.js';
import { type ArchiveObject } from './ova-reader.js';
import { without } from './without.js';

/** An SR of the archive: the chosen one for a full import, the one with its uuid for metadata. */
export function importSr(state: ImportState, object: ArchiveObject): void {
  const { kind } = state.settings;
  if (kind.kind === 'full') {
    if (textOf(object.record, 'content_type') !== 'iso') state.table.set(object.id, kind.sr);
    return;
  }
  const uuid = textOf(object.record, 'uuid');
  const found = state.pool.store.all('SR').find(([, record]) => textOf(record, 'uuid') === uuid)?.[0];
  if (found !== undefined) state.table.set(object.id, found);
}

/** A disk of the archive: an ISO is looked up, any other made (full) or looked up (metadata). */
export function importVdi(state: ImportState, object: ArchiveObject): void {
  const original = archived(state, textOf(object.record, 'SR'));
  if (textOf(original.record, 'content_type') === 'iso') {
    const iso = findIso(state, textOf(object.record, 'location'));
    if (iso !== undefined) state.table.set(object.id, iso);
  } else if (state.settings.kind.kind === 'metadata') findDisk(state, object);
  else createDisk(state, object);
}

function findIso(state: ImportState, location: string): string | undefined {
  const { store } = state.pool;
  const libraries = new Set(
    store
      .all('SR')
      .filter(([, sr]) => textOf(sr, 'content_type') === 'iso' && textOf(sr, 'type') !== 'udev')
      .map(([ref]) => ref),
  );
  return store
    .all('VDI')
    .find(([, vdi]) => textOf(vdi, 'location') === location && libraries.has(textOf(vdi, 'SR')))?.[0];
}

function createDisk(state: ImportState, object: ArchiveObject): void {
  const kept = without(object.record, 'uuid', 'location');
  const smConfig = without(mapOf(object.record, 'sm_config'), 'import_task');
  const vdi = state.actions.createVdi({
    ...kept,
    SR: lookUp(state, textOf(object.record, 'SR')),
    sm_config: { import_task: state.settings.task, ...smConfig },
    VBDs: [],
    crash_dumps: [],
    snapshots: [],
    is_a_snapshot: false,
    snapshot_of: NULL_REF,
    snapshot_time: '19700101T00:00:00Z',
    parent: NULL_REF,
    metadata_of_pool: NULL_REF,
    cbt_enabled: false,
    allowed_operations: [],
    current_operations: {},
    storage_lock: false,
    physical_utilisation: 0,
  });
  state.cleanup.add('VDI', () => {
    state.actions.destroyVdi(vdi);
  });
  state.table.set(object.id, vdi);
}

/** Throws VDI_LOCATION_MISSING [sr, location] or VDI_CONTENT_ID_MISSING [] unless forced. */
function findDisk(state: ImportState, object: ArchiveObject): void {
  const { kind, force } = state.settings;
  const location = textOf(object.record, 'location');
  const sr = state.table.get(textOf(object.record, 'SR'));
  const target = kind.kind === 'metadata' ? kind.vdiMap.get(textOf(object.record, 'uuid')) : undefined;
  const fits = (vdi: XapiRecord): boolean =>
    target === undefined
      ? textOf(vdi, 'location') === location && textOf(vdi, 'SR') === sr
      : textOf(vdi, 'uuid') === target;
  const found = state.pool.store.all('VDI').find(([, vdi]) => fits(vdi))?.[0];
  if (found !== undefined) state.table.set(object.id, found);
  else if (kind.kind === 'metadata' && kind.live && isDryRun(state)) state.table.set(object.id, dummyRef(state));
  else if (!force) {
    throw sr === undefined
      ? new SimulatedFailure('VDI_CONTENT_ID_MISSING')
      : new SimulatedFailure('VDI_LOCATION_MISSING', [sr, location]);
  }
}
