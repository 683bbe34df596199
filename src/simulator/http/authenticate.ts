import { type SimulatedPool } from '../simulated-pool.js';
import { cookiesOf, type RequestHead } from './request-head.js';

/** The session that a request to a handler works under. */
export interface Authenticated {
  readonly session: string;
  /** Ends a session that was opened for this request alone. */
  readonly release: () => void;
}

/** The session that a request names; `''` when it names none. */
export function sessionGivenIn(head: RequestHead): string {
  return cookiesOf(head).get('session_id') ?? new URLSearchParams(head.rawQuery).get('session_id') ?? '';
}

/** The request says who asks, truly or not. */
export function hasCredentials(head: RequestHead): boolean {
  return sessionGivenIn(head) !== '' || head.headers.has('authorization');
}

/**
 * Finds the caller of a transfer: `session_id` in a cookie, else in the query, else Basic credentials, for which a
 * session is opened. Undefined when there is nothing, or nothing good. Any member takes the sessions of the pool.
 */
export function authenticate(pool: SimulatedPool, head: RequestHead, host: string): Authenticated | undefined {
  const given = sessionGivenIn(head);
  if (given !== '') {
    return pool.sessions.isOpen(given) ? { session: given, release: () => undefined } : undefined;
  }
  const basic = /^Basic +(\S+)$/i.exec(head.headers.get('authorization') ?? '');
  if (basic === null) return undefined;
  const text = Buffer.from(basic[1] ?? '', 'base64').toString();
  const colon = text.indexOf(':');
  try {
    const session = pool.sessions.login(text.slice(0, colon), text.slice(colon + 1), 'HTTP', host);
    return {
      session,
      release: () => {
        pool.sessions.end(session);
      },
    };
  } catch {
    return undefined;
  }
}
