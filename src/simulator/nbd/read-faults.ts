import { KIB } from '../../common/byte-size.js';
import { type Clock } from '../../common/clock.js';
import { type DiskContent } from '../content/disk-content.js';
import { type FaultAction, StreamShaper } from '../faults.js';
import { ErrorNumber, type NbdRequest, replyHead } from './nbd-protocol.js';
import { type NbdStream } from './nbd-stream.js';

const PIECE_BYTES = 64 * KIB;

/** How the bytes of a read come out: all of them, or the first ones and then nothing, or no connection any more. */
interface Outcome {
  readonly bytes: Buffer;
  readonly end: 'none' | 'stall' | 'cut';
  /** How long these bytes take besides. */
  readonly pauseMs: number;
}

/** The faults of one connection or of one read. Their positions count bytes of the disk, heads not included. */
class FaultScope {
  readonly #actions: readonly FaultAction[];
  readonly #shaper: StreamShaper;
  #positionBytes = 0;

  constructor(actions: readonly FaultAction[]) {
    this.#actions = actions;
    this.#shaper = new StreamShaper(actions);
  }

  get isEmpty(): boolean {
    return this.#actions.length === 0;
  }

  get delayMs(): number {
    return this.#actions.reduce((sum, action) => sum + ('delayMs' in action ? action.delayMs : 0), 0);
  }

  pass(data: Buffer): Outcome {
    const steps = this.#shaper.shape(data);
    const last = steps.at(-1)?.kind ?? 'bytes';
    const pauseMs = Math.max(0, ...this.#actions.map((action) => this.#pauseMs(action, data.length)));
    this.#positionBytes += data.length;
    return {
      bytes: Buffer.concat(steps.flatMap((step) => (step.kind === 'bytes' ? [step.bytes] : []))),
      end: last === 'bytes' ? 'none' : last === 'stall' ? 'stall' : 'cut',
      pauseMs,
    };
  }

  #pauseMs(action: FaultAction, lengthBytes: number): number {
    if (!('bytesPerSecond' in action)) return 0;
    const fromByte = 'atByte' in action && typeof action.atByte === 'number' ? action.atByte : 0;
    return this.#positionBytes + lengthBytes > fromByte ? (1000 * lengthBytes) / action.bytesPerSecond : 0;
  }
}

/** What goes wrong with one read. */
export interface ReadFaults {
  readonly areNone: boolean;
  readonly delayMs: number;
  /** Passes data of the read through all faults. */
  readonly pass: (data: Buffer) => Outcome;
}

/** The faults of the reads of one connection, from those of the connection and those of each read. */
export function readFaultsOf(ofConnection: readonly FaultAction[]): (ofRead: readonly FaultAction[]) => ReadFaults {
  const connection = new FaultScope(ofConnection);
  return (ofRead) => {
    const read = new FaultScope(ofRead);
    return {
      areNone: connection.isEmpty && read.isEmpty,
      delayMs: connection.delayMs + read.delayMs,
      pass: (data) => {
        const first = connection.pass(data);
        const second = read.pass(first.bytes);
        return {
          bytes: second.bytes,
          end: second.end === 'none' ? first.end : second.end,
          pauseMs: first.pauseMs + second.pauseMs,
        };
      },
    };
  };
}

export interface FaultyTransfer {
  readonly stream: NbdStream;
  readonly content: DiskContent;
  readonly clock: Clock;
  /** Aborts when nobody is to wait any more. */
  readonly signal: AbortSignal;
}

/** Answers a read as the faults have it; `over` when the connection has to end with that. */
export async function sendFaulty(job: FaultyTransfer, request: NbdRequest, faults: ReadFaults): Promise<'on' | 'over'> {
  const { stream, content, clock, signal } = job;
  const start = Number(request.offset);
  const end = start + request.lengthBytes;
  let head: Buffer = replyHead(request.handle, ErrorNumber.None);
  for (let from = start; from < end || head.length > 0; from += PIECE_BYTES) {
    const outcome = faults.pass(content.read(from, Math.min(PIECE_BYTES, end - from)));
    const isAll = outcome.end === 'none';
    if (isAll || outcome.bytes.length > 0) await stream.write(Buffer.concat([head, outcome.bytes]));
    head = Buffer.alloc(0);
    if (outcome.end === 'stall') await untilAborted(signal);
    if (!isAll) return 'over';
    if (outcome.pauseMs > 0) await clock.sleep(outcome.pauseMs, signal);
  }
  return 'on';
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else {
      signal.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
    }
  });
}
