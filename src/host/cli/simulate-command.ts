import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { CleanupStack } from '../../common/cleanup-stack.js';
import { BackupError } from '../../contract/index.js';
import { type CliOutput } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { wholeNumber } from './common-options.js';
import { EXIT } from './exit-code.js';

interface SimulateOptions {
  readonly pool?: string;
  readonly port?: number;
  readonly httpPort?: number;
  readonly nbdPort?: number;
  readonly controlPort?: number;
  readonly release?: string;
  readonly faults?: string;
  readonly seed?: number;
  readonly clock?: number;
  readonly nbd?: boolean;
}

/** What is told about a pool that runs. */
interface PoolFacts {
  readonly url: string;
  readonly httpUrl: string;
  readonly controlUrl: string | undefined;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
  readonly hosts: readonly { readonly name: string; readonly url: string; readonly fingerprint256: string }[];
  /** Name of a machine to try a backup with. */
  readonly machine: string | undefined;
}

interface StartedPool {
  readonly facts: PoolFacts;
  /** Aborts when somebody stopped it over its control port. */
  readonly closed: AbortSignal;
  readonly close: () => Promise<void>;
}

export const simulateCommand: CommandModule = {
  isServer: true,
  define: (command) => {
    command
      .option('--pool <file>', 'what the pool holds, as JSON (default: a small pool)')
      .option('--port <n>', 'https port (default: any that is free)', wholeNumber(0))
      .option('--http-port <n>', 'plain http port (default: any that is free)', wholeNumber(0))
      .option('--nbd-port <n>', 'port for disks over NBD (default: any that is free)', wholeNumber(0))
      .option(
        '--control-port <n>',
        'port for changing the pool while it runs (default: any that is free)',
        wholeNumber(0),
      )
      .option('--release <name>', 'the release that it plays: 7.1 to 9.0 (default: what the pool file says, or 8.3)')
      .option('--faults <file>', 'what shall go wrong, as a JSON list')
      .option('--seed <n>', 'other identifiers and disks; the same for the same seed', wholeNumber(0))
      .option(
        '--clock <time>',
        'its time stands at this until the control port moves it: 2026-01-31T22:00:00Z',
        pointInTime,
      )
      .option('--nbd', 'gives the management network the purpose nbd: disks can be read over NBD')
      .option('--json', 'say address, user, password and fingerprints as one JSON line')
      .option('--debug', 'stack traces of failures')
      .addHelpText(
        'after',
        `
It listens on loopback only and runs until Ctrl-C. Its disks hold made-up data; nothing is written anywhere.
Pool files, faults and the control port: docs/simulator.md.

Examples:
  xen-backup simulate
  xen-backup simulate --pool my-pool.json --port 8443
  xen-backup simulate --release 8.0 --faults faults.json --control-port 7777
  curl -X POST http://127.0.0.1:7777/expireSessions`,
      );
  },
  run: async ({ output, signal, workingFolder }, command) => {
    const cleanups = new CleanupStack();
    try {
      const { facts, close, closed } = await start(command.opts<SimulateOptions>(), workingFolder);
      cleanups.add('the simulated pool', close);
      // The password of a made-up pool is no secret, and --json would hide it.
      if (output.isJson) output.stream.write(`${JSON.stringify({ type: 'simulated-pool', ...facts })}\n`);
      sayFacts(output, facts);
      const end = AbortSignal.any([signal, closed]);
      if (!end.aborted) await once(end, 'abort');
      return EXIT.done;
    } finally {
      await cleanups.run();
    }
  },
};

