import { type Clock } from '../common/clock.js';
import { type Endpoint } from './tls-trust.js';
import { isXapiError } from './xapi-error.js';

/** A request to a handler, the same for both directions. */
export interface HandlerRequest {
  readonly path: string;
  /** With session_id and task_id. Never logged. */
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** The verdict of the task that the handler works for; it may know what the connection never tells. */
  readonly verdict: Promise<string>;
  /**
   * Where a redirect leads. `location` is the header as the pool sent it.
   * @throws {TransportError} `untrusted` when it leads out of the pool.
   */
  readonly redirect: (location: string) => Promise<Endpoint>;
}

export interface HandlerLimits {
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** How long to wait for the verdict when the whole body was sent. */
  readonly verdictTimeoutMs: number;
}

/** How long the task may lag behind a connection that broke or refused: its word is the better one. */
export const VERDICT_GRACE_MS = 5_000;

/** What a race of the verdict against a time limit gave. */
export type Verdict =
  | { readonly kind: 'success'; readonly result: string }
  | { readonly kind: 'failure'; readonly error: unknown }
  | { readonly kind: 'silent' };

/** Waits for the verdict at most `waitMs`. Never rejects, except with the signal's reason. */
export async function verdictWithin(
  verdict: Promise<string>,
  waitMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Verdict> {
  const stop = new AbortController();
  const settled = verdict.then(
    (result): Verdict => ({ kind: 'success', result }),
    (error: unknown): Verdict => ({ kind: 'failure', error }),
  );
  const silence = clock.sleep(waitMs, AbortSignal.any([signal, stop.signal])).then((): Verdict => ({ kind: 'silent' }));
  try {
    return await Promise.race([settled, silence]);
  } finally {
    stop.abort();
    silence.catch(() => undefined);
  }
}

/** The better of two reasons: what the task says in XAPI's words, else what was seen on the wire. */
export function betterReason(verdict: Verdict, seen: unknown): unknown {
  return verdict.kind === 'failure' && isXapiError(verdict.error) ? verdict.error : seen;
}
