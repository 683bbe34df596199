import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { packageRoot } from '../src/common/package-root.js';

/** Our own command line, as a user's machine runs it. */
export const XEN_BACKUP = join(packageRoot(), 'dist', 'src', 'host', 'cli', 'main.js');

export interface Finished {
  readonly elapsedMs: number;
  /** User and system time of the program and what it started. */
  readonly cpuSeconds: number;
}

export class BenchError extends Error {
  override readonly name = 'BenchError';
}

/**
 * Runs a shell command to its end; wall clock and CPU time as bash counts them, so that
 * a pipe of three programs is measured like one.
 */
export async function runTimed(command: string, env: NodeJS.ProcessEnv): Promise<Finished> {
  const script = `TIMEFORMAT='%R %U %S'; time { set -o pipefail; ${command}; }`;
  const child = spawn('bash', ['-c', script], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [real, user, system] = (stderr.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
  if (code !== 0 || real === undefined || user === undefined || system === undefined) {
    throw new BenchError(`"${command}" ended with ${String(code)}: ${stderr}`);
  }
  return { elapsedMs: real * 1000, cpuSeconds: user + system };
}

export interface SimulatorProcess {
  readonly url: string;
  readonly httpUrl: string;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256: string;
  stop(): Promise<void>;
}

/** Starts `xen-backup simulate` as its own process, so that its work is not counted as ours. */
export async function startSimulator(poolFile: string): Promise<SimulatorProcess> {
  const args = [XEN_BACKUP, 'simulate', '--pool', poolFile, '--port', '0', '--http-port', '0', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const started = JSON.parse(line) as Omit<SimulatorProcess, 'stop'>;
    return { ...started, stop };
  }
  await stop();
  throw new BenchError('the simulated pool did not start');
}
