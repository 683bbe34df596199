import {
  BackupError,
  type ClientConfig,
  type Opened,
  type RestoreHandler,
  type RestoreHandlerContribution,
  type SavesetRecord,
} from '../contract/index.js';

/** Finds the handler that restores a saveset: by the provider that wrote it and the kind of source it holds. */
export class RestoreHandlerRegistry {
  readonly #byKey = new Map<string, RestoreHandlerContribution>();

  /** @throws {BackupError} PLUGIN_LOAD_FAILED when another handler already takes one of its kinds. */
  register(handler: RestoreHandlerContribution): void {
    for (const kind of handler.kinds) {
      const key = keyOf(handler.providerId, kind);
      const other = this.#byKey.get(key);
      if (other !== undefined) {
        throw new BackupError(
          'PLUGIN_LOAD_FAILED',
          `Two restore handlers want ${kind} of ${handler.providerId}: ${other.id} and ${handler.id}.`,
          { hint: 'Take one of the two plugins out of the configuration.' },
        );
      }
      this.#byKey.set(key, handler);
    }
  }

  /** @throws {BackupError} OBJECT_NOT_SUPPORTED when no plugin restores such savesets. */
  find({ providerId, source }: Pick<SavesetRecord, 'providerId' | 'source'>): RestoreHandlerContribution {
    const handler = this.#byKey.get(keyOf(providerId, source.kind));
    if (handler !== undefined) return handler;
    throw new BackupError('OBJECT_NOT_SUPPORTED', `No plugin restores ${source.kind} of ${providerId}.`, {
      hint: 'Add the plugin that wrote the saveset to the configuration.',
      context: { providerId, kind: source.kind },
    });
  }

  /** Opens the handler for a saveset. The caller closes it. */
  async open(record: SavesetRecord, client: ClientConfig, signal?: AbortSignal): Promise<Opened<RestoreHandler>> {
    return this.find(record).open(client, signal);
  }
}

function keyOf(providerId: string, kind: string): string {
  return `${providerId}\n${kind}`;
}
