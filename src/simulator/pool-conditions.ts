import { type DiskContent } from './content/disk-content.js';
import { type XapiRecord } from './wire/wire-value.js';

/** What is true of an SR and its record need not show. */
export interface StorageCondition {
  /** The record shows the usage of the last SR.scan or SR.update. */
  readonly isStale: boolean;
  /** Space that something else than the pool's disks takes. */
  readonly foreignBytes: number;
  /** Snapshots leave `base copy` VDIs behind. */
  readonly hasChains: boolean;
}

/** What the tools in a guest say and do; see the pool file's `guest`. */
export interface GuestBehaviour {
  readonly os?: string | undefined;
  /** By place, such as `0/ip`. */
  readonly addresses?: Readonly<Record<string, string>>;
  /** True when absent. */
  readonly hasTools?: boolean;
  /** `works` when absent; `ignored`: it never answers; `endless`: it answers and then never ends. */
  readonly shutdown?: 'works' | 'ignored' | 'endless';
  /** False when absent. A text other than these two is the error that its VSS provider gives. */
  readonly vss?: boolean | 'times-out' | 'does-not-respond' | (string & {});
  /** Why it cannot be suspended. */
  readonly nonSuspendable?: string | undefined;
}

/** A disk that the database lost. */
export interface UnknownDisk {
  readonly sr: string;
  /** What the database had of it. */
  readonly record: XapiRecord;
  readonly content: DiskContent;
}

/** A pool database that a client put back. */
export interface DatabaseRestore {
  readonly atMs: number;
  /** Reference of the host that took it, and is the coordinator from now on. */
  readonly host: string;
  readonly generation: number;
  /** Rows by table; tables without any are left out. */
  readonly rowCounts: Readonly<Record<string, number>>;
  readonly sizeBytes: number;
}

/** A control domain's backup that a client put back. It counts only after a boot from the installer. */
export interface HostRestore {
  readonly atMs: number;
  readonly host: string;
  readonly sizeBytes: number;
  readonly fileNames: readonly string[];
}
