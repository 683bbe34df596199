import { type TextStream } from './cli-output.js';

/** The process around the command line. */
export interface CliProcess {
  readonly out: TextStream;
  readonly err: TextStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
  /** Says SIGINT and SIGTERM. */
  readonly signals: NodeJS.EventEmitter;
  /** Leaves at once; only after a second Ctrl-C. */
  readonly exit: (code: number) => void;
}
