import { type CleanupStack } from '../../common/cleanup-stack.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type XapiRecord } from '../wire/wire-value.js';
import { type ArchiveObject } from './ova-reader.js';

/** Where disks come from: streamed into one SR, or already in the pool (`/import_metadata`). */
export type ImportKind =
  | { readonly kind: 'full'; readonly sr: string }
  | {
      readonly kind: 'metadata';
      /** Checks only; makes nothing. */
      readonly dryRun: boolean;
      readonly live: boolean;
      /** Disk uuid in the archive to disk uuid in the pool. */
      readonly vdiMap: ReadonlyMap<string, string>;
    };

export interface ImportSettings {
  readonly kind: ImportKind;
  /** Keep uuids and MAC addresses, and replace a VM that is there. */
  readonly restore: boolean;
  /** Let checksum errors and missing disks pass, and leave behind what was made when it fails. */
  readonly force: boolean;
  /** The import's task. */
  readonly task: string;
}

/** Makes and drops the objects whose life is more than a record. */
export interface ImportActions {
  createVdi(fields: XapiRecord): string;
  destroyVdi(ref: string): void;
  /** With its VBDs, VIFs, VTPMs, metrics and consoles. */
  destroyVm(ref: string): void;
  /** Attaches disks for writing; the returned function detaches them and brings their records up to date. */
  holdDisks(vdis: readonly string[]): () => void;
}

/** One import on its way: what was found or made so far, and how to undo it. */
export interface ImportState {
  readonly pool: SimulatedPool;
  readonly settings: ImportSettings;
  readonly actions: ImportActions;
  readonly objects: readonly ArchiveObject[];
  /** Id in the archive to reference in the pool. */
  readonly table: Map<string, string>;
  /** VMs made (or found, for default templates), in order. */
  readonly vms: Set<string>;
  readonly cleanup: CleanupStack;
}

/** Nothing is made, only looked up. */
export function isDryRun(state: ImportState): boolean {
  return state.settings.kind.kind === 'metadata' && state.settings.kind.dryRun;
}

/** The pool's reference for an id of the archive. Throws IMPORT_ERROR_FAILED_TO_FIND_OBJECT [id]. */
export function lookUp(state: ImportState, id: string): string {
  const ref = state.table.get(id);
  if (ref === undefined) throw new SimulatedFailure('IMPORT_ERROR_FAILED_TO_FIND_OBJECT', [id]);
  return ref;
}

/** The archive's record of an id. Throws IMPORT_ERROR_FAILED_TO_FIND_OBJECT [id]. */
export function archived(state: ImportState, id: string): ArchiveObject {
  const found = state.objects.find((object) => object.id === id);
  if (found === undefined) throw new SimulatedFailure('IMPORT_ERROR_FAILED_TO_FIND_OBJECT', [id]);
  return found;
}

/** A reference that stands for what a dry run would have made. */
export function dummyRef(state: ImportState): string {
  return `OpaqueRef:${state.pool.random.uuid()}`;
}
