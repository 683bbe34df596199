import { type Command, CommanderError } from 'commander';
import { BackupError, isBackupError } from '../../contract/index.js';
import { Redactor } from '../redaction.js';
import { toHostError } from '../to-host-error.js';
import { CliOutput } from './cli-output.js';
import { type CommandModule } from './command-module.js';
import { EXIT, type ExitCode, exitCodeOf } from './exit-code.js';
import { Interrupts } from './interrupts.js';
import { type CliProcess } from './cli-process.js';

/** Runs one command under Ctrl-C, and turns whatever it fails with into words and an exit code. */
export async function runCommand(module: CommandModule, command: Command, around: CliProcess): Promise<ExitCode> {
  const { json = false, debug = false } = command.opts<{ readonly json?: boolean; readonly debug?: boolean }>();
  const redactor = new Redactor();
  const output = outputFor(around, json, debug, redactor);
  const interrupts = new Interrupts(around, output.note, module.isServer !== true);
  const { environment, workingFolder } = around;
  const { signal } = interrupts;
  const code = await module
    .run({ output, redactor, environment, workingFolder, signal }, command)
    .catch((error: unknown) => {
      const known = isCancellation(error, signal) ? cancelled(error) : toHostError(error);
      output.failure(known);
      return exitCodeOf(known.code);
    });
  interrupts.end(code);
  return code;
}

/** A wrong call: what commander found, as a failure like any other. */
export function reportUsageError(error: unknown, args: readonly string[], around: CliProcess): ExitCode {
  const output = outputFor(around, args.includes('--json'), args.includes('--debug'), new Redactor());
  if (!(error instanceof CommanderError)) {
    const known = toHostError(error);
    output.failure(known);
    return exitCodeOf(known.code);
  }
  const isBare = error.code === 'commander.help';
  const message = isBare ? 'A command is missing.' : error.message.replace(/^error: /, '').replace(/\n/g, ' ');
  const hint = 'See "xen-backup --help", or "xen-backup help <command>".';
  output.failure(new BackupError('REQUEST_INVALID', message, { hint }));
  return EXIT.usage;
}

function outputFor(
  { out, err, environment }: CliProcess,
  isJson: boolean,
  isDebug: boolean,
  redactor: Redactor,
): CliOutput {
  return new CliOutput({ out, err, environment, isJson, isDebug, redactor });
}

function isCancellation(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && !isBackupError(error);
}

function cancelled(cause: unknown): BackupError {
  return new BackupError('CANCELLED', 'Cancelled; everything is cleaned up.', { cause });
}
