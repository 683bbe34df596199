import { readFile, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  BackupError,
  type BackupPlugin,
  type HostServices,
  isBackupError,
  parsePluginManifest,
  type PluginContributions,
  type PluginManifest,
} from '../contract/index.js';
import { contributionProblems } from './contribution-check.js';

/**
 * From a manifest on disk to a running plugin, in steps that each refuse with a code of their own:
 * read and check the manifest ─▶ check the contract version ─▶ find `main` inside the folder ─▶ import ─▶ check the
 * default export ─▶ activate ─▶ check that it contributes what the manifest says.
 */

/** A plugin whose manifest was checked; none of its code has run. */
export interface FoundPlugin {
  readonly manifest: PluginManifest;
  readonly manifestPath: string;
  /** Absolute path of the module to import. */
  readonly mainPath: string;
}

export interface LoadedPlugin extends FoundPlugin {
  readonly contributions: PluginContributions;
  /** Closes what the plugin has open. Calling it again does nothing. */
  deactivate(): Promise<void>;
}

const AUTHOR_HINT = 'This is a fault of the plugin; report it to its author.';

/**
 * Reads and checks a manifest without running any of the plugin's code.
 * @throws {BackupError} MANIFEST_INVALID, API_VERSION_UNSUPPORTED
 */
export async function findPlugin(manifestPath: string): Promise<FoundPlugin> {
  const path = resolve(manifestPath);
  const manifest = parsePluginManifest(parseJson(await readManifest(path), path));
  return { manifest, manifestPath: path, mainPath: await locateMain(path, manifest.main) };
}

/**
 * Loads and activates a plugin.
 * @throws {BackupError} MANIFEST_INVALID, API_VERSION_UNSUPPORTED, PLUGIN_LOAD_FAILED, or what `activate` rejects with
 *   when that is a BackupError.
 */
export async function loadPlugin(manifestPath: string, services: HostServices): Promise<LoadedPlugin> {
  const found = await findPlugin(manifestPath);
  const plugin = await importPlugin(found);
  const contributions = await activate(plugin, found, services);
  const problems = contributionProblems(found.manifest, contributions);
  if (problems.length > 0) {
    await plugin.deactivate().catch(() => undefined);
    throw loadFailed(found, `does not contribute what its manifest says: ${problems.join('; ')}.`);
  }
  let deactivation: Promise<void> | undefined;
  const deactivate = (): Promise<void> => (deactivation ??= plugin.deactivate());
  return { ...found, contributions, deactivate };
}

async function readManifest(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new BackupError('MANIFEST_INVALID', `The plugin manifest ${path} cannot be read.`, {
      hint: 'Check the path under "plugins" in the configuration file.',
      context: { path },
      cause,
    });
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new BackupError('MANIFEST_INVALID', `The plugin manifest ${path} is not JSON.`, {
      hint: AUTHOR_HINT,
      context: { path },
      cause,
    });
  }
}

/** Symbolic links are followed first: a link inside the folder must not lead out of it either. */
async function locateMain(manifestPath: string, main: string): Promise<string> {
  const folder = dirname(manifestPath);
  const refuse = (why: string, cause?: unknown): BackupError =>
    new BackupError('MANIFEST_INVALID', `The plugin manifest ${manifestPath} names the module ${main}, which ${why}.`, {
      hint: AUTHOR_HINT,
      context: { path: manifestPath, main },
      cause,
    });
  if (isAbsolute(main) || isOutside(folder, join(folder, main))) throw refuse("is outside the plugin's folder");
  let mainPath: string;
  try {
    mainPath = await realpath(join(folder, main));
  } catch (cause) {
    throw refuse('is not there', cause);
  }
  if (isOutside(await realpath(folder), mainPath)) throw refuse("is outside the plugin's folder");
  return mainPath;
}

function isOutside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way);
}

async function importPlugin(found: FoundPlugin): Promise<BackupPlugin> {
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(found.mainPath).href)) as { readonly default?: unknown };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw loadFailed(found, `cannot be imported: ${reason}`, cause);
  }
  const plugin = module.default;
  if (!isPlugin(plugin)) throw loadFailed(found, 'has no plugin as the default export of its main module.');
  const { id, apiVersion } = found.manifest;
  if (plugin.manifestId !== id) {
    throw loadFailed(found, `says that its manifest is ${plugin.manifestId}, but the manifest's id is ${id}.`);
  }
  if (plugin.apiVersion !== apiVersion) {
    throw loadFailed(found, `was built for contract ${plugin.apiVersion}, but its manifest says ${apiVersion}.`);
  }
  return plugin;
}

function isPlugin(value: unknown): value is BackupPlugin {
  if (typeof value !== 'object' || value === null) return false;
  const { manifestId, apiVersion, activate, deactivate } = value as Record<string, unknown>;
  return (
    typeof manifestId === 'string' &&
    typeof apiVersion === 'string' &&
    typeof activate === 'function' &&
    typeof deactivate === 'function'
  );
}

async function activate(
  plugin: BackupPlugin,
  found: FoundPlugin,
  services: HostServices,
): Promise<PluginContributions> {
  try {
    return await plugin.activate(services);
  } catch (error) {
    if (isBackupError(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw loadFailed(found, `cannot be activated: ${reason}`, error);
  }
}

function loadFailed({ manifest, mainPath }: FoundPlugin, what: string, cause?: unknown): BackupError {
  return new BackupError('PLUGIN_LOAD_FAILED', `The plugin ${manifest.id} ${what}`, {
    hint: AUTHOR_HINT,
    context: { pluginId: manifest.id, main: mainPath },
    cause,
  });
}
