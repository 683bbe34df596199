import { type BackupLevel, type SavesetRecord } from './saveset-record.js';

/** Provider-defined options, checked by the provider; unknown keys are refused. */
export type Options = Readonly<Record<string, unknown>>;

export interface BackupRequest {
  /** What to save, as a person types it: `vm/<uuid or name>` or a word of the provider's. Must fit exactly one object. */
  readonly source: string;
  /** Unique, chosen by the host; becomes the record's id. Letters, digits, dot, dash, underscore. */
  readonly savesetId: string;
  /** Default `full`. A level that the provider does not offer is refused. */
  readonly level?: BackupLevel | 'auto';
  /**
   * Stored savesets of this source, oldest first: what a level beyond full may build on. The source looks for itself
   * whether all that one builds on is there; without one that fits, a full is made.
   */
  readonly history?: readonly SavesetRecord[];
  readonly options?: Options;
  /** Cancels: the Observable then errors with CANCELLED, after everything is cleaned up. */
  readonly signal?: AbortSignal;
}

export interface RestoreRequest {
  /**
   * `new`: a new object under a name of its own; whatever else exists stays untouched.
   * `overwrite`: the object that was saved becomes what it was at backup time and keeps its identity.
   * `disk`: one disk alone becomes a new disk, attached to nothing unless `attachTo` says so.
   */
  readonly mode: 'new' | 'overwrite' | 'disk';
  /**
   * Name of the new object. Required with `new`, refused with `overwrite` unless it is the object's own name; with `disk`
   * the saved disk's name when absent.
   */
  readonly name?: string;
  /** Storage for the data, by id or name. Absent: the provider's default. */
  readonly storage?: string;
  /** With `disk`: which one, by position, id or name. */
  readonly disk?: string;
  /** With `disk`: the existing object that gets it, as a person types it. */
  readonly attachTo?: string;
  /** Start it afterwards and check that it runs. Default false. */
  readonly startAfter?: boolean;
  readonly options?: Options;
  readonly signal?: AbortSignal;
}

/** One name of a selection, resolved. */
export interface ResolvedSource {
  /** Unambiguous: usable as `BackupRequest.source`. */
  readonly path: string;
  readonly kind: string;
  readonly id: string;
  readonly displayName: string;
  /**
   * Why a pattern that fits it leaves it out all the same: a sentence's end. A host does not save it then, and says so.
   * Absent for what is named by itself.
   */
  readonly skipReason?: string;
  /** True when it ought to be saved and can't be now: leaving it out is then a warning, not somebody's choice. */
  readonly isSkippedByTrouble?: boolean;
}

export interface BackupEstimate {
  readonly source: ResolvedSource;
  readonly level: BackupLevel;
  readonly expectedBytes: number;
  readonly expectedIs: 'exact' | 'estimate' | 'unknown';
  readonly disks: readonly {
    readonly id: string;
    readonly name: string;
    readonly sizeBytes: number;
    readonly level: BackupLevel;
    readonly reason: string;
    /** How much of it will be read, as far as that can be known. */
    readonly expectedBytes?: number;
  }[];
}

/** One thing that a restore will do, in a sentence, before it does it. */
export interface RestoreStep {
  readonly action: string;
  readonly description: string;
  /** True when it takes something away that is there now. */
  readonly isDestructive: boolean;
}

/** Where a disk of the saveset goes. */
export interface PlannedDisk {
  readonly position: string;
  readonly name: string;
  readonly sizeBytes: number;
  /** Name of the storage it was saved from, and of the one it goes to. */
  readonly fromStorage: string;
  readonly toStorage: string;
  /** What has its place now and gives way to it. */
  readonly replaces?: string;
}

/** A network interface of the saveset. */
export interface PlannedInterface {
  readonly position: string;
  /** Name of the network it was saved in, and of the one it goes to. */
  readonly fromNetwork: string;
  readonly toNetwork: string;
  /** Hardware address that was saved. */
  readonly fromAddress: string;
  /** Absent: a new one is made. */
  readonly toAddress?: string;
}

/** A setting that a restore changes: of the existing object with `overwrite`, against what was saved with `new`. */
export interface PlannedChange {
  readonly what: string;
  /** Absent: there is none now. */
  readonly from?: string;
  /** Absent: it goes. */
  readonly to?: string;
}

/** A disk of a saveset wanted as a file's bytes. */
export interface DiskReadRequest {
  /** By position, id or name. */
  readonly disk: string;
  /** `raw`: the disk's bytes from the first to the last. Others are the provider's; one that it lacks is refused. */
  readonly format: string;
  readonly signal?: AbortSignal;
}

export interface RestorePlan {
  readonly mode: RestoreRequest['mode'];
  readonly targetName: string;
  /** The existing object that is overwritten, if there is one. */
  readonly targetId: string | undefined;
  readonly storage: {
    readonly id: string;
    readonly name: string;
    /** Absent: nobody can say. */
    readonly freeBytes?: number;
    readonly neededBytes: number;
  };
  /** What the steps do in detail, as far as the provider can say. */
  readonly disks?: readonly PlannedDisk[];
  readonly interfaces?: readonly PlannedInterface[];
  readonly changes?: readonly PlannedChange[];
  readonly steps: readonly RestoreStep[];
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

export interface CheckLine {
  readonly status: 'ok' | 'warning' | 'error';
  /** Stable word of what was looked at. */
  readonly check: string;
  readonly message: string;
  readonly hint?: string;
}

/** What a clean-up after a crash found and did. */
export interface ReconcileReport {
  readonly removed: readonly {
    readonly kind: string;
    readonly id: string;
    readonly name: string;
    readonly why: string;
  }[];
  readonly repaired: readonly {
    readonly kind: string;
    readonly id: string;
    readonly name: string;
    readonly why: string;
  }[];
  /** Seen, marked as ours or half ours, and left alone. */
  readonly kept: readonly { readonly kind: string; readonly id: string; readonly name: string; readonly why: string }[];
}
