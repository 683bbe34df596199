/** Texts that are made up anew in every pool: references, uuids, MAC addresses. */
const TOKEN =
  /OpaqueRef:[0-9a-f-]{36}|DummyRef:\|[0-9a-f-]{36}\||[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b/g;

/** Which made-up text of the capture stands for which of the simulated pool. */
export class Binding {
  readonly #bound = new Map<string, string>();

  set(captured: string, simulated: string): void {
    this.#bound.set(captured, simulated);
  }

  isBound(captured: string): boolean {
    return this.#bound.has(captured);
  }

  /** The captured text in the words of the simulated pool; what is not bound yet stays. */
  translate(captured: string): string {
    return captured.replace(TOKEN, (token) => this.#bound.get(token) ?? token);
  }

  /** Translates, and takes what is new in `captured` for what stands at its place in `simulated`. */
  meet(captured: string, simulated: string): string {
    const theirs = captured.match(TOKEN) ?? [];
    const ours = simulated.match(TOKEN) ?? [];
    if (captured.replace(TOKEN, '') === simulated.replace(TOKEN, '') && theirs.length === ours.length) {
      for (const [index, token] of theirs.entries()) {
        const other = ours[index] ?? '';
        if (!this.#bound.has(token) && kindOf(token) === kindOf(other)) this.set(token, other);
      }
    }
    return this.translate(captured);
  }

  /** Everything in a JSON value, keys included, in the words of the simulated pool. */
  translateAll<T>(value: T): T {
    return JSON.parse(this.translate(JSON.stringify(value))) as T;
  }
}

function kindOf(token: string): string {
  return token.replace(/[0-9a-f]{2,}/g, 'x');
}
