import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { rpcString, rpcStruct, toRpc, type RpcValue } from '../wire/rpc-value.js';
import { type CallContext, type TypedResult } from './method.js';

/** How far a client has seen: the newest change of an object, and of a message. */
interface Token {
  readonly objects: number;
  readonly messages: number;
}

interface PoolEvent {
  readonly generation: number;
  readonly cls: string;
  readonly ref: string;
  readonly operation: 'add' | 'mod' | 'del';
}

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

class Subscription {
  readonly #classes = new Set<string>();
  readonly #objects = new Set<string>();

  constructor(names: readonly string[]) {
    for (const name of names) {
      const lower = name.toLowerCase();
      if (lower.includes('/')) this.#objects.add(lower);
      else this.#classes.add(lower);
    }
  }

  wants(cls: string, ref: string): boolean {
    const lower = cls.toLowerCase();
    return (
      this.#classes.has('*') ||
      this.#classes.has(lower) ||
      (this.#objects.size > 0 && this.#objects.has(`${lower}/${ref.toLowerCase()}`))
    );
  }
}

function changesSince(pool: SimulatedPool, wanted: Subscription, token: Token): readonly PoolEvent[] {
  const messages: PoolEvent[] = [];
  const added: PoolEvent[] = [];
  const modified: PoolEvent[] = [];
  for (const cls of pool.datamodel.classes.keys()) {
    const since = cls === 'message' ? token.messages : token.objects;
    for (const { ref, createdAt, modifiedAt } of pool.store.rows(cls)) {
      if (modifiedAt <= since || !wanted.wants(cls, ref)) continue;
      const operation = createdAt > since ? 'add' : 'mod';
      const list = cls === 'message' ? messages : operation === 'add' ? added : modified;
      list.push({ generation: modifiedAt, cls, ref, operation });
    }
  }
  const deleted = pool.store.graves
    .filter(({ cls, ref, createdAt, deletedAt }) => {
      const since = cls === 'message' ? token.messages : token.objects;
      return since > 0 && deletedAt > since && createdAt <= since && wanted.wants(cls, ref);
    })
    .map(({ cls, ref, deletedAt }) => ({ generation: deletedAt, cls, ref, operation: 'del' as const }));
  return [...messages, ...added, ...modified, ...deleted];
}

function nextToken(events: readonly PoolEvent[], token: Token): Token {
  const newest = (isMessage: boolean, start: number): number =>
    events.reduce(
      (max, event) => ((event.cls === 'message') === isMessage ? Math.max(max, event.generation) : max),
      start,
    );
  return { objects: newest(false, token.objects), messages: newest(true, token.messages) };
}

function answer(pool: SimulatedPool, events: readonly PoolEvent[], token: Token): TypedResult {
  const { classes } = pool.datamodel;
  const shapes = { fieldType: (cls: string, field: string) => classes.get(cls)?.fields.get(field)?.type };
  const items = events.map((event): RpcValue => {
    const record = event.operation === 'del' ? undefined : pool.store.find(event.cls, event.ref);
    return rpcStruct({
      id: rpcString(String(event.generation)),
      timestamp: rpcString('0.0'),
      class: rpcString(event.cls.toLowerCase()),
      operation: rpcString(event.operation),
      ref: rpcString(event.ref),
      ...(record === undefined ? {} : { snapshot: toRpc(record, { kind: 'record', cls: event.cls }, shapes) }),
    });
  });
  const counts = [...classes.keys()].map(
    (cls) => [cls.toLowerCase(), { tag: 'int32', value: pool.store.count(cls) }] as const,
  );
  return {
    rpc: rpcStruct({
      events: { tag: 'list', items },
      valid_ref_counts: { tag: 'struct', members: counts },
      token: rpcString(tokenTextOf(token)),
    }),
  };
}

function parseToken(text: string): Token {
  if (text === '') return { objects: 0, messages: 0 };
  const match = /^(\d+),(\d+)$/.exec(text);
  if (match === null) throw new SimulatedFailure('EVENT_FROM_TOKEN_PARSE_FAILURE', [text]);
  return { objects: Number(match[1]), messages: Number(match[2]) };
}

function tokenTextOf({ objects, messages }: Token): string {
  return `${String(objects).padStart(20, '0')},${String(messages).padStart(20, '0')}`;
}

/** True when something changed, false when the time is up. */
function changeBefore(context: CallContext, deadlineMs: number): Promise<boolean> {
  const { pool, signal } = context;
  return waitFor(signal, Math.max(0, deadlineMs - Date.now()), (resolve) => {
    return pool.store.onChange(() => {
      resolve(true);
    });
  });
}

async function pause({ signal }: CallContext, delayMs: number): Promise<void> {
  await waitFor(signal, delayMs, () => () => undefined);
}

/** Resolves with false after `timeoutMs`, rejects when `signal` aborts; `begin` may resolve it before, and is undone. */
function waitFor(
  signal: AbortSignal,
  timeoutMs: number,
  begin: (resolve: (value: boolean) => void) => () => void,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const release = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      stop();
    };
    const settle = (value: boolean): void => {
      release();
      resolve(value);
    };
    const onAbort = (): void => {
      release();
      reject(new SimulatedFailure('CLIENT_ERROR', ['gone']));
    };
    const timer = setTimeout(() => {
      settle(false);
    }, timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    const stop = begin(settle);
    if (signal.aborted) onAbort();
  });
}
