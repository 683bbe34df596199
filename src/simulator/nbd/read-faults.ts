import { KIB } from '../../common/byte-size.js';
import { type Clock } from '../../common/clock.js';
import { type DiskContent } from '../content/disk-content.js';
import { type FaultAction, StreamShaper } from '../faults.js';
import { ErrorNumber, type NbdRequest, replyHead } from './nbd-protocol.js';
import { type NbdStream } from './nbd-stream.js';

const PIECE_BYTES = 64 * KIB;

/** What goes wrong with one read. */
export interface ReadFaults {
  readonly areNone: boolean;
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  /** Of the whole connection, then of this read alone. Their positions count bytes of the disk, heads not included. */
  readonly shapers: readonly StreamShaper[];
}

export interface FaultyTransfer {
  readonly stream: NbdStream;
  readonly content: DiskContent;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The faults of the reads of one connection, from those of the connection and those of each read. */
export function readFaultsOf(ofConnection: readonly FaultAction[]): (ofRead: readonly FaultAction[]) => ReadFaults {
  const whole = ofConnection.length === 0 ? [] : [new StreamShaper(ofConnection)];
  return (ofRead) => {
    const all = [...ofConnection, ...ofRead];
    return {
      areNone: all.length === 0,
      delayMs: all.reduce((sum, action) => sum + ('delayMs' in action ? action.delayMs : 0), 0),
      bytesPerSecond: Math.min(...all.map((action) => ('bytesPerSecond' in action ? action.bytesPerSecond : Infinity))),
      shapers: ofRead.length === 0 ? whole : [...whole, new StreamShaper(ofRead)],
    };
  };
}

/** Answers a read as the faults have it; `over` when the connection has to end with that. */
export async function sendFaulty(job: FaultyTransfer, request: NbdRequest, faults: ReadFaults): Promise<'on' | 'over'> {
  const { stream, content, clock, signal } = job;
  const start = Number(request.offset);
  const end = start + request.lengthBytes;
  let head: Buffer | undefined = replyHead(request.handle, ErrorNumber.None);
  for (let from = start; from < end || head !== undefined; from += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, end - from);
    const shaped = shape(faults.shapers, content.read(from, length));
    const bytes: Buffer = head === undefined ? shaped.bytes : Buffer.concat([head, shaped.bytes]);
    const isWithheld = head !== undefined && shaped.bytes.length === 0 && shaped.end !== 'none';
    if (!isWithheld) await stream.write(bytes);
    head = undefined;
    if (shaped.end === 'stall') await untilAborted(signal);
    if (shaped.end !== 'none') return 'over';
    if (faults.bytesPerSecond !== Infinity) await clock.sleep((1000 * length) / faults.bytesPerSecond, signal);
  }
  return 'on';
}

function shape(
  shapers: readonly StreamShaper[],
  data: Buffer,
): { readonly bytes: Buffer; readonly end: 'none' | 'stall' | 'cut' } {
  let bytes = data;
  let end: 'none' | 'stall' | 'cut' = 'none';
  for (const shaper of shapers) {
    const steps = shaper.shape(bytes);
    bytes = Buffer.concat(steps.flatMap((step) => (step.kind === 'bytes' ? [step.bytes] : [])));
    const last = steps.at(-1);
    if (last !== undefined && last.kind !== 'bytes') end = last.kind === 'stall' ? 'stall' : 'cut';
  }
  return { bytes, end };
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
