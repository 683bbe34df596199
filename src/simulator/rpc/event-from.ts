import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { rpcString, rpcStruct } from '../wire/rpc-value.js';
import { type CallContext, type TypedResult } from './method.js';
import {
  changeBefore,
  changesSince,
  eventValues,
  pause,
  type PoolEvent,
  type SeenUpTo,
  Subscription,
} from './pool-events.js';

/** How long changes are gathered before an answer, and the same for subscriptions to tasks alone. */
const BATCH_DELAY_MS = 50;
const MAX_TIMEOUT_S = 3600;

/**
 * `event.from`: what changed among the subscribed objects since the token, as they are now. Waits up to `timeoutS`
 * for the first change. Objects that came and went since the token are not told. Throws
 * EVENT_FROM_TOKEN_PARSE_FAILURE, and SESSION_INVALID when the session ends while it waits.
 */
export async function eventFrom(
  context: CallContext,
  classes: readonly string[],
  tokenText: string,
  timeoutS: number,
): Promise<TypedResult> {
  const { pool } = context;
  const token = parseToken(tokenText);
  const wanted = new Subscription(classes);
  const deadlineMs = Date.now() + Math.min(Math.max(0, timeoutS), MAX_TIMEOUT_S) * 1000;
  const isTasksOnly = classes.every((cls) => /^task\/?/i.test(cls));
  for (;;) {
    pool.sessions.check(context.session);
    const events = changesSince(pool, wanted, token);
    if (events.length > 0) return answer(pool, events, nextToken(events, token));
    if (!(await changeBefore(context, deadlineMs))) return answer(pool, [], token);
    if (!isTasksOnly) await pause(context, Math.min(BATCH_DELAY_MS, Math.max(0, deadlineMs - Date.now())));
  }
}

/** A token from before a forced modification of one object. Throws HANDLE_INVALID [class, ref]. */
export function injectEvent(pool: SimulatedPool, cls: string, ref: string): string {
  const before = pool.store.generation;
  pool.store.get(cls, ref);
  pool.store.touch(cls, ref);
  return tokenTextOf({ objects: before, messages: 0 });
}

function nextToken(events: readonly PoolEvent[], token: SeenUpTo): SeenUpTo {
  const newest = (isMessage: boolean, start: number): number =>
    events.reduce(
      (max, event) => ((event.cls === 'message') === isMessage ? Math.max(max, event.generation) : max),
      start,
    );
  return { objects: newest(false, token.objects), messages: newest(true, token.messages) };
}

function answer(pool: SimulatedPool, events: readonly PoolEvent[], token: SeenUpTo): TypedResult {
  const counts = [...pool.datamodel.classes.keys()].map(
    (cls) => [cls.toLowerCase(), { tag: 'int32', value: pool.store.count(cls) }] as const,
  );
  return {
    rpc: rpcStruct({
      events: eventValues(pool, events, '0.0'),
      valid_ref_counts: { tag: 'struct', members: counts },
      token: rpcString(tokenTextOf(token)),
    }),
  };
}

function parseToken(text: string): SeenUpTo {
  if (text === '') return { objects: 0, messages: 0 };
  const match = /^(\d+),(\d+)$/.exec(text);
  if (match === null) throw new SimulatedFailure('EVENT_FROM_TOKEN_PARSE_FAILURE', [text]);
  return { objects: Number(match[1]), messages: Number(match[2]) };
}

function tokenTextOf({ objects, messages }: SeenUpTo): string {
  return `${String(objects).padStart(20, '0')},${String(messages).padStart(20, '0')}`;
}
