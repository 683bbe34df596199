import { systemClock } from '../../common/clock.js';
import { type BackupSource, type CheckLine } from '../../contract/index.js';
import { adviceFindings } from '../advised-backups.js';
import { readIdentity } from '../repository/repository-layout.js';
import { type Cell, type Style } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { addClientOptions, addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { OpenHost } from './open-host.js';

const STYLES: Readonly<Record<CheckLine['status'], Style>> = { ok: 'green', warning: 'yellow', error: 'red' };

export const checkCommand: CommandModule = {
  define: (command) => {
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
Nothing is changed at the source. Exit code 0: all is well, 3: warnings, 1: something would fail.

Examples:
  xen-backup check
  xen-backup check --client pool-a --json
  xen-backup check --url https://xen1.example --fingerprint AB:CD:...`,
    );
  },
  run: async (context, command) => {
    const { output, signal } = context;
    return OpenHost.use(context, command.opts<CommonOptions>(), async (host) => {
      const source = await host.openSource();
      const lines = [...(await source.check(signal)), ...(await adviceLines(host, source, signal))];
      for (const line of lines) output.json({ type: 'check', ...line });
      output.table(['STATUS', 'CHECK', 'FINDING'], lines.flatMap(rowsOf));
      return exitCodeOfLines(lines);
    });
  },
};

/** Against the savesets of this host's repository; before the first backup there is none. */
async function adviceLines(host: OpenHost, source: BackupSource, signal: AbortSignal): Promise<readonly CheckLine[]> {
  const hasRepository = (await readIdentity(host.repositoryPath)) !== undefined;
  const records = hasRepository ? (await (await host.repository()).list()).records : [];
  return adviceFindings(await host.provider(), source, records, systemClock.nowMs(), signal);
}

function rowsOf({ status, check, message, hint }: CheckLine): Cell[][] {
  const row: Cell[] = [{ text: status, style: STYLES[status] }, check, message];
  return hint === undefined ? [row] : [row, ['', '', { text: hint, style: 'dim' }]];
}

function exitCodeOfLines(lines: readonly CheckLine[]): ExitCode {
  if (lines.some(({ status }) => status === 'error')) return EXIT.failed;
  return lines.some(({ status }) => status === 'warning') ? EXIT.warnings : EXIT.done;
}
