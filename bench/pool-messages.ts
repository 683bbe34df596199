import { type PoolDefinition } from '../src/simulator/index.js';

/** What the parent of a pool sends first. */
export interface PoolStart {
  readonly definition: PoolDefinition | string;
}

/** What it asks then. */
export interface PoolQuestion {
  readonly id: number;
  /** An operation of the control port, or `calls`: the XAPI calls since the last time; or `usage`. */
  readonly operation: string;
  readonly input?: object;
}

export interface PoolAnswer {
  /** Of the question; 0 is the answer to the start. */
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}
