import { type ServiceIdentifier } from 'inversify';
import { type BackupSource, type ClientConfig, type JsonSchema } from '../contract/index.js';

/** Opens a client: checks its settings, gets its secrets, makes its parts, logs in. */
export interface SourceOpener {
  /** The JSON Schema of a client's settings. */
  readonly configSchema: JsonSchema;
  /** @throws {BackupError} as `BackupSourceProvider.open`. */
  open(client: ClientConfig, signal?: AbortSignal): Promise<BackupSource>;
  /** Closes every source that is still open. */
  closeAll(): Promise<void>;
}

export const SourceOpener = Symbol('SourceOpener') as ServiceIdentifier<SourceOpener>;
