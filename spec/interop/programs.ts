import { spawn } from 'node:child_process';
import { commandFile } from '../../src/common/package-root.js';
import { type RunningPool } from '../../src/simulator/index.js';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of the system to its end; its output is text. A program that is not installed fails with its name. */
export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}

/** The same, and throws with all that the program said when it does not end well. */
export async function runWell(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, env);
  if (code !== 0) throw new TypeError(`${command} ${args.join(' ')} ended with ${String(code)}:\n${stdout}${stderr}`);
  return stdout;
}

/** `xen-backup` as a user runs it, against this pool and with this folder as repository. */
export function xenBackup(pool: RunningPool, repository: string, args: readonly string[]): Promise<string> {
  const environment = {
    XEN_BACKUP_URL: pool.url,
    XEN_BACKUP_FINGERPRINT: pool.hosts.map(({ fingerprint256 }) => fingerprint256).join(','),
    XEN_BACKUP_USERNAME: pool.username,
    XEN_BACKUP_PASSWORD: pool.password,
    XEN_BACKUP_REPOSITORY: repository,
  };
  return runWell(process.execPath, [commandFile(), ...args], { ...process.env, ...environment });
}
