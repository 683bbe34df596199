import { type Role } from '../datamodel/role.js';
import { type SimulatedPool } from '../simulated-pool.js';

/** One HTTP request and the connection to answer it on. Nothing is written that a handler did not write itself. */
export interface Exchange {
  readonly pool: SimulatedPool;
  /** Reference of the host at which the request arrived. */
  readonly host: string;
  readonly isTls: boolean;
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The query as it came, without `?`; for redirects. */
  readonly rawQuery: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly httpVersion: '1.0' | '1.1';
  /** Undefined when the request has no Content-Length. */
  readonly contentLength: number | undefined;
  /**
   * The request's body: ends after `contentLength` bytes, or when the client ends its side. Read no further than
   * needed: what is not read is not taken from the socket. Ends early (without an error) when the client goes away;
   * compare with `contentLength`, or ask `signal`.
   */
  readonly body: AsyncIterable<Buffer>;
  /** Aborts when the client is gone or the pool closes. */
  readonly signal: AbortSignal;
  /** Aborts when the client has ended its side of the connection, or is gone. */
  readonly hungUp: AbortSignal;
  /** The session that authentication found; throws SESSION_INVALID when the route is open to everybody and there is none. */
  readonly session: string;
  /** The task the handler works for: the adopted `task_id` or one of its own. Undefined until {@link adoptTask}. */
  readonly task: string | undefined;

  /**
   * Takes `task_id` over (progress 0) or makes a task named `label`, and returns its reference. From then on an
   * exception of the handler fails this task. The handler itself must call `pool.tasks.succeed`.
   */
  adoptTask(label: string): string;

  /** Writes the status line and headers as given, each line without its CRLF, and the empty line. */
  writeHead(lines: readonly string[]): Promise<void>;

  /** Writes body bytes, resolved when the socket takes more. Faults of the plan act here. Rejects with CLIENT_ERROR when the client is gone. */
  write(bytes: Uint8Array): Promise<void>;

  /** Ends the answer after all that was written, by closing the connection. */
  end(): Promise<void>;

  /** Cuts the connection at once. */
  destroy(): void;
}

/**
 * Answers one request. What it throws becomes, as with XAPI, a failed task (when one was adopted) and a 500 page: as the
 * answer, or inside the body when the head is already out. When it returns, the connection is closed after the last byte.
 */
export type HttpHandler = (exchange: Exchange) => Promise<void>;

/** An entry of the table of handlers. The longest `prefix` that fits a request's path and method wins. */
export interface Route {
  readonly method: 'GET' | 'PUT';
  readonly prefix: string;
  /** Name of the handler in `WWW-Authenticate`, such as `get_export`. */
  readonly realm: string;
  readonly handle: HttpHandler;
  /** The least role that may; `vm-admin` when absent. */
  readonly role?: Role;
}
