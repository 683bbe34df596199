import { type BackupSourceProvider, type ClientConfig } from './backup-source-provider.js';
import { type HostServices } from './host-services.js';
import { type RestoreHandler } from './restore-handler.js';
import { type SourceBrowser } from './source-browser.js';

/** Something opened for one client that must be closed. */
export interface Opened<T> {
  readonly value: T;
  close(): Promise<void>;
}

/** The tree of a source for a host's own file-system browser, without the rest. */
export interface BrowserContribution {
  readonly id: string;
  /** The provider whose sources it shows. */
  readonly providerId: string;
  readonly displayName: string;
  open(client: ClientConfig, signal?: AbortSignal): Promise<Opened<SourceBrowser>>;
}

/** A restore handler for a host's own restore registry, without the rest. */
export interface RestoreHandlerContribution {
  readonly id: string;
  /** The provider whose savesets it restores, and the kinds of source among them. */
  readonly providerId: string;
  readonly kinds: readonly string[];
  open(client: ClientConfig, signal?: AbortSignal): Promise<Opened<RestoreHandler>>;
}

export interface PluginContributions {
  readonly sources: readonly BackupSourceProvider[];
  readonly browsers: readonly BrowserContribution[];
  readonly restoreHandlers: readonly RestoreHandlerContribution[];
}

/**
 * The default export of a plugin's main module. The host checks the manifest first, then imports the module, then calls
 * `activate` once; `deactivate` is called once, after which nothing of the plugin may run.
 */
export interface BackupPlugin {
  readonly manifestId: string;
  readonly apiVersion: string;
  activate(host: HostServices): Promise<PluginContributions>;
  /** Closes every source that is still open, waits for clean-ups, logs out. */
  deactivate(): Promise<void>;
}
