import { type Fault, type FaultAction, type FaultMatch } from './fault.js';

/** A fault that waits for its turn, and what it has done so far. */
export interface PlannedFault {
  /** Tells it from the others; from 1. */
  readonly id: number;
  readonly fault: Fault;
  /** How many calls or transfers it matched, and how many of them it hit. */
  readonly seen: number;
  readonly hits: number;
}

interface Entry {
  readonly id: number;
  readonly fault: Fault;
  seen: number;
  hits: number;
  firstHitMs: number | undefined;
}

/** The faults of a pool, with a count of what matched so far. */
export class FaultPlan {
  readonly #entries: Entry[] = [];
  readonly #nowMs: () => number;
  #lastId = 0;

  /** `nowMs` is the clock that `forMs` goes by. */
  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  /** Adds a fault; the returned function takes it away. */
  add(fault: Fault): () => void {
    const id = this.plan(fault);
    return () => {
      this.remove(id);
    };
  }

  /** Adds a fault and returns its id. */
  plan(fault: Fault): number {
    this.#lastId += 1;
    this.#entries.push({ id: this.#lastId, fault, seen: 0, hits: 0, firstHitMs: undefined });
    return this.#lastId;
  }

  /** False when there is none with that id. */
  remove(id: number): boolean {
    const index = this.#entries.findIndex((entry) => entry.id === id);
    if (index >= 0) this.#entries.splice(index, 1);
    return index >= 0;
  }

  /** In the order in which they were added. */
  list(): readonly PlannedFault[] {
    return this.#entries.map(({ id, fault, seen, hits }) => ({ id, fault, seen, hits }));
  }

  /** The actions for a call; counts it. */
  forCall(call: string): readonly FaultAction[] {
    const name = call.replace(/^Async\./, '');
    return this.#hit((match) => match.call !== undefined && isLike(name, match.call.replace(/^Async\./, '')));
  }

  /** The actions for a transfer; counts it. */
  forTransfer(method: string, path: string): readonly FaultAction[] {
    const bare = path.replace(/\/+$/, '');
    return this.#hit(
      (match) =>
        match.path !== undefined && isLike(bare, match.path) && (match.method === undefined || match.method === method),
    );
  }

  /** The actions for a new NBD connection, or for a read over one; counts it. */
  forNbd(what: 'connection' | 'read'): readonly FaultAction[] {
    return this.#hit((match) => match.nbd === what);
  }

  #hit(matches: (match: FaultMatch) => boolean): readonly FaultAction[] {
    const actions: FaultAction[] = [];
    for (const entry of this.#entries) {
      if (!matches(entry.fault.match)) continue;
      entry.seen += 1;
      if (!this.#isTurn(entry)) continue;
      entry.hits += 1;
      entry.firstHitMs ??= this.#nowMs();
      actions.push(entry.fault.action);
    }
    return actions;
  }

  #isTurn({ fault, seen, hits, firstHitMs }: Entry): boolean {
    const { occurrence, times, forMs } = fault;
    const most = times ?? (occurrence === undefined || forMs !== undefined ? Number.POSITIVE_INFINITY : 1);
    if (seen < (occurrence ?? 1) || hits >= most) return false;
    return forMs === undefined || firstHitMs === undefined || this.#nowMs() < firstHitMs + forMs;
  }
}

/** `*` is any text, `?` one character. */
function isLike(text: string, pattern: string): boolean {
  if (!/[*?]/.test(pattern)) return text === pattern;
  const expression = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`).test(text);
}
