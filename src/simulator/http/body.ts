import { MalformedRequest } from '../wire/malformed-request.js';
import { type RequestHead } from './request-head.js';
import { type SocketIo } from './socket-io.js';

/** The largest body of a call. */
export const MAX_CALL_BYTES = 307_200;

/** The Content-Length; undefined when there is none. Throws MalformedRequest when it is no number. */
export function contentLengthOf(head: RequestHead): number | undefined {
  const text = head.headers.get('content-length');
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new MalformedRequest('Failure("Int64.of_string")');
  return Number(text);
}

/** The whole body of a call. Throws MalformedRequest when it has no length or is too long; undefined when it was cut. */
export async function readCallBody(head: RequestHead, io: SocketIo): Promise<Buffer | undefined> {
  const length = contentLengthOf(head);
  if (length === undefined) throw new MalformedRequest('Failure("We require a content-length: HTTP header")');
  if (length > MAX_CALL_BYTES) throw new MalformedRequest('Http_svr.Client_requested_size_over_limit');
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of bodyOf(io, length)) {
    chunks.push(chunk);
    received += chunk.length;
  }
  return received === length ? Buffer.concat(chunks) : undefined;
}

/** The next `length` bytes of the connection (all that come when undefined), read as they are asked for. */
export async function* bodyOf(io: SocketIo, length: number | undefined): AsyncGenerator<Buffer> {
  let left = length ?? Number.POSITIVE_INFINITY;
  while (left > 0) {
    const chunk = await io.read();
    if (chunk === undefined) return;
    const mine = chunk.length > left ? chunk.subarray(0, left) : chunk;
    io.unread(chunk.subarray(mine.length));
    left -= mine.length;
    yield mine;
  }
}
