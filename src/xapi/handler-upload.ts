import { once } from 'node:events';
import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { type buildConnector } from 'undici';
import { withDeadline } from '../common/abort.js';
import { type Clock } from '../common/clock.js';
import { AnswerReader } from './answer-reader.js';
import { isErrorAnswer, refusalError, requestTarget } from './handler-answer.js';
import {
  betterReason,
  type HandlerLimits,
  type HandlerRequest,
  VERDICT_GRACE_MS,
  type Verdict,
  verdictWithin,
} from './handler-request.js';
import { sendBody } from './send-body.js';
import { type Endpoint, endpointAddress, openSocket, urlHost } from './tls-trust.js';
import { TransportError } from './transport-error.js';
import { isXapiError } from './xapi-error.js';

export interface UploadRequest extends HandlerRequest {
  readonly body: Readable;
  /** Exact length of the body; undefined: the handler reads until its format says that it is whole. */
  readonly bytes: number | undefined;
  /** Told of each piece of the body that was sent, in order, when nobody looks at its memory any more: its length. */
  readonly onLeft?: ((bytes: number) => void) | undefined;
}

/**
 * PUT to XAPI's handlers, as XAPI's own client does it: the head alone first, then the status line, which comes before
 * any of the body is read (200 or 302), then the body. Done by hand on a trusted socket: HTTP libraries send the body at
 * once, and take a finished answer for the end of the request. Chunked bodies are refused by XAPI and never sent.
 */
export class HandlerUpload {
  readonly #connect: buildConnector.connector;
  readonly #limits: HandlerLimits;
  readonly #clock: Clock;

  constructor(connect: buildConnector.connector, limits: HandlerLimits, clock: Clock) {
    this.#connect = connect;
    this.#limits = limits;
    this.#clock = clock;
  }

  /**
   * Sends the body and resolves with the task's raw result. The task alone decides: a connection that ends after the
   * archive was whole is no failure when the task succeeded.
   * @throws {XapiError} from the refusing page, from an error page while sending, or from the task
   * @throws {TransportError}; whatever the body throws
   */
  async upload(endpoint: Endpoint, request: UploadRequest): Promise<string> {
    const { socket, answer } = await this.#begin(endpoint, request, false);
    try {
      return await this.#deliver(socket, answer, request, endpointAddress(endpoint));
    } finally {
      socket.destroy();
    }
  }

  async #begin(
    endpoint: Endpoint,
    request: UploadRequest,
    isRedirected: boolean,
  ): Promise<{ socket: Socket; answer: AnswerReader }> {
    const { signal, verdict } = request;
    const socket = await openSocket(this.#connect, endpoint, signal);
    try {
      const answer = new AnswerReader(socket, endpointAddress(endpoint));
      socket.write(requestHead(endpoint, request));
      const head = await this.#firstAnswer(answer, request, endpoint);
      if (head.status === 200) return { socket, answer };
      if (head.status !== 302) {
        const seen = refusalError(head.status, await answer.page());
        if (isXapiError(seen) || head.status === 401) throw seen;
        throw betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), seen);
      }
      if (isRedirected) throw new TransportError('protocol', `${endpointAddress(endpoint)} redirects again.`);
      socket.destroy();
      return await this.#begin(await request.redirect(head.headers.get('location') ?? ''), request, true);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  async #firstAnswer(
    answer: AnswerReader,
    { signal, verdict }: UploadRequest,
    endpoint: Endpoint,
  ): ReturnType<AnswerReader['head']> {
    const { firstByteTimeoutMs } = this.#limits;
    const onTimeout = (): Error =>
      new TransportError(
        'timeout',
        `${endpointAddress(endpoint)} did not answer a transfer in ${firstByteTimeoutMs} ms.`,
      );
    try {
      return await withDeadline([signal], firstByteTimeoutMs, onTimeout, (limited) =>
        Promise.race([answer.head(limited), failureOf(verdict)]),
      );
    } catch (error) {
      if (!(error instanceof TransportError) || error.kind !== 'interrupted') throw error;
      throw betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), error);
    }
  }

  async #deliver(socket: Socket, answer: AnswerReader, request: UploadRequest, address: string): Promise<string> {
    const { verdict, signal, body, bytes, onLeft } = request;
    const stop = new AbortController();
    const over = new AbortController();
    const halt = (): void => {
      stop.abort();
    };
    const abort = (): void => {
      body.destroy();
    };
    verdict.then(halt, halt);
    const refused = new AbortController();
    answer.onTrailer(() => {
      halt();
      refused.abort();
    });
    socket.once('close', halt);
    signal.addEventListener('abort', abort, { once: true });
    const { idleTimeoutMs } = this.#limits;
    const sending = sendBody(socket, { body, bytes, onLeft, stop: stop.signal, idleTimeoutMs, address });
    try {
      await Promise.race([sending, whenAborted(stop.signal)]);
      const isWhole = !stop.signal.aborted;
      const waitMs = isWhole ? this.#limits.verdictTimeoutMs : VERDICT_GRACE_MS;
      const judged = (ms: number): Promise<Verdict> =>
        verdictWithin(verdict, ms, this.#clock, AbortSignal.any([signal, over.signal]));
      const outcome = await Promise.race([
        judged(waitMs),
        // An error page came: the task knows it by now, if it ever will.
        whenAborted(refused.signal).then(() => judged(VERDICT_GRACE_MS)),
        failureOf(sending),
      ]);
      if (outcome.kind !== 'success') throw await reasonOf(outcome, answer, address, isWhole);
      // The pool has all it wants. The source's own checks sit at its end, and count as well.
      await sending;
      return outcome.result;
    } catch (error) {
      body.on('error', () => undefined).destroy();
      signal.throwIfAborted();
      throw error;
    } finally {
      over.abort(new TransportError('interrupted', 'The upload is over.'));
      signal.removeEventListener('abort', abort);
      sending.catch(() => undefined);
    }
  }
}

function whenAborted(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, 'abort');
}

/** Rejects when the work does; otherwise waits for ever, for use in a race. */
function failureOf(work: Promise<unknown>): Promise<never> {
  return work.then(() => new Promise<never>(() => undefined));
}

function requestHead(endpoint: Endpoint, { path, query, bytes }: UploadRequest): string {
  // Without a length only HTTP/1.0 means "until the end"; XAPI's own client sends that too.
  const lines = [
    `PUT ${requestTarget(path, query)} HTTP/${bytes === undefined ? '1.0' : '1.1'}`,
    `Host: ${urlHost(endpoint.host)}:${endpoint.port}`,
    ...(bytes === undefined ? [] : [`Content-Length: ${bytes}`]),
    'Connection: close',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

async function reasonOf(outcome: Verdict, answer: AnswerReader, address: string, isWhole: boolean): Promise<unknown> {
  if (outcome.kind === 'failure' && isXapiError(outcome.error)) return outcome.error;
  if (answer.hasTrailer) {
    const page = await answer.page();
    if (isErrorAnswer(Buffer.from(page, 'latin1'))) return refusalError(500, page);
  }
  if (outcome.kind === 'failure') return outcome.error;
  return isWhole
    ? new TransportError('timeout', `${address} took all data but did not finish the import in time.`, { address })
    : new TransportError('interrupted', `${address} closed the connection before it had all data.`, { address });
}