async function start(options: SimulateOptions, workingFolder: string): Promise<StartedPool> {
  const { startSimulatedPool, readFaults, readPoolDefinition } = await import('../../simulator/index.js');
  const poolFile = options.pool === undefined ? undefined : resolve(workingFolder, options.pool);
  try {
    const definition = readPoolDefinition(poolFile);
    const networks = definition.networks.map((network) =>
      options.nbd === true && network.isManagement ? { ...network, purpose: ['nbd' as const] } : network,
    );
    const faults = options.faults === undefined ? [] : readJsonFile(resolve(workingFolder, options.faults));
    const { port, httpPort, nbdPort, release, seed } = options;
    const pool = await startSimulatedPool({
      poolFile: { ...definition, networks },
      controlPort: options.controlPort ?? 0,
      faults: readFaults(faults, options.faults ?? 'faults'),
      ...(port === undefined ? {} : { port }),
      ...(httpPort === undefined ? {} : { httpPort }),
      ...(nbdPort === undefined ? {} : { nbdPort }),
      ...(release === undefined ? {} : { release }),
      ...(seed === undefined ? {} : { seed }),
      ...(options.clock === undefined ? {} : { clockStandsAtMs: options.clock }),
    });
    const { url, httpUrl, controlUrl, username, password, fingerprint256, closed } = pool;
    const hosts = pool.hosts.map((host) => ({ name: host.name, url: host.url, fingerprint256: host.fingerprint256 }));
    const machine = definition.vms.find(({ kind }) => kind === 'vm')?.name;
    const facts = { url, httpUrl, controlUrl, username, password, fingerprint256, hosts, machine };
    return { facts, closed, close: () => pool.close() };
  } catch (error) {
    throw toStartError(error, options);
  }
}

function readJsonFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackupError('CONFIG_INVALID', `${path}: ${reason}`, { cause: error });
  }
}

/** A point in time, in milliseconds since the epoch. */
function pointInTime(text: string): number {
  const timeMs = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(timeMs)) throw new InvalidArgumentError('It must be a time such as 2026-01-31T22:00:00Z.');
  return timeMs;
}

function toStartError(error: unknown, options: SimulateOptions): BackupError {
  const reason = error instanceof Error ? error.message : String(error);
  return new BackupError('CONFIG_INVALID', `The simulated pool cannot start: ${reason}`, {
    hint: hintFor(reason, options),
    cause: error,
  });
}

function hintFor(reason: string, { faults, release, ...ports }: SimulateOptions): string {
  if (/\b(cannot listen|EADDRINUSE|EACCES)\b/.test(reason))
    return `Choose another ${portOption(reason, ports)}, or leave it out.`;
  if (release !== undefined && reason.includes('known: ')) return 'Choose one of these with --release.';
  if (faults !== undefined && reason.includes(faults))
    return 'Correct the file given with --faults; see docs/simulator.md.';
  return 'Correct the file given with --pool.';
}

/** The option whose port is not free, as far as the reason tells it. */
function portOption(
  reason: string,
  ports: Pick<SimulateOptions, 'port' | 'httpPort' | 'nbdPort' | 'controlPort'>,
): string {
  const isTaken = (port: number | undefined): boolean => port !== undefined && reason.endsWith(`:${port}`);
  if (isTaken(ports.httpPort)) return '--http-port';
  if (isTaken(ports.nbdPort)) return '--nbd-port';
  return isTaken(ports.controlPort) ? '--control-port' : '--port';
}

function sayFacts({ line, paint }: CliOutput, facts: PoolFacts): void {
  const rows = [
    ['Address', facts.url],
    ['Plain http', facts.httpUrl],
    ['User', facts.username],
    ['Password', facts.password],
    ['Control port', facts.controlUrl ?? ''],
  ] as const;
  line(`${paint('green', 'A simulated pool is running.')} Ctrl-C stops it.`);
  line();
  for (const [label, value] of rows) line(`  ${paint('dim', label.padEnd(12))} ${value}`);
  for (const { name, url, fingerprint256 } of facts.hosts) {
    line(`  ${paint('dim', 'Host'.padEnd(12))} ${name}  ${url}`);
    line(`  ${paint('dim', '  SHA-256'.padEnd(12))} ${fingerprint256}`);
  }
  const fingerprints = facts.hosts.map(({ fingerprint256 }) => fingerprint256).join(',');
  const machine = facts.machine === undefined ? undefined : quoted(facts.machine);
  line();
  line('Try it in another terminal:');
  line();
  line(`  export XEN_BACKUP_URL=${facts.url}`);
  line(`  export XEN_BACKUP_FINGERPRINT=${fingerprints}`);
  line(`  export XEN_BACKUP_USERNAME=${quoted(facts.username)} XEN_BACKUP_PASSWORD=${quoted(facts.password)}`);
  line('  export XEN_BACKUP_REPOSITORY=/tmp/xen-backup-trial');
  line('  xen-backup check');
  line('  xen-backup browse -r');
  if (machine === undefined) return;
  line(`  xen-backup backup ${machine}`);
  line(`  xen-backup restore latest:${machine} --as ${quoted('brought back')}`);
}

/** One word for a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
