import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { commandFile } from '../common/package-root.js';
import { DemoError } from './pool-witness.js';

const XEN_BACKUP = commandFile();

export interface DemoPool {
  readonly url: string;
  readonly httpUrl: string;
  readonly controlUrl: string;
  readonly username: string;
  readonly password: string;
  readonly hosts: readonly { readonly fingerprint256: string }[];
  stop(): Promise<void>;
}

export interface DemoSaveset {
  readonly savesetId: string;
  readonly level: string;
  readonly items: readonly { readonly bytes: number }[];
}

/** Starts `xen-backup simulate` as its own process. */
export async function startPool(poolFile: string): Promise<DemoPool> {
  const child = spawn(process.execPath, [XEN_BACKUP, 'simulate', '--pool', poolFile, '--nbd', '--json'], {
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

/** What `xen-backup list --json` says of the savesets, oldest first. */
export async function listSavesets(environment: NodeJS.ProcessEnv): Promise<readonly DemoSaveset[]> {
  const args = [XEN_BACKUP, 'list', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: environment });
  return stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { record: DemoSaveset }).record);
}

function quoted(argument: string): string {
  return /^[\w./:=-]+$/.test(argument) ? argument : `'${argument}'`;
}
