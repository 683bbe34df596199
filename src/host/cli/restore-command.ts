import {
  BackupError,
  type BackupSourceProvider,
  type RestoreReport,
  type RestoreRequest,
  type SavesetRecord,
} from '../../contract/index.js';
import { transferSummary } from '../progress/transfer-summary.js';
import { runRestore } from '../restore-runner.js';
import { type CliOutput, withoutControls } from './cli-output.js';
import { type CliContext } from './cli-context.js';
import { type CommandModule } from './command-module.js';
import {
  addClientOptions,
  addCommonOptions,
  addProviderOptions,
  type CommonOptions,
  type ProviderOptions,
  providerOptions,
} from './common-options.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { OpenHost, requestInvalid } from './open-host.js';
import { viewFor } from './operation-view.js';
import { sayPlan } from './plan-view.js';
import { optionHelp, RESTORE_OPTIONS } from './provider-option-table.js';
import { sayDiskPlan, sayFilePlan, writeDisk, writeFiles } from './restore-to-file.js';

interface RestoreOptions extends CommonOptions, ProviderOptions {
  readonly as?: string;
  readonly overwrite?: boolean;
  readonly storage?: string;
  readonly sr?: string;
  readonly toFile?: string;
  readonly disk?: string;
  readonly attachTo?: string;
  readonly format?: string;
  readonly start?: boolean;
  readonly dryRun?: boolean;
}

export const restoreCommand: CommandModule = {
  define: (command) => {
    command.argument('<saveset>', 'its id, or latest:<source> for the newest one of a source');
    command.option('--as <name>', 'make something new of that name; nothing else is touched');
    command.option('--overwrite', 'bring back what was saved, in place; it keeps its identity');
    command.option('--storage <id or name>', 'where the data goes (default: as the provider decides)');
    command.option('--sr <id or name>', 'the same');
    command.option('--to-file <path>', 'only the data, verified, into a new file (or folder); no pool is needed');
    command.option(
      '--disk <disk>',
      'only this disk, by position, name or id: as a new disk, or with --to-file as a file',
    );
    command.option('--attach-to <path>', 'with --disk: what gets the new disk, as vm/NAME (default: nothing)');
    command.option(
      '--format <format>',
      'with --disk and --to-file: raw (default; a sparse file), or what the provider has',
    );
    command.option('--start', 'start it afterwards and check that it runs');
    command.option('--dry-run', 'say what would be done: every disk, interface and setting, step by step');
    addProviderOptions(command);
    addCommonOptions(addClientOptions(command)).addHelpText(
      'after',
      `
Give --as, --overwrite, --disk or --to-file. The bytes are checked against their digests while they flow; damaged data is never
taken. Without --start the result is registered and stays halted (suspended, when its memory was saved).

Options of the provider (-o), the default first:
${optionHelp(RESTORE_OPTIONS)}

Examples:
  xen-backup restore latest:web-1 --as web-1-copy
  xen-backup restore web-1-20260102T030405Z-a1b2c3 --overwrite --dry-run
  xen-backup restore latest:vm/web-1 --overwrite --start
  xen-backup restore latest:web-1 --as web-test -o network.Production=Lab -o ha=drop -o autostart=drop --dry-run
  xen-backup restore latest:web-1 --disk 1 --as "web-1 data of yesterday" --attach-to vm/web-1
  xen-backup restore latest:web-1 --to-file web-1.xva
  xen-backup restore latest:web-1 --to-file root.raw --disk 0       (then: mount -o ro,loop, guestmount, 7z, debugfs)`,
    );
  },
  run: async (context, command) => {
    const { output, signal } = context;
    const [reference] = command.processedArgs as [string];
    const options = command.opts<RestoreOptions>();
    const storage = storageOf(options);
    if (options.toFile !== undefined) return restoreFiles(context, options, reference, options.toFile);
    if (options.format !== undefined) {
      throw requestInvalid('--format belongs to --to-file.', 'Name the file that the disk is to become.');
    }
    const mode = modeOf(options);
    return OpenHost.use(context, options, async (host) => {
      const repository = await host.repository();
      const record = await repository.find(reference);
      const request: RestoreRequest = {
        ...mode,
        options: providerOptions(host.client.restoreOptions, options),
        startAfter: options.start ?? false,
        signal,
        ...(storage === undefined ? {} : { storage }),
      };
      const catalog = await host.catalog();
      const provider = await host.provider();
      refuseOtherProvider(record, provider.id, host.client.name);
      refuseMode(provider, mode.mode);
      const opened = await catalog.restoreHandlers.open(record, host.clientConfig, signal);
      host.onClose('the restore handler', () => opened.close());
      if (options.dryRun === true) {
        const plan = await opened.value.planRestore(request, record);
        output.json({ type: 'plan', plan });
        sayPlan(output, plan);
        return plan.warnings.length > 0 ? EXIT.warnings : EXIT.done;
      }
      const media = await repository.openMedia(record.savesetId);
      const labels = { source: record.source.path, savesetId: record.savesetId };
      const view = viewFor(output, record.source.displayName, labels);
      let warnings = 0;
      const report = await host
        .withLog(
          (line) => {
            view.log(line);
          },
          () =>
            runRestore({
              handler: opened.value,
              media,
              request,
              onEvent: (event) => {
                if (event.type === 'warning') warnings += 1;
                view.onEvent(event);
              },
            }),
        )
        .finally(() => {
          view.close();
        });
      output.line(summaryOf(output, report));
      return warnings + report.warnings.length > 0 ? EXIT.warnings : EXIT.done;
    });
  },
};

