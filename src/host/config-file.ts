import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../common/package-root.js';
import { BackupError } from '../contract/index.js';
import { locateInJson, syntaxErrorPosition } from './json-locator.js';
import { COMPRESSIONS } from './repository/item-compression.js';
import { systemCode } from './to-host-error.js';

export const CONFIG_FILE = 'xen-backup.config.json';
/** Stands for the plugin that this package brings along. */
export const OWN_PLUGIN = 'xen-backup-source';

const options = z.record(z.string(), z.unknown()).default({});

const clientSchema = z.strictObject({
  /** Id of the provider. Default: the first one that the plugins contribute. */
  provider: z.string().min(1).optional(),
  /** Checked by the provider. */
  settings: z.record(z.string(), z.unknown()),
  /** Defaults for `-o` of every backup and restore through this client. */
  backupOptions: options,
  restoreOptions: options,
});

const configSchema = z.strictObject({
  $schema: z.string().optional(),
  /** Folder of the savesets, relative to this file. */
  repository: z.string().min(1).optional(),
  /** How new savesets are stored in it. Default: none, as the source gives them. */
  compression: z.enum(COMPRESSIONS).optional(),
  /** Manifests of the plugins to load, relative to this file; `xen-backup-source` is our own. Default: only that. */
  plugins: z.array(z.string().min(1)).min(1).default([OWN_PLUGIN]),
  /** The client of commands that name none. Default: the only one. */
  defaultClient: z.string().min(1).optional(),
  clients: z.record(z.string().min(1), clientSchema).default({}),
});

/** What a configuration may have. */
export const CONFIG_KEYS: readonly string[] = Object.keys(configSchema.shape).filter((key) => key !== '$schema');

export type HostConfig = z.infer<typeof configSchema>;
export type ConfiguredClient = z.infer<typeof clientSchema>;

/**
 * Reads a configuration file; its relative paths come back absolute.
 * @throws {BackupError} CONFIG_INVALID with file and line.
 */
export async function readConfigFile(path: string): Promise<HostConfig> {
  const text = await readText(path);
  const parsed = configSchema.safeParse(parseJson(text, path));
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${path}:${lineOf(text, issue)}: ${explain(issue)}`);
    throw invalid(`The configuration is not valid: ${lines.join('; ')}.`, { path });
  }
  const { defaultClient, clients } = parsed.data;
  if (defaultClient !== undefined && clients[defaultClient] === undefined) {
    const { line } = locateInJson(text, ['defaultClient']);
    throw invalid(`${path}:${line}: defaultClient is "${defaultClient}", but there is no such client.`, { path });
  }
  return withAbsolutePaths(parsed.data, dirname(resolve(path)));
}

/** The configuration when there is no file. */
export function defaultConfig(): HostConfig {
  return withAbsolutePaths(configSchema.parse({}), '.');
}

function withAbsolutePaths(config: HostConfig, folder: string): HostConfig {
  const { repository } = config;
  return {
    ...config,
    ...(repository === undefined ? {} : { repository: resolve(folder, repository) }),
    plugins: config.plugins.map((plugin) =>
      plugin === OWN_PLUGIN ? join(packageRoot(), 'plugin.manifest.json') : resolve(folder, plugin),
    ),
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new BackupError('CONFIG_INVALID', `The configuration file ${path} cannot be read.`, {
      hint: systemCode(error) === 'ENOENT' ? 'Check the path given with --config.' : 'Check the rights of the file.',
      context: { path },
      cause: error,
    });
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const position = syntaxErrorPosition(text, error);
    const where = position === undefined ? path : `${path}:${position.line}:${position.column}`;
    throw invalid(`${where}: this is not JSON.`, { path }, error);
  }
}

function lineOf(text: string, issue: z.core.$ZodIssue): number {
  const [unknownKey] = issue.code === 'unrecognized_keys' ? issue.keys : [];
  return locateInJson(text, unknownKey === undefined ? issue.path : [...issue.path, unknownKey]).line;
}

/** Names fields and rules, never values: a value may be a secret that somebody put in the wrong place. */
function explain(issue: z.core.$ZodIssue): string {
  const where = issue.path.length === 0 ? 'the file' : issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') return `${where} has a key that is not known: ${issue.keys.join(', ')}`;
  if (issue.code === 'invalid_type')
    return `${where} must be ${issue.expected === 'record' ? 'an object' : issue.expected}`;
  return `${where}: ${issue.message}`;
}

function invalid(message: string, context: Readonly<Record<string, string>>, cause?: unknown): BackupError {
  const hint = 'Correct the configuration file; the documentation has an example.';
  return new BackupError('CONFIG_INVALID', message, { hint, context, cause });
}
