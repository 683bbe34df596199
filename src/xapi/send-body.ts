import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { TransportError } from './transport-error.js';

export interface BodyOrder {
  readonly body: Readable;
  /** Exact length; undefined: nobody knows it before the end. */
  readonly bytes: number | undefined;
  /** Told of each piece that was sent, in order, when nobody looks at its memory any more: its length. */
  readonly onLeft: ((bytes: number) => void) | undefined;
  /** From then on the body is still read, as it checks itself at its end, but not sent. */
  readonly stop: AbortSignal;
  /** Longest time that the other end may take nothing. */
  readonly idleTimeoutMs: number;
  /** For people. */
  readonly address: string;
}

/**
 * Reads the body to its end, and sends it as long as there is a point in sending: each piece as it comes, none joined to
 * another, none while the socket is full. When it rejects, the body is paused.
 * @throws {TransportError} `protocol` for another length than announced; `timeout`; whatever the body throws
 */
export async function sendBody(
  socket: Socket,
  { body, bytes, onLeft, stop, idleTimeoutMs, address }: BodyOrder,
): Promise<void> {
  let sentBytes = 0;
  let isFull = false;
  let isOver = false;
  let goOn = (): void => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => {
        body.pause();
        reject(error);
      };
      const onClose = (): void => {
        fail(body.errored ?? new TransportError('interrupted', 'The data to send ended before its end.'));
      };
      goOn = () => {
        isFull = false;
        socket.setTimeout(0);
        if (isOver) resolve();
        else body.resume();
      };
      socket.on('drain', goOn);
      stop.addEventListener('abort', goOn, { once: true });
      socket.once('timeout', () => {
        fail(new TransportError('timeout', `${address} took no data for ${idleTimeoutMs} ms.`, { address }));
      });
      body.once('error', fail);
      body.once('close', onClose);
      body.once('end', () => {
        isOver = true;
        body.off('close', onClose);
        if (!isFull) resolve();
      });
      body.on('data', (part: Buffer | string) => {
        const piece = typeof part === 'string' ? Buffer.from(part) : part;
        sentBytes += piece.length;
        const left = (): void => onLeft?.(piece.length);
        if (bytes !== undefined && sentBytes > bytes) {
          fail(wrongLength(bytes, sentBytes));
        } else if (!stop.aborted && !socket.write(piece, left)) {
          isFull = true;
          body.pause();
          socket.setTimeout(idleTimeoutMs);
        }
      });
      if (body.destroyed) onClose();
      else body.resume();
    });
  } finally {
    socket.off('drain', goOn);
    stop.removeEventListener('abort', goOn);
    socket.setTimeout(0);
  }
  if (bytes !== undefined && sentBytes < bytes) throw wrongLength(bytes, sentBytes);
}

function wrongLength(expected: number, sent: number): TransportError {
  return new TransportError('protocol', `The data to send has ${sent} bytes or more, not the ${expected} announced.`);
}
