import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../../../src/common/package-root.js';
import { type Json } from '../support/rpc-client.js';

/** The text of one file of what a real XAPI 24.19.2 answered, see fixtures/captured. */
export function capturedText(name: string): string {
  return gunzipSync(readFileSync(join(packageRoot(), 'fixtures/captured/answers', `${name}.gz`))).toString();
}

export function capturedJson(name: string): unknown {
  return JSON.parse(capturedText(`${name}.json`));
}

/** The steps of a captured flow, in order. */
export function capturedSteps(name: string): readonly CapturedStep[] {
  return capturedJson(name) as readonly CapturedStep[];
}

/** One entry of a captured flow: a call, a transfer, or the final record of the task before it. */
export interface CapturedStep {
  readonly note: string;
  /** Which host of a pool of two was asked. */
  readonly at?: 'coordinator' | 'member';
  readonly rpc?: string;
  readonly params?: readonly unknown[];
  readonly headers?: readonly (readonly [name: string, value: string])[] | null;
  readonly answer?: Json;
  readonly http?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly request_headers?: Readonly<Record<string, string>> | null;
  /** What was sent; null: a GET. */
  readonly body_bytes?: number | null;
  /** The status line's; absent when the client gave up waiting for the end of the answer. */
  readonly status?: number;
  /** 10 or 11. */
  readonly version?: number;
  readonly error?: string;
  /** Whether the answer had an end, as far as that was written down. */
  readonly body_end?: string;
  readonly answer_bytes?: number;
  readonly answer_head?: string | null;
  readonly task?: Json;
  /** What the capturing client noted instead of a request. */
  readonly [fact: string]: unknown;
}
