import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { rpcString, rpcStruct, toRpc, type RpcValue } from '../wire/rpc-value.js';
import { type CallContext } from './method.js';

/** How far a client has seen: the newest change of an object, and of a message. */
export interface SeenUpTo {
  readonly objects: number;
  readonly messages: number;
}

export interface PoolEvent {
  readonly generation: number;
  readonly cls: string;
  readonly ref: string;
  readonly operation: 'add' | 'mod' | 'del';
}

/** Which objects a client wants to hear of: `*`, classes, or `class/reference`, whatever their case. */
export class Subscription {
  readonly #classes = new Set<string>();
  readonly #objects = new Set<string>();

  constructor(names: readonly string[]) {
    this.add(names);
  }

  add(names: readonly string[]): void {
    for (const name of names) {
      const lower = name.toLowerCase();
      if (lower.includes('/')) this.#objects.add(lower);
      else this.#classes.add(lower);
    }
  }

  remove(names: readonly string[]): void {
    for (const name of names) {
      this.#classes.delete(name.toLowerCase());
      this.#objects.delete(name.toLowerCase());
    }
  }

  get isEmpty(): boolean {
    return this.#classes.size === 0 && this.#objects.size === 0;
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

/** What changed since, as it is now: messages, then additions, modifications and deletions, each by class. */
export function changesSince(pool: SimulatedPool, wanted: Subscription, seen: SeenUpTo): readonly PoolEvent[] {
  const messages: PoolEvent[] = [];
  const added: PoolEvent[] = [];
  const modified: PoolEvent[] = [];
  for (const cls of pool.datamodel.classes.keys()) {
    const since = cls === 'message' ? seen.messages : seen.objects;
    for (const { ref, createdAt, modifiedAt } of pool.store.changedSince(cls, since)) {
      if (!wanted.wants(cls, ref)) continue;
      const operation = createdAt > since ? 'add' : 'mod';
      const list = cls === 'message' ? messages : operation === 'add' ? added : modified;
      list.push({ generation: modifiedAt, cls, ref, operation });
    }
  }
  const deleted = pool.store.graves
    .filter(({ cls, ref, createdAt, deletedAt }) => {
      const since = cls === 'message' ? seen.messages : seen.objects;
      return since > 0 && deletedAt > since && createdAt <= since && wanted.wants(cls, ref);
    })
    .map(({ cls, ref, deletedAt }) => ({ generation: deletedAt, cls, ref, operation: 'del' as const }));
  const order = new Map([...pool.datamodel.classes.keys()].map((cls, place) => [cls, place]));
  deleted.sort((first, second) => (order.get(first.cls) ?? 0) - (order.get(second.cls) ?? 0));
  return [...messages, ...added, ...modified, ...deleted];
}

/** Events as they go over the wire. */
export function eventValues(pool: SimulatedPool, events: readonly PoolEvent[], timestamp: string): RpcValue {
  const { classes } = pool.datamodel;
  const shapes = { fieldType: (cls: string, field: string) => classes.get(cls)?.fields.get(field)?.type };
  const items = events.map((event): RpcValue => {
    const record = event.operation === 'del' ? undefined : pool.store.find(event.cls, event.ref);
    return rpcStruct({
      id: rpcString(String(event.generation)),
      timestamp: rpcString(timestamp),
      class: rpcString(event.cls.toLowerCase()),
      operation: rpcString(event.operation),
      ref: rpcString(event.ref),
      ...(record === undefined ? {} : { snapshot: toRpc(record, { kind: 'record', cls: event.cls }, shapes) }),
    });
  });
  return { tag: 'list', items };
}

/** True when something changed, false when the time is up. Rejects with CLIENT_ERROR when the client is gone. */
export function changeBefore({ pool, signal }: CallContext, deadlineMs: number): Promise<boolean> {
  return waitFor(signal, Math.max(0, deadlineMs - Date.now()), (resolve) =>
    pool.store.onChange(() => {
      resolve(true);
    }),
  );
}

export async function pause({ signal }: CallContext, delayMs: number): Promise<void> {
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
