import { type Command, InvalidArgumentError } from 'commander';
import { type Options } from '../../contract/index.js';

/** Options of every command that works with a client. */
export interface ClientOptions {
  readonly config?: string;
  readonly client?: string;
  readonly url?: string;
  readonly caFile?: string;
  readonly fingerprint?: readonly string[];
}

export interface CommonOptions extends ClientOptions {
  readonly repository?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly debug?: boolean;
}

/** Gathers an option that may repeat. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

export function addClientOptions(command: Command): Command {
  return command
    .option('--client <name>', 'client of the configuration (default: its defaultClient, or the only one)')
    .option('--url <url>', 'address of a pool, without a configuration; or XEN_BACKUP_URL')
    .option('--ca-file <file>', 'with --url: certificate authorities in PEM form; or XEN_BACKUP_CA_FILE')
    .option('--fingerprint <hex>', 'with --url: pin the certificate by its SHA-256 (may repeat)', collect);
}

/** Options of every command that reads the configuration. */
export function addCommonOptions(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (default: ./xen-backup.config.json when it is there)')
    .option('--repository <folder>', 'where the savesets are; or XEN_BACKUP_REPOSITORY')
    .option('--json', 'one JSON event a line on standard output, and nothing else there')
    .option('--verbose', 'log what is done, on standard error')
    .option('--debug', 'log everything, with stack traces');
}

/** `-o key=value` and the older spelling `-a key=value`. */
export function addProviderOptions(command: Command): Command {
  const parse = (text: string, before: Options = {}): Options => ({ ...before, ...parseProviderOption(text) });
  return command
    .option('-o, --option <key=value>', 'option of the provider (may repeat)', parse)
    .option('-a, --task-option <key=value>', 'the same, as older jobs write it: -a http=https', parse);
}

export interface ProviderOptions {
  readonly option?: Options;
  readonly taskOption?: Options;
}

/** All provider options of a call over the defaults of the configuration. */
export function providerOptions(defaults: Options, { option, taskOption }: ProviderOptions): Options {
  return { ...defaults, ...taskOption, ...option };
}

/**
 * `key=value`. `true`, `false`, whole numbers and JSON ("...", [...], {...}) are read as what they are, all else as text.
 */
export function parseProviderOption(text: string): Options {
  const split = text.indexOf('=');
  if (split < 1) throw new InvalidArgumentError('It must be key=value.');
  return { [text.slice(0, split)]: parseValue(text.slice(split + 1)) };
}

function parseValue(text: string): unknown {
  if (!/^(true|false|-?(0|[1-9]\d{0,14})|["[{].*)$/s.test(text)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InvalidArgumentError('The value looks like JSON and is not.');
  }
}

/** A whole number of at least `minimum`. */
export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= minimum) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${minimum}.`);
  };
}
