import {
  BackupError,
  type BackupSourceProvider,
  type BrowserContribution,
  type HostServices,
} from '../contract/index.js';
import { CleanupStack } from '../common/cleanup-stack.js';
import { type LoadedPlugin, loadPlugin } from './plugin-loader.js';
import { RestoreHandlerRegistry } from './restore-handler-registry.js';

/** All loaded plugins and what they contribute, found by id. */
export class PluginCatalog {
  readonly restoreHandlers = new RestoreHandlerRegistry();
  readonly #sources = new Map<string, BackupSourceProvider>();
  readonly #browsers = new Map<string, BrowserContribution>();
  readonly #plugins: LoadedPlugin[] = [];
  readonly #cleanups = new CleanupStack();

  /**
   * Loads the plugins in the order given; all or none stay active.
   * @throws {BackupError} see `loadPlugin`; PLUGIN_LOAD_FAILED when two plugins contribute the same id.
   */
  static async load(manifestPaths: readonly string[], services: HostServices): Promise<PluginCatalog> {
    const catalog = new PluginCatalog();
    try {
      for (const path of manifestPaths) catalog.#add(await loadPlugin(path, services));
    } catch (error) {
      await catalog.close();
      throw error;
    }
    return catalog;
  }

  get plugins(): readonly LoadedPlugin[] {
    return this.#plugins;
  }

  /**
   * The provider of that id; without an id the first one that was loaded.
   * @throws {BackupError} CONFIG_INVALID
   */
  provider(id?: string): BackupSourceProvider {
    const wanted = id ?? [...this.#sources.keys()][0] ?? '(none)';
    return found(this.#sources, wanted, 'provider');
  }

  /** @throws {BackupError} CONFIG_INVALID when the provider has no tree to show. */
  browser(providerId: string): BrowserContribution {
    return found(this.#browsers, providerId, 'browser');
  }

  /** Deactivates every plugin, newest first. Never rejects. */
  async close(): Promise<void> {
    await this.#cleanups.run();
  }

  #add(plugin: LoadedPlugin): void {
    this.#cleanups.add(`plugin ${plugin.manifest.id}`, () => plugin.deactivate());
    const { sources, browsers, restoreHandlers } = plugin.contributions;
    for (const source of sources) addOnce(this.#sources, source.id, source, 'source');
    for (const browser of browsers) addOnce(this.#browsers, browser.providerId, browser, 'browser');
    for (const handler of restoreHandlers) this.restoreHandlers.register(handler);
    this.#plugins.push(plugin);
  }
}

function addOnce<T>(all: Map<string, T>, key: string, entry: T, what: string): void {
  if (all.has(key)) {
    throw new BackupError('PLUGIN_LOAD_FAILED', `Two plugins contribute the ${what} ${key}.`, {
      hint: 'Take one of the two plugins out of the configuration.',
    });
  }
  all.set(key, entry);
}

function found<T>(all: ReadonlyMap<string, T>, id: string, what: string): T {
  const entry = all.get(id);
  if (entry !== undefined) return entry;
  throw new BackupError('CONFIG_INVALID', `No loaded plugin contributes a ${what} called ${id}.`, {
    hint: `There is: ${[...all.keys()].join(', ') || 'none'}. Check "provider" of the client and "plugins" in the configuration.`,
  });
}
