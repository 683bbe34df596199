import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from '../common/package-root.js';
import { DemoError } from './pool-witness.js';

const XEN_BACKUP = join(packageRoot(), 'dist', 'src', 'host', 'cli', 'main.js');

export interface DemoPool {
  readonly url: string;
  readonly httpUrl: string;
  readonly username: string;
  readonly password: string;
  readonly hosts: readonly { readonly fingerprint256: string }[];
  stop(): Promise<void>;
}

/** Starts `xen-backup simulate` as its own process. */
export async function startPool(poolFile: string): Promise<DemoPool> {
  const child = spawn(process.execPath, [XEN_BACKUP, 'simulate', '--pool', poolFile, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    return { ...(JSON.parse(line) as Omit<DemoPool, 'stop'>), stop };
  }
  await stop();
  throw new DemoError('The simulated pool did not start.');
}

/** Runs `xen-backup` in this terminal, after saying what it runs. */
export async function xenBackup(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
  process.stdout.write(`\n$ xen-backup ${args.map(quoted).join(' ')}\n`);
  const child = spawn(process.execPath, [XEN_BACKUP, ...args], { env: environment, stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0 && code !== 3) throw new DemoError(`xen-backup ${args[0] ?? ''} ended with ${String(code)}.`);
}

function quoted(argument: string): string {
  return /^[\w./:=-]+$/.test(argument) ? argument : `'${argument}'`;
}
