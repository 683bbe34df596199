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

  /** Releases everything, newest first, one after the other. Never rejects. */
  async run(): Promise<readonly CleanupFailure[]> {
    const failures: CleanupFailure[] = [];
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      try {
        await entry.release();
      } catch (cause) {
        failures.push({ what: entry.what, cause });
      }
    }
    return failures;
  }
}
