import { formatBytes } from '../../common/byte-size.js';
import { type SavesetRecord } from '../../contract/index.js';
import { isOf } from '../repository/latest-saveset.js';
import { type Cell, withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT } from './exit-code.js';
import { OpenHost } from './open-host.js';

export const listCommand: CommandModule = {
  define: (command) => {
    command.argument('[source]', 'only savesets of this source: path, id or name');
    addCommonOptions(command).addHelpText(
      'after',
      `
Oldest first. A saveset whose record cannot be read is named at the end, with exit code 3.

Examples:
  xen-backup list
  xen-backup list web-1 --json`,
    );
  },
  run: async (context, command) => {
    const { output } = context;
    const [wanted] = command.processedArgs as [string | undefined];
    return OpenHost.use(context, command.opts<CommonOptions>(), async (host) => {
      const { records, damaged } = await (await host.repository()).list();
      const shown = records.filter((record) => wanted === undefined || isOf(record, wanted));
      for (const record of shown) output.json({ type: 'saveset', record });
      const whose = wanted === undefined || records.length === 0 ? '' : ` of "${withoutControls(wanted)}"`;
      if (shown.length === 0) output.line(`No savesets${whose} in ${host.repositoryPath}.`);
      else
        output.table(['SAVESET', 'SOURCE', 'SAVED', 'LEVEL', 'CONSISTENCY', 'SIZE'], shown.map(rowOf), { right: [5] });
      for (const { savesetId, error } of damaged) {
        output.json({ type: 'damaged', savesetId, error: error.toJSON() });
        output.note(`warning ${error.code}: ${savesetId}: ${error.message}`);
      }
      return damaged.length > 0 ? EXIT.warnings : EXIT.done;
    });
  },
};

export function sizeOf({ items }: SavesetRecord): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** `2026-01-02 03:04:05Z` */
export function formatTime(iso: string): string {
  return iso.replace('T', ' ').replace(/\.\d+/, '');
}

function rowOf(record: SavesetRecord): Cell[] {
  const { savesetId, source, createdAt, level, consistency } = record;
  return [savesetId, source.displayName, formatTime(createdAt), level, consistency, formatBytes(sizeOf(record))];
}
