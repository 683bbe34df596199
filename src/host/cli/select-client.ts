import { BackupError, type Options } from '../../contract/index.js';
import { type ConfiguredClient, type HostConfig } from '../config-file.js';
import { type ClientOptions } from './common-options.js';

/** The client that a command works with. */
export interface SelectedClient extends ConfiguredClient {
  readonly name: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Pure: from configuration, options and environment to one client.
 * @throws {BackupError} CONFIG_INVALID
 */
export function selectClient(config: HostConfig, options: ClientOptions, environment: Environment): SelectedClient {
  const url = options.url ?? (options.client === undefined ? filled(environment.XEN_BACKUP_URL) : undefined);
  if (url !== undefined) return clientOfUrl(url, options, environment);
  const names = Object.keys(config.clients);
  const name = options.client ?? config.defaultClient ?? (names.length === 1 ? names[0] : undefined);
  const client = name === undefined ? undefined : config.clients[name];
  if (name !== undefined && client !== undefined) return { name, ...client };
  if (options.client !== undefined) {
    throw invalid(`There is no client ${options.client}.`, `The configuration has: ${names.join(', ') || 'none'}.`);
  }
  if (names.length === 0) {
    throw invalid(
      'No client is configured.',
      'Name a pool with --url and set XEN_BACKUP_USERNAME and XEN_BACKUP_PASSWORD, or write xen-backup.config.json.',
    );
  }
  throw invalid('The configuration has more than one client.', `Choose one with --client: ${names.join(', ')}.`);
}

function clientOfUrl(url: string, options: ClientOptions, environment: Environment): SelectedClient {
  const username = filled(environment.XEN_BACKUP_USERNAME);
  if (username === undefined || filled(environment.XEN_BACKUP_PASSWORD) === undefined) {
    throw invalid(
      'User and password of the pool are missing.',
      'Set XEN_BACKUP_USERNAME and XEN_BACKUP_PASSWORD in the environment.',
    );
  }
  const settings: Options = { url, username, password: 'env:XEN_BACKUP_PASSWORD', ...trustOf(options, environment) };
  return { name: nameOf(url), settings, backupOptions: {}, restoreOptions: {} };
}

function trustOf(options: ClientOptions, environment: Environment): Options {
  const pinned = filled(environment.XEN_BACKUP_FINGERPRINT);
  const caFile = options.caFile ?? filled(environment.XEN_BACKUP_CA_FILE);
  const fingerprints = options.fingerprint ?? (pinned === undefined ? [] : pinned.split(/[\s,]+/));
  if (options.caFile !== undefined && options.fingerprint !== undefined) {
    throw invalid('--ca-file and --fingerprint exclude each other.', 'Give the one that fits.');
  }
  if (options.caFile === undefined && fingerprints.length > 0) return { trust: { fingerprints } };
  return caFile === undefined ? {} : { trust: { caFile } };
}

function nameOf(url: string): string {
  return url
    .replace(/^\w+:\/\//, '')
    .replace(/[/?#].*$/, '')
    .replace(/^.*@/, '');
}

function filled(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function invalid(message: string, hint: string): BackupError {
  return new BackupError('CONFIG_INVALID', message, { hint });
}
