import { type CliOutput } from './cli-output.js';
import { type Redactor } from '../redaction.js';

/** What a command works in: nothing is taken from the process itself. */
export interface CliContext {
  readonly output: CliOutput;
  readonly redactor: Redactor;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
  /** Aborts with CANCELLED at the first Ctrl-C. */
  readonly signal: AbortSignal;
}
