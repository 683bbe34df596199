import { type ReconcileReport } from '../../contract/index.js';
import { readIdentity } from '../repository/repository-layout.js';
import { type CliOutput, withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { addClientOptions, addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT } from './exit-code.js';
import { OpenHost } from './open-host.js';

export const reconcileCommand: CommandModule = {
  define: (command) => {
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
Touches only what carries the marks of this host and whose run is dead, never a backup that is running.

Example:
  xen-backup reconcile --client pool-a`,
    );
  },
  run: async (context, command) => {
    const { output, signal } = context;
    return OpenHost.use(context, command.opts<CommonOptions>(), async (host) => {
      const hasRepository = (await readIdentity(host.repositoryPath)) !== undefined;
      const swept = hasRepository ? await (await host.repository()).sweep() : [];
      const source = await host.openSource();
      const report = await source.reconcile(signal);
      output.json({ type: 'reconciled', ...report, sweptSavesets: swept });
      sayReport(output, report, swept);
      return EXIT.done;
    });
  },
};

function sayReport(output: CliOutput, report: ReconcileReport, swept: readonly string[]): void {
  const groups = [
    ['removed', report.removed],
    ['repaired', report.repaired],
    ['kept', report.kept],
  ] as const;
  for (const [verb, entries] of groups) {
    for (const { kind, name, id, why } of entries) {
      output.line(`${verb} ${kind} ${withoutControls(name)} (${id}): ${withoutControls(why)}`);
    }
  }
  for (const savesetId of swept) output.line(`removed unfinished saveset ${savesetId}`);
  const found = groups.reduce((sum, [, entries]) => sum + entries.length, swept.length);
  if (found === 0) output.line('Nothing was left behind.');
}
