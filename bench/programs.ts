import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { commandFile, packageRoot } from '../src/common/package-root.js';
import { type LeastOrder } from './least-order.js';

const BUILD = join(packageRoot(), 'dist');
/** Our own command line, as a user's machine runs it. */
export const XEN_BACKUP = commandFile();
export const NBD_MOVER = join(BUILD, 'bench', 'nbd-mover.js');
const LEAST_MOVER = join(BUILD, 'bench', 'least-mover.js');
const USAGE_PROBE = join(BUILD, 'bench', 'usage-probe.js');

export class BenchError extends Error {
  override readonly name = 'BenchError';
}

/** Ours for "done, with warnings": plain http for bulk data is warned about. */
const DONE_WITH_WARNINGS = 3;

/** One run of one program. */
export interface Sample {
  readonly wallMs: number;
  /** User and system time; of our own programs that of the mover process alone, of a pipe that of all in it. */
  readonly cpuSeconds: number;
  /** The most that it ever had; known of our own programs. */
  readonly peakRssMiB?: number;
  readonly stdout: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  readonly signal: AbortSignal;
  /** Where the measured process leaves its figures. */
  readonly folder: string;
}

/** Runs a Node program to its end and measures it. */
export async function runNode(args: readonly string[], options: RunOptions): Promise<Sample> {
  const usagePath = join(options.folder, `usage-${randomBytes(6).toString('hex')}.json`);
  const env = { ...process.env, ...options.env, XEN_BENCH_USAGE: usagePath };
  const { wallMs, stdout } = await run(process.execPath, ['--import', USAGE_PROBE, ...args], { ...options, env });
  const usage = JSON.parse(await readFile(usagePath, 'utf8')) as NodeJS.ResourceUsage;
  await rm(usagePath);
  const cpuSeconds = (usage.userCPUTime + usage.systemCPUTime) / 1e6;
  return { wallMs, stdout, cpuSeconds, peakRssMiB: usage.maxRSS / 1024 };
}

/** Moves an archive with no more than Node needs for it: the limit of what ours could be made to take. */
export async function runLeast(order: LeastOrder, options: RunOptions): Promise<Sample> {
  return await runNode([LEAST_MOVER], { ...options, stdin: JSON.stringify(order) });
}

/** Runs a shell command to its end; its CPU time as bash counts it, so that a pipe of three is measured like one. */
export async function runShell(command: string, options: RunOptions): Promise<Sample> {
  const script = `TIMEFORMAT='%U %S'; time { set -o pipefail; ${command}; }`;
  const { wallMs, stdout, stderr } = await run('bash', ['-c', script], options);
  const [user = 0, system = 0] = (stderr.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { wallMs, stdout, cpuSeconds: user + system };
}

export function isInstalled(program: string): boolean {
  return spawnSync('bash', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
}

interface Finished {
  readonly wallMs: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, args: readonly string[], { env, stdin, signal }: RunOptions): Promise<Finished> {
  signal.throwIfAborted();
  const beganAt = performance.now();
  // A group of its own, so that all of a pipe can be ended.
  const child = spawn(program, args, { env: env ?? process.env, stdio: 'pipe', detached: true });
  const onAbort = (): void => {
    endGroup(child);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin ?? '');
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const wallMs = performance.now() - beganAt;
    signal.throwIfAborted();
    if (code !== 0 && code !== DONE_WITH_WARNINGS) {
      throw new BenchError(`${program} ${args.join(' ')} ended with ${String(code)}: ${stderr}`);
    }
    return { wallMs, stdout: Buffer.concat(stdout).toString(), stderr };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself in this moment.
  }
}
