import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CleanupStack } from '../../common/cleanup-stack.js';
import { BackupError, type BackupSource, type BackupSourceProvider, type ClientConfig } from '../../contract/index.js';
import { CONFIG_FILE, defaultConfig, type HostConfig, readConfigFile } from '../config-file.js';
import { createHostServices, type LogLevel } from '../host-services.js';
import { PluginCatalog } from '../plugin-catalog.js';
import { DirectoryRepository } from '../repository/directory-repository.js';
import { type Compression } from '../repository/item-compression.js';
import { readIdentity } from '../repository/repository-layout.js';
import { type CliContext } from './cli-context.js';
import { type CommonOptions } from './common-options.js';
import { selectClient, type SelectedClient } from './select-client.js';

const DEFAULT_REPOSITORY = 'xen-backup-repository';

interface RepositoryWish {
  readonly create?: boolean;
  /** Of what is stored from now on. Default: what the configuration says. */
  readonly compression?: Compression | undefined;
}

/** The host of one call: what it needs is opened when it is asked for, and closed at the end in reverse. */
export class OpenHost {
  readonly #cleanups = new CleanupStack();
  #writeLog: (line: string) => void;
  #catalog: PluginCatalog | undefined;
  /** Of a repository that this call makes: what it leaves at a source must be known as ours by the next call. */
  readonly #newHostId = randomBytes(8).toString('hex');

  private constructor(
    private readonly context: CliContext,
    private readonly options: CommonOptions,
    readonly config: HostConfig,
  ) {
    this.#writeLog = context.output.note;
  }

  /**
   * Runs `work` with a host and closes everything afterwards, whatever happens.
   * @throws {BackupError} CONFIG_INVALID, and whatever `work` throws.
   */
  static async use<T>(context: CliContext, options: CommonOptions, work: (host: OpenHost) => Promise<T>): Promise<T> {
    const host = new OpenHost(context, options, await readConfig(context, options));
    try {
      return await work(host);
    } finally {
      const failures = await host.#cleanups.run();
      for (const { what, cause } of failures) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        context.output.note(`warning: closing ${what} failed: ${context.redactor.text(reason)}`);
      }
    }
  }

  /** The client that options, environment and configuration select. */
  get client(): SelectedClient {
    return selectClient(this.config, this.options, this.context.environment);
  }

  get clientConfig(): ClientConfig {
    const { name, settings } = this.client;
    return { name, settings };
  }

  get repositoryPath(): string {
    const { workingFolder, environment } = this.context;
    const { XEN_BACKUP_REPOSITORY: inherited = '' } = environment;
    const configured = this.config.repository ?? DEFAULT_REPOSITORY;
    return resolve(workingFolder, this.options.repository ?? (inherited === '' ? configured : inherited));
  }

  async repository({ create = false, ...wish }: RepositoryWish = {}): Promise<DirectoryRepository> {
    const { compression = this.config.compression ?? 'none' } = wish;
    return DirectoryRepository.open(this.repositoryPath, { create, compression, hostId: this.#newHostId });
  }

  /** For what only looks: undefined when nothing was ever stored there. */
  async existingRepository(): Promise<DirectoryRepository | undefined> {
    return (await readIdentity(this.repositoryPath)) === undefined ? undefined : await this.repository();
  }

  /** All plugins of the configuration, active. */
  async catalog(): Promise<PluginCatalog> {
    if (this.#catalog !== undefined) return this.#catalog;
    const services = createHostServices({
      hostId: await this.#hostId(),
      logLevel: this.#logLevel(),
      redactor: this.context.redactor,
      environment: this.context.environment,
      folder: this.context.workingFolder,
      writeLog: (line) => {
        this.#writeLog(line);
      },
    });
    const catalog = await PluginCatalog.load(this.config.plugins, services);
    this.#cleanups.add('the plugins', () => catalog.close());
    this.#catalog = catalog;
    return catalog;
  }

  async provider(): Promise<BackupSourceProvider> {
    return (await this.catalog()).provider(this.client.provider);
  }

  async openSource(): Promise<BackupSource> {
    const source = await (await this.provider()).open(this.clientConfig, this.context.signal);
    this.onClose('the client', () => source.close());
    return source;
  }

  onClose(what: string, release: () => Promise<void>): void {
    this.#cleanups.add(what, release);
  }

  /** Sends log lines elsewhere while progress is drawn. */
  async withLog<T>(writeLog: (line: string) => void, work: () => Promise<T>): Promise<T> {
    this.#writeLog = writeLog;
    try {
      return await work();
    } finally {
      this.#writeLog = this.context.output.note;
    }
  }

  async #hostId(): Promise<string> {
    return (await readIdentity(this.repositoryPath))?.hostId ?? this.#newHostId;
  }

  #logLevel(): LogLevel {
    if (this.options.debug === true) return 'debug';
    // Warnings come as events, and are told as such: in the log they would only stand there twice.
    return this.options.verbose === true ? 'info' : 'error';
  }
}

async function readConfig({ workingFolder }: CliContext, { config }: CommonOptions): Promise<HostConfig> {
  if (config !== undefined) return readConfigFile(resolve(workingFolder, config));
  const usual = resolve(workingFolder, CONFIG_FILE);
  return existsSync(usual) ? readConfigFile(usual) : defaultConfig();
}

/** A call that contradicts itself or says too little. */
export function requestInvalid(message: string, hint: string): BackupError {
  return new BackupError('REQUEST_INVALID', message, { hint });
}
