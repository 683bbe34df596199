import { createHash } from 'node:crypto';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { type CallContext, type TypedResult } from './method.js';
import { changeBefore, changesSince, eventValues, Subscription } from './pool-events.js';

/** What a session has asked to hear of, and how far it has heard. */
interface Registration {
  readonly wanted: Subscription;
  seen: number;
}

/** So many events wait for a client; with more, it has lost some. */
const MAX_WAITING = 500;
/** How long one wait is; another follows. */
const WAIT_MS = 3_600_000;

const registrations = new WeakMap<SimulatedPool, Map<string, Registration>>();

/** `event.register`, of old clients: the session hears of these classes with {@link eventNext}. */
export function registerForEvents({ pool, session }: CallContext, classes: readonly string[]): undefined {
  const ofPool = registrationsOf(pool);
  const known = ofPool.get(session);
  if (known === undefined) ofPool.set(session, { wanted: new Subscription(classes), seen: pool.store.generation });
  else known.wanted.add(classes);
  return undefined;
}

/** `event.unregister`. */
export function unregisterForEvents({ pool, session }: CallContext, classes: readonly string[]): undefined {
  registrationsOf(pool).get(session)?.wanted.remove(classes);
  return undefined;
}

/**
 * `event.next`: waits for what the session has registered for, however long that takes. Several changes of one object are
 * told as one, with the newest record. Throws SESSION_NOT_REGISTERED [trackid], EVENTS_LOST [] for a client that did not ask
 * for long, and SESSION_INVALID when the session ends while it waits.
 */
export async function eventNext(context: CallContext): Promise<TypedResult> {
  const { pool, session } = context;
  for (;;) {
    pool.sessions.check(session);
    const registration = registrationsOf(pool).get(session);
    if (registration === undefined || registration.wanted.isEmpty) {
      throw new SimulatedFailure('SESSION_NOT_REGISTERED', [`trackid=${trackOf(session)}`]);
    }
    const { wanted, seen } = registration;
    const events = changesSince(pool, wanted, { objects: seen, messages: seen });
    if (events.length > 0) {
      registration.seen = pool.store.generation;
      if (events.length > MAX_WAITING) throw new SimulatedFailure('EVENTS_LOST');
      return { rpc: eventValues(pool, events, (pool.nowMs() / 1000).toFixed(3)) };
    }
    await changeBefore(context, Date.now() + WAIT_MS);
  }
}

function registrationsOf(pool: SimulatedPool): Map<string, Registration> {
  let ofPool = registrations.get(pool);
  if (ofPool === undefined) {
    const made = new Map<string, Registration>();
    registrations.set(pool, (ofPool = made));
    pool.sessions.onEnd((session) => made.delete(session));
  }
  return ofPool;
}

/** What XAPI calls a session by where the reference itself must not be seen. */
function trackOf(session: string): string {
  return createHash('md5').update(session).digest('hex');
}
