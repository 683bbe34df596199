/** The runs of this process. What belongs to one of them is never taken for a leftover. */
export class ActiveRuns {
  readonly #ids = new Map<string, number>();

  /** Enters a run and returns the function that takes it out again. */
  enter(runId: string): () => void {
    this.#ids.set(runId, (this.#ids.get(runId) ?? 0) + 1);
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      const left = (this.#ids.get(runId) ?? 1) - 1;
      if (left > 0) this.#ids.set(runId, left);
      else this.#ids.delete(runId);
    };
  }

  has(runId: string): boolean {
    return this.#ids.has(runId);
  }
}
