import { formatBytes } from '../../common/byte-size.js';
import { type CommandModule } from './command-module.js';
import { addCommonOptions, type CommonOptions, wholeNumber } from './common-options.js';
import { EXIT } from './exit-code.js';
import { sizeOf } from './list-command.js';
import { OpenHost } from './open-host.js';

interface PruneOptions extends CommonOptions {
  readonly keepLast: number;
  readonly dryRun?: boolean;
}

export const pruneCommand: CommandModule = {
  define: (command) => {
    command.requiredOption('--keep-last <n>', 'how many savesets of each source to keep', wholeNumber(1));
    command.option('--dry-run', 'only say what would be removed');
    addCommonOptions(command).addHelpText(
      'after',
      `
What a kept saveset builds on is kept as well. Savesets whose record cannot be read are never touched.

Examples:
  xen-backup prune --keep-last 7 --dry-run
  xen-backup prune --keep-last 7`,
    );
  },
  run: async (context, command) => {
    const { output } = context;
    const options = command.opts<PruneOptions>();
    const dryRun = options.dryRun ?? false;
    return OpenHost.use(context, options, async (host) => {
      const { keep, remove } = await (await host.repository()).prune(options.keepLast, { dryRun });
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
