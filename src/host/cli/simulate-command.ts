import { once } from 'node:events';
import { resolve } from 'node:path';
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
}

/** What is told about a pool that runs. */
interface PoolFacts {
  readonly url: string;
  readonly httpUrl: string;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
  readonly hosts: readonly { readonly name: string; readonly url: string; readonly fingerprint256: string }[];
  /** Name of a machine to try a backup with. */
  readonly machine: string | undefined;
}

interface StartedPool {
  readonly facts: PoolFacts;
  readonly close: () => Promise<void>;
}

export const simulateCommand: CommandModule = {
  isServer: true,
  define: (command) => {
    command
      .option('--pool <file>', 'what the pool holds, as JSON (default: a small pool)')
      .option('--port <n>', 'https port (default: any that is free)', wholeNumber(0))
      .option('--http-port <n>', 'plain http port (default: any that is free)', wholeNumber(0))
      .option('--json', 'say address, user, password and fingerprints as one JSON line')
      .option('--debug', 'stack traces of failures')
      .addHelpText(
        'after',
        `
It listens on loopback only and runs until Ctrl-C. Its disks hold made-up data; nothing is written anywhere.

Examples:
  xen-backup simulate
  xen-backup simulate --pool my-pool.json --port 8443`,
      );
  },
  run: async ({ output, signal, workingFolder }, command) => {
    const cleanups = new CleanupStack();
    try {
      const { facts, close } = await start(command.opts<SimulateOptions>(), workingFolder);
      cleanups.add('the simulated pool', close);
      // The password of a made-up pool is no secret, and --json would hide it.
      if (output.isJson) output.stream.write(`${JSON.stringify({ type: 'simulated-pool', ...facts })}\n`);
      sayFacts(output, facts);
      if (!signal.aborted) await once(signal, 'abort');
      return EXIT.done;
    } finally {
      await cleanups.run();
    }
  },
};

async function start(options: SimulateOptions, workingFolder: string): Promise<StartedPool> {
  const { startSimulatedPool, readPoolDefinition } = await import('../../simulator/index.js');
  const poolFile = options.pool === undefined ? undefined : resolve(workingFolder, options.pool);
  try {
    const definition = readPoolDefinition(poolFile);
    const pool = await startSimulatedPool({
      poolFile: definition,
      ...(options.port === undefined ? {} : { port: options.port }),
      ...(options.httpPort === undefined ? {} : { httpPort: options.httpPort }),
    });
    const { url, httpUrl, username, password, fingerprint256 } = pool;
    const hosts = pool.hosts.map((host) => ({ name: host.name, url: host.url, fingerprint256: host.fingerprint256 }));
    const machine = definition.vms.find(({ kind }) => kind === 'vm')?.name;
    return { facts: { url, httpUrl, username, password, fingerprint256, hosts, machine }, close: () => pool.close() };
  } catch (error) {
    throw toStartError(error);
  }
}

function toStartError(error: unknown): BackupError {
  const reason = error instanceof Error ? error.message : String(error);
  const isPort = /\b(cannot listen|EADDRINUSE|EACCES)\b/.test(reason);
  return new BackupError('CONFIG_INVALID', `The simulated pool cannot start: ${reason}`, {
    hint: isPort ? 'Choose another --port, or leave it out.' : 'Correct the file given with --pool.',
    cause: error,
  });
}

function sayFacts({ line, paint }: CliOutput, facts: PoolFacts): void {
  const rows = [
    ['Address', facts.url],
    ['Plain http', facts.httpUrl],
    ['User', facts.username],
    ['Password', facts.password],
  ] as const;
  line(`${paint('green', 'A simulated pool is running.')} Ctrl-C stops it.`);
  line();
  for (const [label, value] of rows) line(`  ${paint('dim', label.padEnd(11))} ${value}`);
  for (const { name, url, fingerprint256 } of facts.hosts) {
    line(`  ${paint('dim', 'Host'.padEnd(11))} ${name}  ${url}`);
    line(`  ${paint('dim', '  SHA-256'.padEnd(11))} ${fingerprint256}`);
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
