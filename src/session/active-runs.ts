/** The runs of this process. What belongs to one of them is never taken for a leftover. */
export class ActiveRuns {
  readonly #ids = new Map<string, number>();
  readonly #ended = new Set<string>();

  /** Enters a run and returns the function that takes it out again. */
  enter(runId: string): () => void {
    this.#ids.set(runId, (this.#ids.get(runId) ?? 0) + 1);
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      const left = (this.#ids.get(runId) ?? 1) - 1;
      if (left > 0) this.#ids.set(runId, left);
      else {
        this.#ids.delete(runId);
        this.#ended.add(runId);
      }
    };
  }

  /** `running` here, `ended` here, or `unknown`: then only its marks tell. */
  stateOf(runId: string): 'running' | 'ended' | 'unknown' {
    if (this.#ids.has(runId)) return 'running';
    return this.#ended.has(runId) ? 'ended' : 'unknown';
  }
}
