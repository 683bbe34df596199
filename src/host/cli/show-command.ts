import { formatBytes } from '../../common/byte-size.js';
import { type SavesetRecord } from '../../contract/index.js';
import { formatDuration } from '../progress/format-duration.js';
import { type StoredAs } from '../repository/directory-repository.js';
import { type CliOutput, withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT } from './exit-code.js';
import { formatTime } from './list-command.js';
import { OpenHost } from './open-host.js';

export const showCommand: CommandModule = {
  define: (command) => {
    command.argument('<saveset>', 'its id, or latest:<source> for the newest one of a source');
    addCommonOptions(command).addHelpText(
      'after',
      `
Examples:
  xen-backup show latest:web-1
  xen-backup show web-1-20260102T030405Z-a1b2c3 --json`,
    );
  },
  run: async (context, command) => {
    const { output } = context;
    const [reference] = command.processedArgs as [string];
    return OpenHost.use(context, command.opts<CommonOptions>(), async (host) => {
      const repository = await host.repository();
      const record = await repository.find(reference);
      const stored = await Promise.all(record.items.map(({ name }) => repository.storedAs(record.savesetId, name)));
      output.json({ type: 'saveset', record, stored: stored.map((one) => one ?? null) });
      sayRecord(output, record, stored);
      return EXIT.done;
    });
  },
};

/** `stored`: of each item. */
function sayRecord(output: CliOutput, record: SavesetRecord, stored: readonly (StoredAs | undefined)[]): void {
  const { source, items, disks, warnings } = record;
  const tookMs = Date.parse(record.completedAt) - Date.parse(record.createdAt);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Saveset', record.savesetId],
    ['Source', `${source.displayName} (${source.path})`],
    ['Origin', `${source.originName} (${source.originId})`],
    ['Saved', `${formatTime(record.createdAt)}, took ${formatDuration(tookMs)}`],
    ['Level', record.level],
    ['Builds on', record.parentSavesetId],
    ['Consistency', record.consistency],
    ['Provider', record.providerId],
    ['Data mover', record.moverHost],
  ];
  for (const [label, value] of facts) {
    if (value !== undefined) output.line(`${output.paint('dim', label.padEnd(12))} ${withoutControls(value)}`);
  }
  output.line();
  const itemRows = items.map(({ name, kind, bytes, sha256 }, index) => [
    name,
    kind,
    formatBytes(bytes),
    storedText(stored[index]),
    sha256,
  ]);
  output.table(['ITEM', 'KIND', 'SIZE', 'STORED', 'SHA-256'], itemRows, { right: [2] });
  if (disks.length > 0) {
    output.line();
    const rows = disks.map((disk) => [disk.name, formatBytes(disk.sizeBytes), disk.level, disk.reason, disk.item]);
    output.table(['DISK', 'SIZE', 'LEVEL', 'WHY', 'ITEM'], rows, { right: [1] });
  }
  for (const { code, message } of warnings) {
    output.line(`${output.paint('yellow', `warning ${code}:`)} ${withoutControls(message)}`);
  }
}

function storedText(stored: StoredAs | undefined): string {
  if (stored === undefined) return 'missing';
  return stored.compression === 'none' ? 'as it is' : `${formatBytes(stored.bytes)} ${stored.compression}`;
}
