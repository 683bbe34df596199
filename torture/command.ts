import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { systemClock } from '../src/common/clock.js';
import { commandFile } from '../src/common/package-root.js';
import { type Arena } from './arena.js';
import { watch } from './watching.js';

const MAIN = commandFile();
const LONGEST_MS = 60_000;

/** A signal that reaches a command so long after the pool has seen the n-th thing of it. */
export interface Strike {
  readonly step: number;
  readonly delayMs: number;
  readonly signal: NodeJS.Signals;
}

export interface CommandWish {
  /** Path of its repository. Default: the arena's. */
  readonly repository?: string;
  /** How far its clock is ahead. */
  readonly skewMs?: number;
  readonly strike?: Strike;
}

export interface CommandEnd {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** All that it said. */
  readonly words: string;
  /** From the strike to the end; undefined: the command was over before. */
  readonly elapsedMs: number | undefined;
}

/** Runs the command line as a process of its own over the arena's pool. */
export async function runCommand(
  arena: Arena,
  args: readonly string[],
  { repository = arena.repository.path, skewMs = 0, strike }: CommandWish = {},
): Promise<CommandEnd> {
  const folder = await mkdtemp(join(dirname(arena.repository.path), 'command-'));
  const { running } = arena;
  const settings = {
    url: running.url,
    username: running.username,
    password: 'env:TORTURE',
    trust: { fingerprints: running.hosts.map(({ fingerprint256 }) => fingerprint256) },
  };
  const config = join(folder, 'config.json');
  await writeFile(config, JSON.stringify({ repository, clients: { torture: { settings } } }));
  const clock = join(folder, 'clock.mjs');
  await writeFile(clock, `const now = Date.now; Date.now = () => now() + ${skewMs};\n`);
  const started = ['--import', pathToFileURL(clock).href, MAIN, ...args, '--config', config, '--json'];
  const child = spawn(process.execPath, started, {
    cwd: folder,
    env: { ...process.env, TORTURE: running.password },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', kill);
  const tooLong = setTimeout(kill, LONGEST_MS);
  let struckAtMs: number | undefined;
  const hit = async ({ delayMs, signal }: Strike): Promise<void> => {
    await systemClock.sleep(delayMs);
    if (child.kill(signal)) struckAtMs = performance.now();
  };
  if (strike !== undefined) {
    let seen = 0;
    watch(arena, () => {
      seen += 1;
      if (seen === strike.step) void hit(strike);
    });
  }
  await once(child, 'close');
  const elapsedMs = struckAtMs === undefined ? undefined : performance.now() - struckAtMs;
  clearTimeout(tooLong);
  process.off('exit', kill);
  const { exitCode, signalCode } = child;
  return { code: exitCode ?? undefined, signal: signalCode ?? undefined, words: said.join(''), elapsedMs };
}
