import { SimulatedFailure } from './simulated-failure.js';

/** Which calls or transfers a fault hits. `path` is compared with the request's path without a trailing slash. */
export interface FaultMatch {
  /** An API call, such as `VM.snapshot` (with or without `Async.`). */
  readonly call?: string;
  /** A transfer, such as `/export`. */
  readonly path?: string;
  readonly method?: string;
  /** A connection to a host's NBD server, or a read over one. */
  readonly nbd?: 'connection' | 'read';
}

export type FaultAction =
  /** The call or the transfer fails with this code and these parameters. */
  | { readonly failWith: readonly [code: string, ...params: string[]] }
  /** The connection is cut after so many bytes of body, sent or received. */
  | { readonly cutAtByte: number }
  /** One bit of this byte of the body is flipped. */
  | { readonly corruptAtByte: number }
  /** Nothing more is sent or read, from this byte on (0 when absent), until the client gives up. */
  | { readonly stall: true; readonly atByte?: number }
  /** The answer ends cleanly after so many bytes, and its task tells success or failure. */
  | { readonly truncateAtByte: number; readonly task: 'success' | 'failure' }
  /** After so many bytes an error page follows inside the body, and the task fails. */
  | { readonly bodyError: readonly [code: string, ...params: string[]]; readonly atByte: number }
  /** The transfer or the call is answered with this HTTP status and nothing else. */
  | { readonly httpStatus: number }
  /** An NBD connection is closed without a greeting. */
  | { readonly refuse: true }
  /** An NBD connection is secured with a certificate that is not the host's. */
  | { readonly wrongCertificate: true }
  /** So much longer than it takes anyway: an NBD read, or each one of a connection. */
  | { readonly delayMs: number }
  /** No faster than this: the data of an NBD read, or of each one of a connection. */
  | { readonly bytesPerSecond: number };

/** Something that goes wrong, as data. */
export interface Fault {
  readonly match: FaultMatch;
  /** The how many-th match is hit, from 1; every match when absent. */
  readonly occurrence?: number;
  readonly action: FaultAction;
}

/** The faults of a pool, with a count of what matched so far. */
export class FaultPlan {
  readonly #entries: { readonly fault: Fault; seen: number }[] = [];

  /** Adds a fault; the returned function takes it away. */
  add(fault: Fault): () => void {
    const entry = { fault, seen: 0 };
    this.#entries.push(entry);
    return () => {
      const index = this.#entries.indexOf(entry);
      if (index >= 0) this.#entries.splice(index, 1);
    };
  }

  /** The actions for a call; counts it. */
  forCall(call: string): readonly FaultAction[] {
    const name = call.replace(/^Async\./, '');
    return this.#hit((match) => match.call?.replace(/^Async\./, '') === name);
  }

  /** The actions for a transfer; counts it. */
  forTransfer(method: string, path: string): readonly FaultAction[] {
    const bare = path.replace(/\/+$/, '');
    return this.#hit(
      (match) =>
        match.path === bare && (match.method === undefined || match.method === method) && match.call === undefined,
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
      if (entry.fault.occurrence === undefined || entry.fault.occurrence === entry.seen)
        actions.push(entry.fault.action);
    }
    return actions;
  }
}

/** What a stream of bytes has to do next. */
export type ShapedStep =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'cut' }
  | { readonly kind: 'stall' }
  | { readonly kind: 'end'; readonly task: 'success' | 'failure' }
  | { readonly kind: 'fail'; readonly failure: SimulatedFailure };

/** Applies the faults of one transfer to its bytes, by their place in the stream. Pure: the caller does what the steps say. */
export class StreamShaper {
  readonly #actions: readonly FaultAction[];
  #position = 0;

  constructor(actions: readonly FaultAction[]) {
    this.#actions = actions;
  }

  /** Steps for the next `bytes`, in order. A step other than `bytes` is the last. */
  shape(bytes: Uint8Array): readonly ShapedStep[] {
    const start = this.#position;
    const end = start + bytes.length;
    this.#position = end;
    let data = bytes;
    let stop: { readonly at: number; readonly step: ShapedStep } | undefined;
    for (const action of this.#actions) {
      const found = stopOf(action);
      if (found !== undefined && found.at < end && (stop === undefined || found.at < stop.at)) stop = found;
      if ('corruptAtByte' in action && action.corruptAtByte >= start && action.corruptAtByte < end) {
        data = Buffer.from(data);
        const index = action.corruptAtByte - start;
        data[index] = (data[index] ?? 0) ^ 1;
      }
    }
    if (stop === undefined) return [{ kind: 'bytes', bytes: data }];
    const kept = data.subarray(0, Math.max(0, stop.at - start));
    return kept.length > 0 ? [{ kind: 'bytes', bytes: kept }, stop.step] : [stop.step];
  }
}

function stopOf(action: FaultAction): { readonly at: number; readonly step: ShapedStep } | undefined {
  if ('cutAtByte' in action) return { at: action.cutAtByte, step: { kind: 'cut' } };
  if ('stall' in action) return { at: action.atByte ?? 0, step: { kind: 'stall' } };
  if ('truncateAtByte' in action) return { at: action.truncateAtByte, step: { kind: 'end', task: action.task } };
  if ('bodyError' in action) {
    const [code, ...params] = action.bodyError;
    return { at: action.atByte, step: { kind: 'fail', failure: new SimulatedFailure(code, params) } };
  }
  return undefined;
}
