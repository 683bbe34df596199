import { isTransportError } from '../xapi/transport-error.js';
import { isXapiError } from '../xapi/xapi-error.js';

/** What to do about a call that failed, before it is made again. */
export type Recovery =
  | { readonly action: 'log-in-again' }
  | { readonly action: 'move'; readonly host: string }
  | { readonly action: 'find-coordinator' }
  | { readonly action: 'give-up' };

/** What was done already for one call. */
export interface RecoveryCounts {
  readonly logins: number;
  readonly moves: number;
  readonly searches: number;
}

export const NO_RECOVERY_YET: RecoveryCounts = { logins: 0, moves: 0, searches: 0 };

const MAX_LOGINS = 1;
const MAX_MOVES = 3;
const MAX_SEARCHES = 2;

/** A member that has no coordinator, or is not ready, refuses everything before doing it (facts 9, 10). */
export const EMERGENCY_CODES = [
  'HOST_STILL_BOOTING',
  'HOST_HAS_NO_MANAGEMENT_IP',
  'HOST_MASTER_CANNOT_TALK_BACK',
  'HOST_UNKNOWN_TO_MASTER',
  'HOST_ITS_OWN_SLAVE',
  'HOST_BROKEN',
  'HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR',
] as const;

/**
 * Decides about a failed call. HOST_IS_SLAVE, SESSION_INVALID, the emergency codes and a connection that never came
 * about mean that the call was not executed: it may be made again whatever it is. After a broken connection or a
 * time-out nobody knows, so only idempotent calls are.
 */
export function recoveryFor(error: unknown, isIdempotent: boolean, done: RecoveryCounts): Recovery {
  const giveUp: Recovery = { action: 'give-up' };
  if (isXapiError(error, 'SESSION_INVALID')) return done.logins < MAX_LOGINS ? { action: 'log-in-again' } : giveUp;
  if (isXapiError(error, 'HOST_IS_SLAVE')) {
    const [host] = error.params;
    return done.moves < MAX_MOVES && host !== undefined && host !== '' ? { action: 'move', host } : giveUp;
  }
  const wasNotExecuted = isXapiError(error, ...EMERGENCY_CODES) || isTransportError(error, 'unreachable');
  const isUnknown = isTransportError(error, 'interrupted', 'timeout');
  const mayRepeat = wasNotExecuted || (isUnknown && isIdempotent);
  return mayRepeat && done.searches < MAX_SEARCHES ? { action: 'find-coordinator' } : giveUp;
}

const READ_ONLY = new Set(['event.from', 'system.listMethods', 'VDI.list_changed_blocks']);

/** True for methods that only read. */
export function isReadOnlyMethod(method: string): boolean {
  return /^[A-Za-z_]+\.get_/.test(method) || READ_ONLY.has(method);
}
