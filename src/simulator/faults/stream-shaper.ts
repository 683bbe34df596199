import { SimulatedFailure } from '../simulated-failure.js';
import { ArchiveShaper, isOfArchive } from './archive-shaper.js';
import { type FaultAction } from './fault.js';

/** What a stream of bytes has to do next. */
export type ShapedStep =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** Something happens beside the stream, which goes on. */
  | { readonly kind: 'act'; readonly action: FaultAction }
  | { readonly kind: 'cut' }
  | { readonly kind: 'stall' }
  | { readonly kind: 'end'; readonly task: 'success' | 'failure' }
  | { readonly kind: 'fail'; readonly failure: SimulatedFailure };

interface Mark {
  readonly at: number;
  readonly step: ShapedStep;
}

/** Applies the faults of one transfer to its bytes, by their place in the stream. Pure: the caller does what the steps say. */
export class StreamShaper {
  readonly #actions: readonly FaultAction[];
  readonly #archive: ArchiveShaper | undefined;
  #marks: readonly Mark[];
  #position = 0;

  constructor(actions: readonly FaultAction[]) {
    this.#actions = actions;
    this.#marks = actions.flatMap(marksOf).sort((a, b) => a.at - b.at);
    this.#archive = actions.some(isOfArchive) ? new ArchiveShaper(actions) : undefined;
  }

  /** Steps for the next `bytes`, in order. After `cut`, `stall`, `end` and `fail` there is none. */
  shape(bytes: Uint8Array): readonly ShapedStep[] {
    if (this.#archive === undefined) return this.#place(bytes);
    const shaped = this.#archive.shape(bytes);
    const steps = this.#place(shaped.bytes);
    const isOver = steps.some(({ kind }) => !GOES_ON.has(kind));
    return shaped.end === undefined || isOver ? steps : [...steps, { kind: 'end', task: shaped.end }];
  }

  #place(bytes: Uint8Array): readonly ShapedStep[] {
    const start = this.#position;
    const end = start + bytes.length;
    this.#position = end;
    const data = this.#corrupted(bytes, start, end);
    const due = this.#marks.filter(({ at }) => at < end);
    this.#marks = this.#marks.slice(due.length);
    const steps: ShapedStep[] = [];
    let from = start;
    for (const { at, step } of due) {
      if (at > from) steps.push({ kind: 'bytes', bytes: data.subarray(from - start, at - start) });
      from = Math.max(from, at);
      steps.push(step);
      if (!GOES_ON.has(step.kind)) return steps;
    }
    if (from < end || steps.length === 0) steps.push({ kind: 'bytes', bytes: data.subarray(from - start) });
    return steps;
  }

  #corrupted(bytes: Uint8Array, start: number, end: number): Uint8Array {
    let data = bytes;
    for (const action of this.#actions) {
      if (!('corruptAtByte' in action) || action.corruptAtByte < start || action.corruptAtByte >= end) continue;
      data = Buffer.from(data);
      const index = action.corruptAtByte - start;
      data[index] = (data[index] ?? 0) ^ 1;
    }
    return data;
  }
}

const GOES_ON: ReadonlySet<ShapedStep['kind']> = new Set(['bytes', 'act']);

function marksOf(action: FaultAction): readonly Mark[] {
  if ('cutAtByte' in action) return [{ at: action.cutAtByte, step: { kind: 'cut' } }];
  if ('stall' in action) return [{ at: action.atByte ?? 0, step: { kind: 'stall' } }];
  if ('truncateAtByte' in action) return [{ at: action.truncateAtByte, step: { kind: 'end', task: action.task } }];
  if ('bodyError' in action) {
    const [code, ...params] = action.bodyError;
    return [{ at: action.atByte, step: { kind: 'fail', failure: new SimulatedFailure(code, params) } }];
  }
  const isAct = 'kill' in action || 'fillStorage' in action || 'expireSession' in action;
  return isAct && action.atByte !== undefined ? [{ at: action.atByte, step: { kind: 'act', action } }] : [];
}
