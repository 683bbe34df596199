import { BackupError } from '../../contract/index.js';
import { EXIT } from './exit-code.js';
import { type CliProcess } from './cli-process.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The first Ctrl-C cancels and lets everything clean up; the second one leaves at once. */
export class Interrupts {
  readonly #cancelling = new AbortController();

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

  release(): void {
    for (const name of SIGNALS) this.around.signals.off(name, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    if (!this.signal.aborted) {
      if (this.isWork) this.note('Cancelling and cleaning up. Press Ctrl-C again to leave at once.');
      this.#cancelling.abort(new BackupError('CANCELLED', 'Cancelled; everything is cleaned up.'));
      return;
    }
    this.note('Left without cleaning up. Run "xen-backup reconcile" to remove what this run left behind.');
    this.around.exit(EXIT.cancelled);
  };
}
