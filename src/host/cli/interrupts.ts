import { BackupError } from '../../contract/index.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { type CliProcess } from './cli-process.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * The first Ctrl-C cancels and lets everything clean up; the second one leaves at once. One that comes after the end of
 * the work changes nothing about how it ended.
 */
export class Interrupts {
  readonly #cancelling = new AbortController();
  #ended: ExitCode | undefined;

  constructor(
    private readonly around: Pick<CliProcess, 'signals' | 'exit'>,
    private readonly note: (text: string) => void,
    /** False for a command that only runs until it is told to end: there is nothing to explain. */
    private readonly isWork = true,
  ) {
    for (const name of SIGNALS) this.around.signals.on(name, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#cancelling.signal;
  }

  /** The work is over; what is still closing is all that a signal can end from now on. */
  end(code: ExitCode): void {
    this.#ended = code;
  }

  readonly #onSignal = (): void => {
    if (this.#ended !== undefined) {
      this.around.exit(this.#ended);
      return;
    }
    if (!this.signal.aborted) {
      if (this.isWork) this.note('Cancelling and cleaning up. Press Ctrl-C again to leave at once.');
      this.#cancelling.abort(new BackupError('CANCELLED', 'Cancelled; everything is cleaned up.'));
      return;
    }
    this.note('Left without cleaning up. Run "xen-backup reconcile" to remove what this run left behind.');
    this.around.exit(EXIT.cancelled);
  };
}
