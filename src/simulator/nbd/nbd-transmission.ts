import { KIB } from '../../common/byte-size.js';
import { type Clock } from '../../common/clock.js';
import { type DiskContent } from '../content/disk-content.js';
import { FrameRing } from '../xva/frame-ring.js';
import {
  Command,
  ErrorNumber,
  type NbdRequest,
  parseRequest,
  REPLY_BYTES,
  replyHead,
  REQUEST_BYTES,
  SECTOR_BYTES,
  writeReplyHead,
} from './nbd-protocol.js';
import { type NbdStream } from './nbd-stream.js';
import { type ReadFaults, sendFaulty } from './read-faults.js';
import { RequestQueue } from './request-queue.js';

/** Disk bytes that are read and sent in one go. */
const PIECE_BYTES = 256 * KIB;
const MAX_REQUESTS_AHEAD = 256;

export interface Transmission {
  readonly stream: NbdStream;
  readonly content: DiskContent;
  readonly clock: Clock;
  /** How long an answer is on its way, besides the time it takes to make. */
  readonly latencyMs: () => number;
  /** What goes wrong with the next read; counts it. */
  readonly nextRead: () => ReadFaults;
  /** Aborts when nobody is to wait any more. */
  readonly signal: AbortSignal;
}

/**
 * Answers the requests of a client, in order, until it disconnects or errs: the first error ends a connection. Rejects
 * when the client is gone.
 */
export async function transmit(job: Transmission): Promise<void> {
  const queue = new RequestQueue(MAX_REQUESTS_AHEAD);
  const reading = readRequests(job, queue).finally(() => {
    queue.end();
  });
  try {
    await answerRequests(job, queue);
  } finally {
    queue.end();
    // The reader ends with the connection, or found out first that it is over.
    reading.catch(() => undefined);
  }
}

async function readRequests({ stream, clock }: Transmission, queue: RequestQueue): Promise<void> {
  for (;;) {
    const bytes = await stream.take(REQUEST_BYTES);
    const request = bytes && parseRequest(bytes);
    if (request === undefined || request.command === Command.Disconnect) return;
    if (!(await queue.push({ request, atMs: clock.nowMs() }))) return;
    if (request.command !== Command.Read) return;
  }
}

async function answerRequests(job: Transmission, queue: RequestQueue): Promise<void> {
  const { stream, content, clock, signal } = job;
  const ring = new FrameRing(REPLY_BYTES + PIECE_BYTES, (bytes) => stream.write(bytes));
  for (let arrived = await queue.next(); arrived !== undefined; arrived = await queue.next()) {
    const { request, atMs } = arrived;
    const error = errorOf(request);
    const faults = job.nextRead();
    const waitMs = atMs + job.latencyMs() + faults.delayMs - clock.nowMs();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    const isInside = request.offset + BigInt(request.lengthBytes) <= BigInt(content.sizeBytes);
    if (error !== ErrorNumber.None || !isInside) {
      await ring.flush();
      await stream.write(replyHead(request.handle, error));
      return;
    }
    if (faults.areNone) {
      await sendData(ring, content, request);
    } else {
      await ring.flush();
      if ((await sendFaulty(job, request, faults)) === 'over') return;
    }
  }
  await ring.flush();
}

async function sendData(ring: FrameRing, content: DiskContent, request: NbdRequest): Promise<void> {
  let position = Number(request.offset);
  const end = position + request.lengthBytes;
  let headBytes = REPLY_BYTES;
  do {
    const frame = await ring.next();
    if (headBytes > 0) writeReplyHead(frame.bytes, request.handle, ErrorNumber.None);
    const take = Math.min(PIECE_BYTES, end - position);
    content.readInto(frame.bytes.subarray(headBytes, headBytes + take), position);
    ring.send(frame, headBytes + take);
    position += take;
    headBytes = 0;
  } while (position < end);
}

function errorOf({ command, flags, offset, lengthBytes }: NbdRequest): ErrorNumber {
  if (command === Command.Write && flags === 0) return ErrorNumber.NotPermitted;
  if (command !== Command.Read || flags !== 0) return ErrorNumber.Invalid;
  const isAligned = offset % BigInt(SECTOR_BYTES) === 0n && lengthBytes % SECTOR_BYTES === 0;
  return isAligned ? ErrorNumber.None : ErrorNumber.Invalid;
}
