import { formatBytes } from '../../common/byte-size.js';
import { type CommandModule } from './command-module.js';
import { addCommonOptions, type CommonOptions, wholeNumber } from './common-options.js';
import { EXIT } from './exit-code.js';
import { sizeOf } from './list-command.js';
import { type KeepRules } from '../repository/prune-plan.js';
import { OpenHost, requestInvalid } from './open-host.js';

interface PruneOptions extends CommonOptions {
  readonly keepLast?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly dryRun?: boolean;
}

export const pruneCommand: CommandModule = {
  define: (command) => {
    command.option('--keep-last <n>', 'keep the newest so many savesets of each source', wholeNumber(1));
    command.option('--keep-daily <n>', 'keep the newest of each of so many days', wholeNumber(1));
    command.option('--keep-weekly <n>', 'keep the newest of each of so many weeks', wholeNumber(1));
    command.option('--keep-monthly <n>', 'keep the newest of each of so many months', wholeNumber(1));
    command.option('--dry-run', 'only say what would be removed');
    addCommonOptions(command).addHelpText(
      'after',
      `
A saveset stays when any rule keeps it. Days, weeks (from Monday) and months are those of UTC; only those that have a
saveset count. What a kept saveset builds on is kept as well, so a chain goes as a whole or not at all. Savesets whose
record cannot be read are never touched.

Examples:
  xen-backup prune --keep-last 7 --dry-run
  xen-backup prune --keep-last 3 --keep-daily 7 --keep-weekly 4 --keep-monthly 12`,
    );
  },
  run: async (context, command) => {
    const { output } = context;
    const options = command.opts<PruneOptions>();
    const dryRun = options.dryRun ?? false;
    const rules = rulesOf(options);
    return OpenHost.use(context, options, async (host) => {
      const { keep, remove } = await (await host.repository()).prune(rules, { dryRun });
      const verb = dryRun ? 'would remove' : 'removed';
      for (const record of remove) {
        const bytes = sizeOf(record);
        output.json({ type: dryRun ? 'would-remove' : 'removed', savesetId: record.savesetId, bytes });
        output.line(`${verb} ${record.savesetId} (${formatBytes(bytes)})`);
      }
      const freedBytes = remove.reduce((sum, record) => sum + sizeOf(record), 0);
      output.json({ type: 'pruned', isDryRun: dryRun, removed: remove.length, kept: keep.length, freedBytes });
      output.line(`${verb} ${remove.length}, kept ${keep.length}, ${formatBytes(freedBytes)} freed`);
      return EXIT.done;
    });
  },
};

function rulesOf({ keepLast, keepDaily, keepWeekly, keepMonthly }: PruneOptions): KeepRules {
  const rules = { last: keepLast ?? 0, daily: keepDaily ?? 0, weekly: keepWeekly ?? 0, monthly: keepMonthly ?? 0 };
  if (Object.values(rules).some((count) => count > 0)) return rules;
  throw requestInvalid(
    'Say what to keep.',
    'Give at least one of --keep-last, --keep-daily, --keep-weekly, --keep-monthly.',
  );
}
