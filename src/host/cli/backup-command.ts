import { Option } from 'commander';
import { formatBytes } from '../../common/byte-size.js';
import {
  type BackupEstimate,
  type BackupLevel,
  type BackupReport,
  type BackupRequest,
  type BackupSource,
  type BackupSourceProvider,
  type Consistency,
  type Options,
  type ResolvedSource,
} from '../../contract/index.js';
import { concurrently } from '../../common/concurrently.js';
import { newSavesetId, runBackup } from '../backup-runner.js';
import { type BackupSelection, resolveSelection } from '../backup-selection.js';
import { transferSummary } from '../progress/transfer-summary.js';
import { type DirectoryRepository } from '../repository/directory-repository.js';
import { type Compression, COMPRESSIONS } from '../repository/item-compression.js';
import { toHostError } from '../to-host-error.js';
import { systemClock } from '../../common/clock.js';
import { type CliContext } from './cli-context.js';
import { type CliOutput, withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import {
  addClientOptions,
  addCommonOptions,
  addProviderOptions,
  collect,
  type CommonOptions,
  type ProviderOptions,
  providerOptions,
  wholeNumber,
} from './common-options.js';
import { EXIT, type ExitCode, exitCodeOf, worstOf } from './exit-code.js';
import { OpenHost, requestInvalid } from './open-host.js';
import { viewFor } from './operation-view.js';
import { BACKUP_OPTIONS, optionHelp } from './provider-option-table.js';

interface BackupOptions extends CommonOptions, ProviderOptions {
  readonly level?: BackupLevel | 'auto';
  readonly format?: string;
  readonly maxChain?: number;
  readonly onFullFallback?: string;
  readonly disk?: readonly string[];
  readonly excludeDisk?: readonly string[];
  readonly consistency?: Consistency;
  readonly exclude?: readonly string[];
  readonly concurrency: number;
  readonly compress?: Compression;
  readonly dryRun?: boolean;
}

const LEVELS: readonly (BackupLevel | 'auto')[] = ['full', 'incremental', 'differential', 'copy', 'auto'];
const CONSISTENCIES: readonly Consistency[] = ['offline', 'crash', 'quiesced', 'memory'];

type RequestParts = Pick<BackupRequest, 'level' | 'options'> & { readonly signal: AbortSignal };

export const backupCommand: CommandModule = {
  define: (command) => {
    command.argument('<source...>', 'what to save: paths of "xen-backup browse", names, or patterns');
    command.addOption(new Option('--level <level>', 'how much to save (default: auto)').choices(LEVELS));
    command.addOption(new Option('--format <form>', 'form of what is stored; -o format=...').choices(['xva', 'disks']));
    command.option('--max-chain <n>', 'most savesets in a chain before the next full; -o maxChain=...', wholeNumber(1));
    command.addOption(
      new Option(
        '--on-full-fallback <what>',
        'when a disk has to be saved in full after all; -o onFullFallback=...',
      ).choices(['allow', 'warn', 'fail']),
    );
    command.option('--disk <disk>', 'only this disk, by position, name or id (may repeat)', collect);
    command.option('--exclude-disk <disk>', 'leave this disk out (may repeat)', collect);
    command.addOption(
      new Option('--consistency <kind>', "what the data's moment is worth; the same as -o consistency=...").choices(
        CONSISTENCIES,
      ),
    );
    command.option('--exclude <source>', 'leave out what this name or pattern fits (may repeat)', collect);
    command.option('--concurrency <count>', 'so many backups at once', wholeNumber(1), 1);
    command.addOption(
      new Option(
        '--compress <how>',
        'how the repository stores it (default: "compression" of the configuration, or none)',
      ).choices(COMPRESSIONS),
    );
    command.option('--dry-run', 'say what the names stand for and how much it is, and save nothing');
    addProviderOptions(command);
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
Names and patterns are looked up when the task runs, before the first backup starts. Patterns: vm/web-*, template/*, vm/*
for all machines, tag:nightly, state:running; * and ? stand for characters. Each machine is a backup of its own: one that
fails, and a name that stands for nothing any more, does not stop the others.

Options of the provider (-o), the default first:
${optionHelp(BACKUP_OPTIONS)}

Examples:
  xen-backup backup vm/web-1
  xen-backup backup web-1 db-1 template/gold
  xen-backup backup 'vm/*' --exclude 'vm/test-*' --exclude state:halted --concurrency 3
  xen-backup backup tag:nightly --dry-run
  xen-backup backup vm/db-1 --consistency offline -o shutdown=force
  xen-backup backup vm/db-1 --format disks                 a chain: a full first, increments from then on
  xen-backup backup vm/db-1 --level differential --exclude-disk scratch
  xen-backup backup vm/web-1 -a http=https
  xen-backup backup vm/web-1 --compress zstd               stored as .zst, which "xe vm-import" takes as it is`,
    );
  },
  run: async (context, command) => {
    const [names] = command.processedArgs as [string[]];
    const options = command.opts<BackupOptions>();
    return OpenHost.use(context, options, async (host) => {
      const { signal } = context;
      const provider = await host.provider();
      const { consistency, level = provider.capabilities.levels.includes('auto') ? 'auto' : 'full' } = options;
      const request: RequestParts = {
        options: { ...providerOptions(host.client.backupOptions, options), ...namedOptions(options) },
        signal,
        level,
      };
      refuseUnoffered(provider, level, consistency);
      const isDryRun = options.dryRun === true;
      const repository = isDryRun
        ? await host.existingRepository()
        : await host.repository({ create: true, compression: options.compress });
      const source = await host.openSource();
      const selection = await resolveSelection(source, names, options.exclude ?? [], signal);
      saySelection(context.output, selection);
      const isOneOfMany = selection.targets.length + selection.failed.length > 1;
      const isAlone = options.concurrency === 1 || selection.targets.length === 1;
      const outcomes = await concurrently(
        selection.targets,
        options.concurrency,
        (target) =>
          isDryRun || repository === undefined
            ? estimateOne(context, { source, target, repository, request, isOneOfMany })
            : saveOne(context, host, { source, target, repository, request, isOneOfMany }, isAlone),
        () => signal.aborted,
      );
      const codes = [...outcomes, ...selection.failed.map(({ error }) => exitCodeOf(error.code))];
      if (!signal.aborted) sayOutcome(context.output, selection, codes, !isDryRun);
      const hasTrouble = selection.skipped.some(({ isSkippedByTrouble = false }) => isSkippedByTrouble);
      return worstOf(hasTrouble ? [...codes, EXIT.warnings] : codes);
    });
  },
};

interface OneBackup {
  readonly source: BackupSource;
  readonly target: ResolvedSource;
  readonly repository: DirectoryRepository;
  readonly request: RequestParts;
  /** Its failure has to say whose it is. */
  readonly isOneOfMany: boolean;
}

/** A failure is told here, so that the next backup gets its turn. */
async function saveOne(
  { output, signal }: CliContext,
  host: OpenHost,
  job: OneBackup,
  isAlone: boolean,
): Promise<ExitCode> {
  const savesetId = newSavesetId(job.target.displayName, systemClock.nowMs());
  const labels = { source: job.target.path, savesetId };
  const view = viewFor(output, job.target.displayName, labels, isAlone);
  let warnings = 0;
  try {
    signal.throwIfAborted();
    const work = (): Promise<BackupReport> =>
      runBackup({
        ...job,
        savesetId,
        onEvent: (event) => {
          if (event.type === 'warning') warnings += 1;
          view.onEvent(event);
        },
      });
    const report = isAlone ? await host.withLog(view.log.bind(view), work) : await work();
    view.close();
    output.line(summaryOf(output, report));
    return warnings + report.record.warnings.length > 0 ? EXIT.warnings : EXIT.done;
  } catch (error) {
    view.close();
    const known = toHostError(error);
    output.failure(known, labels, job.isOneOfMany ? job.target.displayName : undefined);
    return exitCodeOf(known.code);
  }
}

/** Options of the provider that have a name of their own here. */
function namedOptions({ consistency, format, maxChain, onFullFallback, disk, excludeDisk }: BackupOptions): Options {
  const all = { consistency, format, maxChain, onFullFallback, disks: disk, excludeDisks: excludeDisk };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** What the provider cannot do is known as data, before anything is opened. */
function refuseUnoffered(
  { displayName, capabilities }: BackupSourceProvider,
  level: BackupOptions['level'],
  consistency: Consistency | undefined,
): void {
  const { levels, consistencies } = capabilities;
  if (level !== undefined && !levels.includes(level)) {
    throw requestInvalid(`${displayName} offers no ${level} backup.`, `It offers: ${levels.join(', ')}.`);
  }
  if (consistency !== undefined && !consistencies.includes(consistency)) {
    throw requestInvalid(`${displayName} offers no ${consistency} backup.`, `It offers: ${consistencies.join(', ')}.`);
  }
}

async function estimateOne(
  { output }: CliContext,
  {
    source,
    target,
    repository,
    request,
    isOneOfMany,
  }: Omit<OneBackup, 'repository'> & { readonly repository: DirectoryRepository | undefined },
): Promise<ExitCode> {
  try {
    const savesetId = newSavesetId(target.displayName, systemClock.nowMs());
    const history = (await repository?.historyOf(target)) ?? [];
    const estimate = await source.estimate({ source: target.path, savesetId, history, ...request });
    output.json({ type: 'estimate', estimate });
    sayEstimate(output, estimate);
    return EXIT.done;
  } catch (error) {
    const known = toHostError(error);
    output.failure(known, { source: target.path }, isOneOfMany ? target.displayName : undefined);
    return exitCodeOf(known.code);
  }
}

function saySelection(output: CliOutput, { failed, skipped, idleExclusions }: BackupSelection): void {
  for (const { name, error } of failed) output.failure(error, { source: name }, name);
  for (const exclusion of idleExclusions) output.note(`note: --exclude ${withoutControls(exclusion)} fits nothing.`);
  for (const { path, displayName, skipReason } of skipped) {
    output.json({ type: 'skipped', source: path, displayName, reason: skipReason });
    output.line(`left out: ${withoutControls(displayName)} (${path}): ${withoutControls(skipReason)}`);
  }
}

/** One line about all, when there are several. */
function sayOutcome(
  output: CliOutput,
  { targets, failed, skipped }: BackupSelection,
  codes: readonly ExitCode[],
  isSaving: boolean,
): void {
  const selected = targets.length + failed.length;
  if (selected + skipped.length < 2) return;
  const good = codes.filter((code) => code === EXIT.done || code === EXIT.warnings).length;
  const warned = codes.filter((code) => code === EXIT.warnings).length;
  const counts = { selected, good, warned, failed: selected - good, skipped: skipped.length };
  output.json({ type: 'summary', isDryRun: !isSaving, ...counts });
  const text = `${good} of ${selected} ${isSaving ? 'saved' : 'could be saved'}`;
  const others = [
    [counts.warned, 'with warnings'],
    [counts.failed, 'failed'],
    [counts.skipped, 'left out'],
  ] as const;
  const more = others.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  output.line([text, ...more].join(', '));
}

function sayEstimate(output: CliOutput, { source, level, expectedBytes, expectedIs, disks }: BackupEstimate): void {
  const about = expectedIs === 'exact' ? '' : 'about ';
  const size =
    expectedIs === 'unknown' ? 'how many bytes is known once it runs' : `${about}${formatBytes(expectedBytes)}`;
  output.line(`${withoutControls(source.displayName)} (${source.path}): ${level}, ${size}`);
  if (disks.length === 0) return;
  const isCostKnown = disks.some(({ expectedBytes: cost }) => cost !== undefined);
  const rows = disks.map(({ name, sizeBytes, level: ofDisk, reason, expectedBytes: cost }) => [
    `  ${name}`,
    formatBytes(sizeBytes),
    ofDisk,
    reason,
    ...(isCostKnown ? [cost === undefined ? '' : formatBytes(cost)] : []),
  ]);
  const heads = ['  DISK', 'SIZE', 'LEVEL', 'WHY', ...(isCostKnown ? ['TO READ'] : [])];
  output.table(heads, rows, { right: [1, 4] });
}

function summaryOf(output: CliOutput, report: BackupReport): string {
  const { record } = report;
  const name = withoutControls(record.source.displayName);
  const facts = [record.level, record.consistency, transferSummary(report)].join(', ');
  return `${output.paint('green', 'saved')} ${name} as ${output.paint('bold', record.savesetId)} (${facts})`;
}
