import { type IncomingMessage, request as httpRequest } from 'node:http';
import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { type buildConnector } from 'undici';
import { type Clock } from '../common/clock.js';
import { MAX_PAGE_BYTES, refusalError, requestTarget } from './handler-answer.js';
import {
  betterReason,
  type HandlerLimits,
  type HandlerRequest,
  VERDICT_GRACE_MS,
  verdictWithin,
} from './handler-request.js';
import { type Endpoint, endpointAddress, openSocket, urlHost } from './tls-trust.js';
import { toTransportError, TransportError } from './transport-error.js';
import { isXapiError } from './xapi-error.js';

/**
 * GET of XAPI's handlers. One for each connection; `release` ends what still runs.
 *
 * Over `node:http` and not undici, whose 6.29 brings the process down (`assert(!this.paused)`, client-h1.js, seen
 * 2026-11-22) when a body without a length ends while its reader is holding it back: every export to a slow medium.
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
   * Resolves with the body as soon as the status is 200, and follows one redirect. The body ends with the connection
   * (no length is sent): whether it is whole, only its format and the task can tell. It errors on silence longer than the
   * limit, and when the signal aborts.
   * @throws {XapiError} from the refusing page or from the task, also when the connection closed without an answer
   * @throws {TransportError}
   */
  async download(endpoint: Endpoint, request: HandlerRequest): Promise<Readable> {
    const answer = await this.#ask(endpoint, request);
    if (answer.statusCode === 200) return answer;
    if (answer.statusCode !== 302) throw await this.#refusal(answer, request);
    const location = String(answer.headers.location ?? '');
    // Some redirects keep their connection open without a length: never read the body.
    discard(answer);
    const member = await request.redirect(location);
    const second = await this.#ask(member, request);
    if (second.statusCode === 200) return second;
    if (second.statusCode !== 302) throw await this.#refusal(second, request);
    discard(second);
    throw new TransportError('protocol', `${endpointAddress(member)} redirects again.`);
  }

  release(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return Promise.resolve();
  }

  async #ask(endpoint: Endpoint, { path, query, signal, verdict }: HandlerRequest): Promise<IncomingMessage> {
    signal.throwIfAborted();
    const failed = new AbortController();
    let isAnswered = false;
    verdict.catch((error: unknown) => {
      // Before the answer, a failed task is the answer. Afterwards the body's reader compares for itself.
      if (!isAnswered) failed.abort(error);
    });
    try {
      return await this.#get(endpoint, requestTarget(path, query), AbortSignal.any([signal, failed.signal]), signal);
    } catch (error) {
      signal.throwIfAborted();
      failed.signal.throwIfAborted();
      const seen = toTransportError(error, endpointAddress(endpoint));
      // XAPI closes the connection of some requests without a word and tells only the task.
      if (!(seen instanceof TransportError) || seen.kind !== 'interrupted') throw seen;
      throw betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), seen);
    } finally {
      isAnswered = true;
    }
  }

  /** One connection for one answer: it ends with it. `waiting` ends the wait for the answer, `reading` the body too. */
  async #get(endpoint: Endpoint, target: string, waiting: AbortSignal, reading: AbortSignal): Promise<IncomingMessage> {
    const socket = await openSocket(this.#connect, endpoint, waiting);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const address = endpointAddress(endpoint);
    const stop = (error: Error): void => {
      socket.destroy(error);
    };
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const { firstByteTimeoutMs, idleTimeoutMs } = this.#limits;
      const onAbort = (): void => {
        reject(waiting.reason as Error);
        stop(waiting.reason as Error);
      };
      if (waiting.aborted) {
        onAbort();
        return;
      }
      waiting.addEventListener('abort', onAbort, { once: true });
      const request = httpRequest({
        path: target,
        method: 'GET',
        headers: { host: `${urlHost(endpoint.host)}:${endpoint.port}`, connection: 'close' },
        createConnection: () => socket,
      });
      socket.setTimeout(firstByteTimeoutMs, () => {
        stop(silence(address));
      });
      request.on('error', (error) => {
        waiting.removeEventListener('abort', onAbort);
        reject(error);
      });
      request.on('response', (answer) => {
        waiting.removeEventListener('abort', onAbort);
        watchBody(answer, socket, address, idleTimeoutMs, reading);
        resolve(answer);
      });
      request.end();
    });
  }

  async #refusal(answer: IncomingMessage, { verdict, signal }: HandlerRequest): Promise<unknown> {
    const seen = refusalError(answer.statusCode, await readPage(answer));
    // Without a session no task is touched: nothing to wait for.
    if (isXapiError(seen) || answer.statusCode === 401) return seen;
    return betterReason(await verdictWithin(verdict, VERDICT_GRACE_MS, this.#clock, signal), seen);
  }
}

async function readPage(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_PAGE_BYTES) break;
    }
  } catch {
    // A page that breaks off still says what it says.
  }
  return Buffer.concat(chunks).toString('latin1');
}

function discard(body: Readable): void {
  body.on('error', () => undefined);
  body.destroy();
}

/** Ends a body on silence, but not while its reader holds it back, and with the signal. */
function watchBody(
  body: IncomingMessage,
  socket: Socket,
  address: string,
  idleTimeoutMs: number,
  signal: AbortSignal,
): void {
  socket.removeAllListeners('timeout');
  socket.setTimeout(idleTimeoutMs, () => {
    if (body.isPaused() || body.readableLength >= body.readableHighWaterMark) return;
    body.destroy(silence(address));
  });
  const onAbort = (): void => {
    body.destroy(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  body.once('close', () => {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  });
}

function silence(address: string): TransportError {
  return new TransportError('timeout', `No answer from ${address} in time.`, { address });
}
