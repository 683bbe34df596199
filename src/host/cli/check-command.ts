import { type CheckLine } from '../../contract/index.js';
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
      const lines = await source.check(signal);
      for (const line of lines) output.json({ type: 'check', ...line });
      output.table(['STATUS', 'CHECK', 'FINDING'], lines.flatMap(rowsOf));
      return exitCodeOfLines(lines);
    });
  },
};

function rowsOf({ status, check, message, hint }: CheckLine): Cell[][] {
  const row: Cell[] = [{ text: status, style: STYLES[status] }, check, message];
  return hint === undefined ? [row] : [row, ['', '', { text: hint, style: 'dim' }]];
}

function exitCodeOfLines(lines: readonly CheckLine[]): ExitCode {
  if (lines.some(({ status }) => status === 'error')) return EXIT.failed;
  return lines.some(({ status }) => status === 'warning') ? EXIT.warnings : EXIT.done;
}
