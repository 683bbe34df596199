import { formatBytes } from '../../common/byte-size.js';
import { type SavesetRecord } from '../../contract/index.js';
import { type DirectoryRepository } from '../repository/directory-repository.js';
import { type CliContext } from './cli-context.js';
import { type CommandModule } from './command-module.js';
import { addCommonOptions, type CommonOptions } from './common-options.js';
import { EXIT } from './exit-code.js';
import { OpenHost, requestInvalid } from './open-host.js';

interface VerifyOptions extends CommonOptions {
  readonly all?: boolean;
}

export const verifyCommand: CommandModule = {
  define: (command) => {
    command.argument('[saveset...]', 'ids, or latest:<source>');
    command.option('--all', 'every saveset of the repository');
    addCommonOptions(command).addHelpText(
      'after',
      `
Every item is read again and compared with its recorded size and SHA-256. Exit code 1 when anything is damaged.

Examples:
  xen-backup verify latest:web-1
  xen-backup verify --all --json`,
    );
  },
  run: async (context, command) => {
    const [references] = command.processedArgs as [string[]];
    const options = command.opts<VerifyOptions>();
    if ((options.all === true) === references.length > 0) {
      throw requestInvalid('Say which savesets to verify.', 'Give ids, or --all.');
    }
    return OpenHost.use(context, options, async (host) => {
      const repository = await host.repository();
      let isGood = true;
      for (const record of await chosen(context, repository, references, () => (isGood = false))) {
        if (!(await verifyOne(context, repository, record))) isGood = false;
      }
      return isGood ? EXIT.done : EXIT.failed;
    });
  },
};

async function chosen(
  { output }: CliContext,
  repository: DirectoryRepository,
  references: readonly string[],
  onDamaged: () => void,
): Promise<readonly SavesetRecord[]> {
  if (references.length > 0) return Promise.all(references.map((reference) => repository.find(reference)));
  const { records, damaged } = await repository.list();
  for (const { savesetId, error } of damaged) {
    onDamaged();
    output.json({ type: 'damaged', savesetId, error: error.toJSON() });
    output.line(`${output.paint('red', 'damaged')}  ${savesetId}: ${error.message}`);
  }
  if (records.length === 0) output.line(`No savesets in ${repository.path}.`);
  return records;
}

async function verifyOne(
  { output, signal }: CliContext,
  repository: DirectoryRepository,
  record: SavesetRecord,
): Promise<boolean> {
  let isGood = true;
  for await (const verdict of repository.verify(record, { signal })) {
    const { item, status, foundBytes, message } = verdict;
    output.json({ type: 'item-verified', savesetId: record.savesetId, ...verdict });
    const word = status === 'ok' ? output.paint('green', 'ok     ') : output.paint('red', 'damaged');
    const finding = message ?? formatBytes(foundBytes);
    output.line(`${word}  ${record.savesetId}/${item}: ${finding}`);
    if (status !== 'ok') isGood = false;
  }
  return isGood;
}
