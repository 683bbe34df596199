import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../common/package-root.js';
import { type CliProcess } from './cli-process.js';
import { type CommandModule } from './command-module.js';
import { COMMANDS } from './command-table.js';
import { type ExitCode } from './exit-code.js';

const EPILOGUE = `
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done with warnings, 130 cancelled.

Try it without a server:
  xen-backup simulate
`;

/**
 * Runs the command line and gives its exit code. The module of a sub-command is loaded only when it is the one that was
 * called, so that --version and the list of commands come at once.
 */
export async function runCli(args: readonly string[], around: CliProcess): Promise<ExitCode> {
  // A reader that goes away (`| head`) must not stop a backup half-way.
  around.out.on('error', () => undefined);
  let result: ExitCode = 0;
  try {
    const wanted = args[0] === 'help' ? args[1] : args[0];
    const program = await buildProgram(wanted, around, async (module, command) => {
      result = await launch(module, command, around);
    });
    await program.parseAsync([...args], { from: 'user' });
    return result;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return fail(error, args, around);
  }
}

async function buildProgram(
  wanted: string | undefined,
  around: CliProcess,
  launchCommand: (module: CommandModule, command: Command) => Promise<void>,
): Promise<Command> {
  const program = new Command('xen-backup')
    .description('Agentless backup and restore of Citrix XenServer and XCP-ng pools.')
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => around.out.write(text),
      // Usage errors are reported like every other failure.
      writeErr: () => undefined,
    })
    .addHelpText('after', EPILOGUE);
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).summary(summary).description(`${summary}.`).copyInheritedSettings(program);
    if (name !== wanted) continue;
    const module = await load();
    module.define(command);
    command.action(async () => launchCommand(module, command));
  }
  return program;
}

async function launch(module: CommandModule, command: Command, around: CliProcess): Promise<ExitCode> {
  const { runCommand } = await import('./run-command.js');
  return runCommand(module, command, around);
}

async function fail(error: unknown, args: readonly string[], around: CliProcess): Promise<ExitCode> {
  const { reportUsageError } = await import('./run-command.js');
  return reportUsageError(error, args, around);
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string };
  return version;
}
