import { type Command } from 'commander';
import { type CliContext } from './cli-context.js';
import { type ExitCode } from './exit-code.js';

/** One sub-command. Its file is read only when somebody calls it or asks for its help. */
export interface CommandModule {
  /** Adds arguments, options and examples. */
  readonly define: (command: Command) => void;
  /** True for a command that serves until Ctrl-C, which is then its ordinary end. */
  readonly isServer?: boolean;
  /** `command` holds the parsed arguments (`processedArgs`) and options (`opts()`). */
  readonly run: (context: CliContext, command: Command) => Promise<ExitCode>;
}