/** Data only: no client is asked, and a plugin only for what a disk is. */
async function restoreFiles(
  context: CliContext,
  options: RestoreOptions,
  reference: string,
  path: string,
): Promise<ExitCode> {
  const others = ['as', 'overwrite', 'storage', 'sr', 'start', 'attachTo', 'option', 'taskOption'] as const;
  if (others.some((name) => options[name] !== undefined)) {
    throw requestInvalid(
      '--to-file writes the data to a file and nothing else.',
      'Leave out --as, --overwrite, --storage, --sr, --start, --attach-to and the options of the provider.',
    );
  }
  return OpenHost.use(context, options, async (host) => {
    const repository = await host.repository();
    const order = { repository, record: await repository.find(reference), path };
    const { disk, format = 'raw' } = options;
    if (disk === undefined && options.format !== undefined) {
      throw requestInvalid('--format belongs to --disk.', 'Name a disk, or leave --format out for the data as it is.');
    }
    if (disk !== undefined) {
      const provider = (await host.catalog()).provider(order.record.providerId);
      if (options.dryRun === true) sayDiskPlan(context, { ...order, disk, format });
      else
        context.output.line(summaryOf(context.output, await writeDisk(context, { ...order, provider, disk, format })));
      return EXIT.done;
    }
    if (options.dryRun === true) await sayFilePlan(context, order);
    else context.output.line(summaryOf(context.output, await writeFiles(context, order)));
    return EXIT.done;
  });
}

function storageOf({ storage, sr }: RestoreOptions): string | undefined {
  if (storage === undefined || sr === undefined || storage === sr) return storage ?? sr;
  throw requestInvalid('--storage and --sr name different storages.', 'Give one of them.');
}

function modeOf({
  as: name,
  overwrite,
  disk,
  attachTo,
}: RestoreOptions): Pick<RestoreRequest, 'mode' | 'name' | 'disk' | 'attachTo'> {
  if (disk !== undefined) {
    if (overwrite === true) {
      throw requestInvalid(
        '--disk and --overwrite exclude each other.',
        'To bring some disks back in place, use --overwrite with -o disks=...',
      );
    }
    const named = name === undefined ? {} : { name };
    return { mode: 'disk', disk, ...named, ...(attachTo === undefined ? {} : { attachTo }) };
  }
  if (attachTo !== undefined)
    throw requestInvalid('--attach-to belongs to --disk.', 'Name the disk that it is to get.');
  if (name !== undefined && overwrite === true) {
    throw requestInvalid('--as and --overwrite exclude each other.', 'Overwriting keeps the name; leave --as out.');
  }
  if (name !== undefined) return { mode: 'new', name };
  if (overwrite === true) return { mode: 'overwrite' };
  throw requestInvalid(
    'Say what to do with the saveset.',
    'Give --as NAME for a new object, --overwrite, --disk DISK for one disk, or --to-file PATH for the data only.',
  );
}

function refuseOtherProvider({ providerId, savesetId }: SavesetRecord, ours: string, client: string): void {
  if (providerId === ours) return;
  throw new BackupError(
    'CONFIG_INVALID',
    `${savesetId} was written by ${providerId}; the client ${client} is one of ${ours}.`,
    {
      hint: 'Choose a client of that provider with --client.',
    },
  );
}

function refuseMode({ displayName, capabilities }: BackupSourceProvider, mode: RestoreRequest['mode']): void {
  if (capabilities.restoreModes.includes(mode)) return;
  throw requestInvalid(`${displayName} cannot restore that way.`, `It can: ${capabilities.restoreModes.join(', ')}.`);
}

function summaryOf(output: CliOutput, report: RestoreReport): string {
  const { targetName, targetId, isRunning } = report;
  const facts = [
    ...(targetId === undefined ? [] : [targetId]),
    transferSummary(report),
    ...(isRunning ? ['running'] : []),
  ];
  if (report.isTrialOnly === true) {
    return `${output.paint('yellow', 'nothing was changed:')} ${output.paint('bold', withoutControls(targetName))} was only tried (${facts.join(', ')})`;
  }
  return `${output.paint('green', 'restored')} ${output.paint('bold', withoutControls(targetName))} (${facts.join(', ')})`;
}
