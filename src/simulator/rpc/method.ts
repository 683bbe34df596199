import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { type RpcValue } from '../wire/rpc-value.js';
import { isList, isMap, type WireMap, type WireValue } from '../wire/wire-value.js';

/** Who calls, from where, and on behalf of which task. */
export interface CallContext {
  readonly pool: SimulatedPool;
  /** Reference of the host that was asked. */
  readonly host: string;
  /** `''` for a call that needs none. */
  readonly session: string;
  /** The task of an `Async.` call; for others the key under which `current_operations` shows them. */
  readonly task: string;
  readonly isAsync: boolean;
  /** Aborts when the task is cancelled, the client is gone or the pool closes. */
  readonly signal: AbortSignal;
}

/** A value that carries its own wire types, for the few answers that the datamodel does not describe. */
export interface TypedResult {
  readonly rpc: RpcValue;
}

export type MethodResult = WireValue | TypedResult | undefined;

/** The behaviour of one call. `undefined` is void. */
export type Method = (context: CallContext, args: Arguments) => MethodResult | Promise<MethodResult>;

/** Calls by name, such as `VM.snapshot`. */
export type MethodTable = Readonly<Record<string, Method>>;

/** The arguments of a call, checked against the datamodel already; read by position, the session not counted. */
export class Arguments {
  readonly #values: readonly WireValue[];

  constructor(values: readonly WireValue[]) {
    this.#values = values;
  }

  text(index: number): string {
    const value = this.#values[index];
    return typeof value === 'string' ? value : '';
  }

  number(index: number): number {
    const value = this.#values[index];
    return typeof value === 'number' ? value : 0;
  }

  flag(index: number): boolean {
    return this.#values[index] === true;
  }

  strings(index: number): readonly string[] {
    const value = this.#values[index];
    return isList(value) ? value.filter((item) => typeof item === 'string') : [];
  }

  map(index: number): WireMap {
    const value = this.#values[index];
    return isMap(value) ? value : {};
  }

  value(index: number): WireValue {
    const value = this.#values[index];
    if (value === undefined) throw new SimulatedFailure('INTERNAL_ERROR', ['Not_found']);
    return value;
  }
}
