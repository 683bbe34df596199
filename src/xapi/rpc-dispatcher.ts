import { Agent, type buildConnector, type Dispatcher } from 'undici';
import { TransportError } from './transport-error.js';

/** No answer to a call is larger; a pool's largest table has tens of megabytes. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
/** An answer in XAPI's emergency form is tiny; larger ones are not looked at. */
const MAX_EMERGENCY_BYTES = 8 * 1024;

type Abort = (error: Error) => void;

/** What goes along with the requests of one call. */
export interface CallFlow {
  readonly signal: AbortSignal;
  /** See `XapiCallOptions`. */
  readonly onAnswered: (() => void) | undefined;
}

/**
 * The dispatcher under xen-api's transport. It adds what that transport lacks: calls that can be aborted, answers other
 * than 2xx as `TransportError` (with the connection freed), a size limit, and answers of a host in emergency mode, which
 * claim JSON-RPC 2.0 but carry their error as an array (facts: `ocaml/xapi/api_server.ml`, jsoncallback).
 */
export class RpcDispatcher {
  readonly #agent: Agent;

  constructor(connect: buildConnector.connector) {
    // The limit of a call is its caller's signal; some calls rightly take long.
    this.#agent = new Agent({ connect, headersTimeout: 0, bodyTimeout: 0, maxResponseSize: MAX_ANSWER_BYTES });
  }

  /**
   * The same connections for the requests of one call, which are aborted with the signal's reason. The signal comes
   * by hand: an `AsyncLocalStorage` would go on costing every asynchronous step of the process after its connection.
   */
  under(flow: CallFlow): Pick<Dispatcher, 'dispatch'> {
    return { dispatch: (options, handler) => this.#agent.dispatch(options, new RpcHandler(handler, flow)) };
  }

  async destroy(): Promise<void> {
    await this.#agent.destroy();
  }
}

class RpcHandler implements Dispatcher.DispatchHandlers {
  readonly #next: Dispatcher.DispatchHandlers;
  readonly #signal: AbortSignal;
  readonly #onAnswered: (() => void) | undefined;
  #abort: Abort = () => undefined;
  #chunks: Buffer[] | undefined;

  constructor(next: Dispatcher.DispatchHandlers, { signal, onAnswered }: CallFlow) {
    this.#next = next;
    this.#signal = signal;
    this.#onAnswered = onAnswered;
  }

  readonly #onAbort = (): void => {
    this.#abort(this.#signal.reason as Error);
  };

  onConnect(abort: Abort): void {
    this.#abort = abort;
    if (this.#signal.aborted) {
      abort(this.#signal.reason as Error);
      return;
    }
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#next.onConnect?.(abort as (error?: Error) => void);
  }

  onHeaders(status: number, headers: Buffer[], resume: () => void, statusText: string): boolean {
    if (status < 200 || status > 299) {
      this.#abort(
        new TransportError('http-status', `The pool answered a call with HTTP ${status}.`, { httpStatus: status }),
      );
      return false;
    }
    this.#chunks = [];
    return this.#next.onHeaders?.(status, headers, resume, statusText) ?? true;
  }

  onData(chunk: Buffer): boolean {
    this.#chunks?.push(chunk);
    return true;
  }

  onComplete(trailers: string[] | null): void {
    this.#forget();
    if (this.#onAnswered === undefined) {
      this.#handOn(trailers);
      return;
    }
    this.#onAnswered();
    // A call that is made now goes over this connection, which undici frees in the next turn of the event loop.
    setImmediate(() => {
      setImmediate(() => {
        this.#handOn(trailers);
      });
    });
  }

  #handOn(trailers: string[] | null): void {
    for (const chunk of withoutEmergencyForm(this.#chunks ?? [])) this.#next.onData?.(chunk);
    this.#chunks = undefined;
    this.#next.onComplete?.(trailers);
  }

  onError(error: Error): void {
    this.#forget();
    this.#next.onError?.(error);
  }

  #forget(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

function withoutEmergencyForm(chunks: readonly Buffer[]): readonly Buffer[] {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (bytes > MAX_EMERGENCY_BYTES) return chunks;
  const body = Buffer.concat(chunks).toString();
  if (!/"error"\s*:\s*\[/.test(body)) return chunks;
  try {
    const answer = JSON.parse(body) as { jsonrpc?: unknown; error?: unknown };
    if (answer.jsonrpc !== '2.0' || !Array.isArray(answer.error)) return chunks;
    const [message, ...data] = answer.error as unknown[];
    return [Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 0, error: { code: 1, message, data } }))];
  } catch {
    return chunks; // Not JSON: whoever reads it will say so.
  }
}
