import { EventEmitter } from 'node:events';
import { runCli } from '../../../src/host/cli/run-cli.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { CapturedStream } from '../../host/support/captured-stream.js';

export interface CliOutcome {
  readonly code: number;
  /** Standard output, then standard error. */
  readonly text: string;
}

/**
 * The command line in this process, against a simulated pool, with the client in the environment and the repository
 * `repo` in `folder`.
 */
export async function runPoolCli(
  pool: RunningPool,
  folder: string,
  args: readonly string[],
  password = pool.password,
): Promise<CliOutcome> {
  const out = new CapturedStream(false);
  const err = new CapturedStream(false);
  const code = await runCli(args, {
    out,
    err,
    environment: {
      XEN_BACKUP_URL: pool.url,
      XEN_BACKUP_USERNAME: pool.username,
      XEN_BACKUP_PASSWORD: password,
      XEN_BACKUP_FINGERPRINT: pool.hosts.map(({ fingerprint256 }) => fingerprint256).join(','),
      XEN_BACKUP_REPOSITORY: 'repo',
    },
    workingFolder: folder,
    signals: new EventEmitter(),
    exit: () => undefined,
  });
  return { code, text: out.text + err.text };
}
