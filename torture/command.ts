import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { packageRoot } from '../src/common/package-root.js';
import { type Arena } from './arena.js';

const MAIN = join(packageRoot(), 'dist', 'src', 'host', 'cli', 'main.js');
const LONGEST_MS = 60_000;

export interface CommandEnd {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** It said that its work is done. */
  readonly hasReported: boolean;
}

/** Runs the command line as a process of its own over the arena's pool and repository; `onStarted` can send it signals. */
export async function runCommand(
  arena: Arena,
  args: readonly string[],
  onStarted: (send: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<CommandEnd> {
  const folder = dirname(arena.repository.path);
  const { running } = arena;
  const settings = {
    url: running.url,
    username: running.username,
    password: 'env:TORTURE',
    trust: { fingerprints: running.hosts.map(({ fingerprint256 }) => fingerprint256) },
  };
  const config = join(folder, 'config.json');
  await writeFile(config, JSON.stringify({ repository: arena.repository.path, clients: { torture: { settings } } }));
  const child = spawn(process.execPath, [MAIN, ...args, '--config', config, '--json'], {
    cwd: folder,
    env: { ...process.env, TORTURE: running.password },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const said = text(child.stdout);
  onStarted((signal) => {
    child.kill(signal);
  });
  const tooLong = setTimeout(() => {
    child.kill('SIGKILL');
  }, LONGEST_MS);
  await once(child, 'exit');
  clearTimeout(tooLong);
  const hasReported = (await said).includes('"type":"completed"');
  return { code: child.exitCode ?? undefined, signal: child.signalCode ?? undefined, hasReported };
}
