/** One failed release: what was being released, and why it did not work. */
export interface CleanupFailure {
  readonly what: string;
  readonly cause: unknown;
}

/**
 * Releases what was acquired, newest first. Register the release in the line after the acquisition. Running it
 * twice releases once; a failing release never stops the others, its failure is returned instead.
 */
export class CleanupStack {
  readonly #entries: { what: string; release: () => unknown }[] = [];

  /** Registers a release and returns a function that forgets it (when the resource was handed on or is gone). */
  add(what: string, release: () => unknown): () => void {
    const entry = { what, release };
    this.#entries.push(entry);
    return () => {
      const index = this.#entries.indexOf(entry);
      if (index >= 0) this.#entries.splice(index, 1);
    };
  }

  /**
   * Releases everything, newest first, one after the other. Never rejects. When `limit` resolves, what is not released yet
   * has failed with the reason it gives, and nothing more is begun: each release may rely on the ones before it.
   */
  async run(limit?: Promise<Error>): Promise<readonly CleanupFailure[]> {
    const failures: CleanupFailure[] = [];
    const reached: { reason?: Error } = {};
    const over = limit?.then((reason) => {
      reached.reason = reason;
      throw reason;
    });
    over?.catch(() => undefined);
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      try {
        if (reached.reason !== undefined) throw reached.reason;
        const { release } = entry;
        const released = (async () => {
          await release();
        })();
        await (over === undefined ? released : Promise.race([released, over]));
      } catch (cause) {
        failures.push({ what: entry.what, cause });
      }
    }
    return failures;
  }
}
