import { Option } from 'commander';
import { formatBytes } from '../../common/byte-size.js';
import {
  type BackupEstimate,
  type BackupLevel,
  type BackupReport,
  type BackupRequest,
  type BackupSource,
  type BackupSourceProvider,
  type ResolvedSource,
} from '../../contract/index.js';
import { newSavesetId, runBackup } from '../backup-runner.js';
import { formatDuration } from '../progress/format-duration.js';
import { type DirectoryRepository } from '../repository/directory-repository.js';
import { toHostError } from '../to-host-error.js';
import { systemClock } from '../../common/clock.js';
import { type CliContext } from './cli-context.js';
import { type CliOutput, withoutControls } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import {
  addClientOptions,
  addCommonOptions,
  addProviderOptions,
  type CommonOptions,
  type ProviderOptions,
  providerOptions,
} from './common-options.js';
import { EXIT, type ExitCode, exitCodeOf, worstOf } from './exit-code.js';
import { OpenHost, requestInvalid } from './open-host.js';
import { viewFor } from './operation-view.js';

interface BackupOptions extends CommonOptions, ProviderOptions {
  readonly level?: BackupLevel | 'auto';
  readonly dryRun?: boolean;
}

const LEVELS: readonly (BackupLevel | 'auto')[] = ['full', 'incremental', 'differential', 'copy', 'auto'];

type RequestParts = Pick<BackupRequest, 'level' | 'options'> & { readonly signal: AbortSignal };

export const backupCommand: CommandModule = {
  define: (command) => {
    command.argument('<source...>', 'what to save: a path of "xen-backup browse", or a name that fits one thing only');
    command.addOption(new Option('--level <level>', 'how much to save (default: full)').choices(LEVELS));
    command.option('--dry-run', 'say what would be saved, and how much it is');
    addProviderOptions(command);
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
All names are looked up before the first backup starts. One backup that fails does not stop the others.

Examples:
  xen-backup backup vm/web-1
  xen-backup backup web-1 db-1 template/gold
  xen-backup backup vm/web-1 -a http=https
  xen-backup backup vm/web-1 --dry-run`,
    );
  },
  run: async (context, command) => {
    const [names] = command.processedArgs as [string[]];
    const options = command.opts<BackupOptions>();
    return OpenHost.use(context, options, async (host) => {
      const { signal } = context;
      const request: RequestParts = {
        options: providerOptions(host.client.backupOptions, options),
        signal,
        ...(options.level === undefined ? {} : { level: options.level }),
      };
      refuseLevel(await host.provider(), options.level);
      const repository = options.dryRun === true ? undefined : await host.repository({ create: true });
      const source = await host.openSource();
      const targets = distinct(await source.resolve(names, signal));
      const codes: ExitCode[] = [];
      for (const target of targets) {
        const code =
          repository === undefined
            ? await estimateOne(context, source, target, request)
            : await saveOne(context, host, { source, target, repository, request });
        codes.push(code);
        if (code === EXIT.cancelled) break;
      }
      return worstOf(codes);
    });
  },
};

interface OneBackup {
  readonly source: BackupSource;
  readonly target: ResolvedSource;
  readonly repository: DirectoryRepository;
  readonly request: RequestParts;
}

/** A failure is told here, so that the next backup gets its turn. */
async function saveOne({ output, signal }: CliContext, host: OpenHost, job: OneBackup): Promise<ExitCode> {
  const savesetId = newSavesetId(job.target.displayName, systemClock.nowMs());
  const labels = { source: job.target.path, savesetId };
  const view = viewFor(output, job.target.displayName, labels);
  let warnings = 0;
  try {
    signal.throwIfAborted();
    const report = await host.withLog(
      (line) => {
        view.log(line);
      },
      () =>
        runBackup({
          ...job,
          savesetId,
          onEvent: (event) => {
            if (event.type === 'warning') warnings += 1;
            view.onEvent(event);
          },
        }),
    );
    view.close();
    output.line(summaryOf(output, report));
    return warnings + report.record.warnings.length > 0 ? EXIT.warnings : EXIT.done;
  } catch (error) {
    view.close();
    const known = toHostError(error);
    output.failure(known, labels);
    return exitCodeOf(known.code);
  }
}

/** What the provider cannot do is known as data, before anything is opened. */
function refuseLevel({ displayName, capabilities }: BackupSourceProvider, level: BackupOptions['level']): void {
  if (level === undefined || capabilities.levels.includes(level)) return;
  throw requestInvalid(`${displayName} offers no ${level} backup.`, `It offers: ${capabilities.levels.join(', ')}.`);
}

async function estimateOne(
  { output }: CliContext,
  source: BackupSource,
  target: ResolvedSource,
  request: RequestParts,
): Promise<ExitCode> {
  const savesetId = newSavesetId(target.displayName, systemClock.nowMs());
  const estimate = await source.estimate({ source: target.path, savesetId, ...request });
  output.json({ type: 'estimate', estimate });
  sayEstimate(output, estimate);
  return EXIT.done;
}

function sayEstimate(output: CliOutput, { source, level, expectedBytes, expectedIs, disks }: BackupEstimate): void {
  const about = expectedIs === 'exact' ? '' : 'about ';
  const size = expectedIs === 'unknown' ? 'nobody can say how many bytes' : `${about}${formatBytes(expectedBytes)}`;
  output.line(`${withoutControls(source.displayName)} (${source.path}): ${level}, ${size}`);
  if (disks.length === 0) return;
  const rows = disks.map((disk) => [`  ${disk.name}`, formatBytes(disk.sizeBytes), disk.level, disk.reason]);
  output.table(['  DISK', 'SIZE', 'LEVEL', 'WHY'], rows, { right: [1] });
}

function summaryOf(output: CliOutput, { record, transferredBytes, elapsedMs }: BackupReport): string {
  const rate = elapsedMs > 0 ? `, ${formatBytes(Math.round((transferredBytes * 1000) / elapsedMs))}/s` : '';
  const size = `${formatBytes(transferredBytes)} in ${formatDuration(elapsedMs)}${rate}`;
  const name = withoutControls(record.source.displayName);
  return `${output.paint('green', 'saved')} ${name} as ${output.paint('bold', record.savesetId)} (${record.level}, ${record.consistency}, ${size})`;
}

/** Two names for one thing make one backup. */
function distinct(targets: readonly ResolvedSource[]): readonly ResolvedSource[] {
  return [...new Map(targets.map((target) => [target.path, target])).values()];
}
