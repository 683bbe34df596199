interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

const WINDOW_MS = 10_000;

/** Speed over the last ten seconds, from the samples that progress events carry. */
export class RateMeter {
  readonly #samples: Sample[] = [];

  add(atMs: number, doneBytes: number): void {
    this.#samples.push({ atMs, doneBytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[0]?.atMs ?? atMs) > WINDOW_MS) this.#samples.shift();
  }

  /** Undefined until two samples lie apart. */
  get bytesPerSecond(): number | undefined {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
    return ((last.doneBytes - first.doneBytes) * 1000) / (last.atMs - first.atMs);
  }

  /** Time left at this speed; undefined when speed or end are not known. */
  leftMs(expectedBytes: number | undefined): number | undefined {
    const rate = this.bytesPerSecond;
    const done = this.#samples.at(-1)?.doneBytes ?? 0;
    if (expectedBytes === undefined || rate === undefined || rate <= 0) return undefined;
    return (Math.max(0, expectedBytes - done) * 1000) / rate;
  }
}
