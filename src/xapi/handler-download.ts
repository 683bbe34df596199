import { type Readable } from 'node:stream';
import { Agent, type buildConnector, type Dispatcher } from 'undici';
import { type Clock } from '../common/clock.js';
import { MAX_PAGE_BYTES, refusalError, requestTarget } from './handler-answer.js';
import {
  betterReason,
  type HandlerLimits,
  type HandlerRequest,
  VERDICT_GRACE_MS,
  verdictWithin,
} from './handler-request.js';
import { type Endpoint, endpointAddress, urlHost } from './tls-trust.js';
import { toTransportError, TransportError } from './transport-error.js';
import { isXapiError } from './xapi-error.js';

type Answer = Dispatcher.ResponseData;

/** GET of XAPI's handlers. One for each connection; `release` ends what still runs. */
export class HandlerDownload {
  readonly #agent: Agent;
  readonly #clock: Clock;

  constructor(connect: buildConnector.connector, limits: HandlerLimits, clock: Clock) {
    this.#agent = new Agent({
      connect,
      headersTimeout: limits.firstByteTimeoutMs,
      bodyTimeout: limits.idleTimeoutMs,
    });
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
    if (answer.statusCode === 200) return answer.body;
    if (answer.statusCode !== 302) throw await this.#refusal(answer, request);
    const location = String(answer.headers.location ?? '');
    // Some redirects keep their connection open without a length: never read the body.
    discard(answer.body);
    const member = await request.redirect(location);
    const second = await this.#ask(member, request);
    if (second.statusCode === 200) return second.body;
    if (second.statusCode !== 302) throw await this.#refusal(second, request);
    discard(second.body);
    throw new TransportError('protocol', `${endpointAddress(member)} redirects again.`);
  }

  async release(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(endpoint: Endpoint, { path, query, signal, verdict }: HandlerRequest): Promise<Answer> {
    signal.throwIfAborted();
    const failed = new AbortController();
    let isAnswered = false;
    verdict.catch((error: unknown) => {
      // Before the answer, a failed task is the answer. Afterwards the body's reader compares for itself.
      if (!isAnswered) failed.abort(error);
    });
    try {
      return await this.#agent.request({
        origin: `${endpoint.protocol}//${urlHost(endpoint.host)}:${endpoint.port}`,
        path: requestTarget(path, query),
        method: 'GET',
        signal: AbortSignal.any([signal, failed.signal]),
      });
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

  async #refusal(answer: Answer, { verdict, signal }: HandlerRequest): Promise<unknown> {
    const seen = refusalError(answer.statusCode, await readPage(answer.body));
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
