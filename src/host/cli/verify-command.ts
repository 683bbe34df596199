import { formatBytes } from '../../common/byte-size.js';
import { type SavesetRecord } from '../../contract/index.js';
import { type DamagedSaveset, type DirectoryRepository } from '../repository/directory-repository.js';
import { followChain } from '../repository/saveset-chain.js';
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
Every item is read again and compared with its recorded size and SHA-256; with a saveset, all that it builds on. Exit
code 1 when anything is damaged or a chain is broken.

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
      const { records, damaged } = await repository.list();
      const chosen = await choose(context, repository, references, records);
      let isGood = references.length > 0 || sayDamaged(context, damaged);
      for (const record of withAncestors(context, chosen, records, () => (isGood = false))) {
        if (!(await verifyOne(context, repository, record))) isGood = false;
      }
      return isGood ? EXIT.done : EXIT.failed;
    });
  },
};

async function choose(
  { output }: CliContext,
  repository: DirectoryRepository,
  references: readonly string[],
  records: readonly SavesetRecord[],
): Promise<readonly SavesetRecord[]> {
  if (references.length > 0) return Promise.all(references.map((reference) => repository.find(reference)));
  if (records.length === 0) output.line(`No savesets in ${repository.path}.`);
  return records;
}

/** True when there are none. */
function sayDamaged({ output }: CliContext, damaged: readonly DamagedSaveset[]): boolean {
  for (const { savesetId, error } of damaged) {
    output.json({ type: 'damaged', savesetId, error: error.toJSON() });
    output.line(`${output.paint('red', 'damaged')}  ${savesetId}: ${error.message}`);
  }
  return damaged.length === 0;
}

/** The chosen savesets and what they build on, each once; chains that are broken are named. */
function withAncestors(
  { output }: CliContext,
  chosen: readonly SavesetRecord[],
  records: readonly SavesetRecord[],
  onBroken: () => void,
): readonly SavesetRecord[] {
  const byId = new Map(records.map((record) => [record.savesetId, record]));
  const all = new Set<SavesetRecord>();
  for (const { savesetId } of chosen) {
    const record = byId.get(savesetId);
    if (record === undefined) continue;
    const { ancestors, problem } = followChain(record, byId);
    for (const member of [...ancestors.toReversed(), record]) all.add(member);
    if (problem === undefined) continue;
    onBroken();
    output.json({ type: 'chain-broken', savesetId, ...problem });
    output.line(`${output.paint('red', 'broken ')}  ${savesetId}: ${problem.message}`);
  }
  return [...all];
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
