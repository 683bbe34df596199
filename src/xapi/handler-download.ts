import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { type buildConnector } from 'undici';
import { withDeadline } from '../common/abort.js';
import { type Clock } from '../common/clock.js';
import { AnswerReader } from './answer-reader.js';
import { type AnswerHead, refusalError, requestTarget } from './handler-answer.js';
import {
  betterReason,
  type HandlerLimits,
  type HandlerRequest,
  VERDICT_GRACE_MS,
  verdictWithin,
} from './handler-request.js';
import { type Endpoint, endpointAddress, openSocket, urlHost } from './tls-trust.js';
import { TransportError } from './transport-error.js';
import { isXapiError } from './xapi-error.js';

interface Answer {
  readonly head: AnswerHead;
  readonly reader: AnswerReader;
  readonly socket: Socket;
}

/**
 * GET of XAPI's handlers, on a trusted socket of its own that becomes the body. XAPI's answers need no more than that:
 * no length, no chunks, the end is the end of the connection. The HTTP libraries cost half of the throughput (measured:
 * 2.2 GiB/s against 1.3 to 1.9), and undici 6.29 has been seen to end the process when a body without a length ended while
 * its reader held it back.
 */
export class HandlerDownload {
  readonly #connect: buildConnector.connector;
  readonly #limits: HandlerLimits;
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();

  constructor(connect: buildConnector.connector, limits: HandlerLimits, clock: Clock) {
    this.#connect = connect;
    this.#limits = limits;
    this.#clock = clock;
  }

  /**
   * Resolves with the body as soon as the status is 200, and follows one redirect. Whether the body is whole, only its
   * format and the task can tell. It errors on silence longer than the limit, and when the signal aborts.
   * @throws {XapiError} from the refusing page or from the task, also when the connection closed without an answer
   * @throws {TransportError}
   */
  async download(endpoint: Endpoint, request: HandlerRequest): Promise<Readable> {
    const answer = await this.#ask(endpoint, request);
    if (answer.head.status !== 302) return await this.#bodyOf(answer, request, endpoint);
    // Some redirects keep their connection open: never wait for its end.
    answer.socket.destroy();
    const member = await request.redirect(answer.head.headers.get('location') ?? '');
    const second = await this.#ask(member, request);
    if (second.head.status !== 302) return await this.#bodyOf(second, request, member);
    second.socket.destroy();
    throw new TransportError('protocol', `${endpointAddress(member)} redirects again.`);
  }

  /** Ends what still runs. */
  release(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #ask(endpoint: Endpoint, { path, query, signal, verdict }: HandlerRequest): Promise<Answer> {
    const { firstByteTimeoutMs } = this.#limits;
    const address = endpointAddress(endpoint);
    const failed = new AbortController();
    const onFailure = (error: unknown): void => {
      failed.abort(error);
    };
    // Before the answer, a failed task is the answer. Afterwards the body's reader compares for itself.
    verdict.catch(onFailure);
    const waiting = AbortSignal.any([signal, failed.signal]);
    const onTimeout = (): Error =>
      new TransportError('timeout', `${address} did not answer a transfer in ${firstByteTimeoutMs} ms.`, { address });
    const socket = await openSocket(this.#connect, endpoint, waiting);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    try {
      const reader = new AnswerReader(socket, address, true);
      // HTTP/1.0, so that nothing in between may send chunks.
      socket.write(
        `GET ${requestTarget(path, query)} HTTP/1.0\r\nHost: ${urlHost(endpoint.host)}:${endpoint.port}\r\n\r\n`,
      );
      const head = await withDeadline([waiting], firstByteTimeoutMs, onTimeout, (limited) => reader.head(limited));
      return { head, reader, socket };
    } catch (error) {
      socket.destroy();
      if (!(error instanceof TransportError) || error.kind !== 'interrupted') throw error;
      // XAPI closes the connection of some requests without a word and tells only the task.
      throw betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), error);
    }
  }

  async #bodyOf({ head, reader, socket }: Answer, request: HandlerRequest, endpoint: Endpoint): Promise<Readable> {
    const { signal, verdict } = request;
    if (head.status === 200) {
      limitSilence(socket, endpointAddress(endpoint), this.#limits, signal);
      return reader.body();
    }
    const seen = refusalError(head.status, await reader.page());
    socket.destroy();
    // Without a session no task is touched: nothing to wait for.
    if (isXapiError(seen) || head.status === 401) throw seen;
    throw betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), seen);
  }
}

/**
 * Ends a body on silence, but not while its reader holds it back, and with the signal. A pool may think for long after its
 * 200 and before the first byte: that wait has the limit of an answer.
 */
function limitSilence(
  socket: Socket,
  address: string,
  { firstByteTimeoutMs, idleTimeoutMs }: HandlerLimits,
  signal: AbortSignal,
): void {
  let limitMs = firstByteTimeoutMs;
  socket.setTimeout(limitMs);
  // Told of it by whoever reads; listening alone does not set a paused stream going.
  socket.once('data', () => {
    limitMs = idleTimeoutMs;
    socket.setTimeout(limitMs);
  });
  socket.on('timeout', () => {
    if (socket.readableLength > 0) {
      socket.setTimeout(limitMs);
      return;
    }
    socket.destroy(new TransportError('timeout', `${address} sent nothing for ${limitMs} ms.`, { address }));
  });
  const onAbort = (): void => {
    socket.destroy(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('close', () => {
    signal.removeEventListener('abort', onAbort);
  });
  if (signal.aborted) onAbort();
}
