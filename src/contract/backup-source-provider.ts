import { type BackupSource } from './backup-source.js';
import { type OpenedItem, type RestoreMedia } from './media.js';
import { type DiskReadRequest, type RestoreRequest } from './requests.js';
import { type BackupLevel, type Consistency } from './saveset-record.js';

/** What a provider can do, as data: the host asks, it does not try and fail. */
export interface ProviderCapabilities {
  /** Kinds of source it saves: `vm`, `database`, ... */
  readonly kinds: readonly string[];
  readonly levels: readonly (BackupLevel | 'auto')[];
  readonly consistencies: readonly Consistency[];
  readonly restoreModes: readonly RestoreRequest['mode'][];
  readonly canBrowse: boolean;
  readonly canEstimate: boolean;
  readonly canReconcile: boolean;
  /** What should be saved regularly, whatever tasks there are; a host's check warns when it was not. */
  readonly advisedBackups?: readonly AdvisedBackup[];
}

/** Advice to save one source at least so often. */
export interface AdvisedBackup {
  /** A name that `resolve` takes. */
  readonly source: string;
  readonly everyHours: number;
  /** A sentence for people. */
  readonly why: string;
}

/** A JSON Schema (2020-12) as plain data; a host can draw a form from it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A client as the host's configuration has it. `settings` is checked against the provider's `configSchema`. */
export interface ClientConfig {
  /** The host's name for this client; appears in logs and events. */
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** The plugin's main contribution: a kind of thing that can be backed up. */
export interface BackupSourceProvider {
  /** Stable, recorded in every saveset. */
  readonly id: string;
  readonly displayName: string;
  readonly capabilities: ProviderCapabilities;
  readonly configSchema: JsonSchema;
  /**
   * Connects and logs in.
   * @throws {BackupError} CONFIG_INVALID, CREDENTIALS_UNAVAILABLE, SOURCE_UNREACHABLE, SOURCE_UNTRUSTED (before any
   *   credential was sent), SOURCE_AUTH_REFUSED, CANCELLED.
   */
  open(client: ClientConfig, signal?: AbortSignal): Promise<BackupSource>;
  /**
   * One disk of a saveset as a file's bytes. Needs no client: it works when the source is gone. The stream errors with
   * DATA_DAMAGED or CHAIN_BROKEN, and ends only when everything it was made of has proved right.
   * Absent: the provider's savesets have no disks.
   */
  readDisk?(request: DiskReadRequest, media: RestoreMedia): Promise<OpenedItem>;
}
