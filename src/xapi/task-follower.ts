import { withDeadline } from '../common/abort.js';
import { type Clock } from '../common/clock.js';
import { TransportError } from './transport-error.js';
import { isXapiError, taskError, XapiError } from './xapi-error.js';
import { readRecord, type RefOf, type TaskRecord, xapiDateMs } from './xapi-records.js';

/** How a follower reaches the pool. Expected to repeat what is idempotent by itself. */
export type TaskCall = (
  method: string,
  args: readonly unknown[],
  options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number; readonly isIdempotent?: boolean },
) => Promise<unknown>;

/** One look at a task, and where to go on from. */
export interface TaskSighting {
  readonly task: TaskRecord;
  readonly token: string;
}

export interface FollowOptions {
  readonly call: TaskCall;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** 0..1, whenever the pool says something new. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Result of an earlier `seeTask`, to save a call. */
  readonly from?: TaskSighting | undefined;
}

/** How long one waiting `event.from` waits, in seconds. Not an integer: XML-RPC must see a float. */
const WAIT_SECONDS = 30.1;
/** What the pool may take beyond that to answer (it batches, and adds about half a second). */
const WAIT_MARGIN_MS = 30_000;
/** Between two looks when events are not to be had. */
const POLL_MS = 2_000;

/** Cleaning up after a pool that hangs must not hang as well: all steps together. */
const REMOVE_TIMEOUT_MS = 30_000;

/** Code of the error for a task that vanished: whether its work was done is unknown. Ours, not XAPI's. */
export const TASK_LOST = 'TASK_LOST';

interface EventBatch {
  readonly events?: readonly { readonly ref: string; readonly operation: string; readonly snapshot?: unknown }[];
  readonly token?: string;
}

/** Looks at a task now. @throws {XapiError} TASK_LOST when there is no such task. */
export async function seeTask(ref: RefOf<'task'>, call: TaskCall, signal?: AbortSignal): Promise<TaskSighting> {
  try {
    // An empty token brings the present state at once.
    const batch = (await call('event.from', [[`task/${ref}`], '', 0], { signal, isIdempotent: true })) as EventBatch;
    const found = batch.events?.find((event) => event.ref === ref && event.snapshot !== undefined);
    if (found !== undefined) return { task: readRecord('task', found.snapshot), token: batch.token ?? '' };
  } catch (error) {
    if (!isRefusal(error)) throw error;
  }
  return { task: await pollTask(ref, call, signal), token: '' };
}

/**
 * Follows a task to its end and resolves with its raw result text. Cheap: one waiting call at a time, by events of
 * this task alone; where a release refuses those, by looking every two seconds.
 * @throws {XapiError} the task's own error; TASK_CANCELLED; TASK_LOST
 */
export async function followTask(ref: RefOf<'task'>, options: FollowOptions): Promise<string> {
  const { call, clock, signal, onProgress } = options;
  let sighting = options.from ?? (await seeTask(ref, call, signal));
  for (;;) {
    const { task } = sighting;
    if (task.status === 'success') return task.result;
    if (task.status === 'failure' || task.status === 'cancelled') {
      const window = { fromMs: xapiDateMs(task.created), toMs: xapiDateMs(task.finished) };
      throw taskError(task.status, task.error_info, {
        taskUuid: task.uuid,
        ...(window.fromMs > 0 && window.toMs >= window.fromMs ? { window } : {}),
      });
    }
    onProgress?.(Math.min(Math.max(task.progress, 0), 1));
    sighting = await nextSighting(ref, sighting, call, clock, signal);
  }
}

async function nextSighting(
  ref: RefOf<'task'>,
  last: TaskSighting,
  call: TaskCall,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<TaskSighting> {
  if (last.token === '') {
    await clock.sleep(POLL_MS, signal);
    return await seeTask(ref, call, signal);
  }
  const timeoutMs = WAIT_SECONDS * 1000 + WAIT_MARGIN_MS;
  try {
    const args = [[`task/${ref}`], last.token, WAIT_SECONDS];
    const batch = (await call('event.from', args, { signal, timeoutMs, isIdempotent: true })) as EventBatch;
    const event = batch.events?.findLast((candidate) => candidate.ref === ref);
    if (event?.operation === 'del') throw lost();
    if (event?.snapshot !== undefined) {
      return { task: readRecord('task', event.snapshot), token: batch.token ?? last.token };
    }
  } catch (error) {
    if (!isXapiError(error, 'EVENTS_LOST', 'EVENT_FROM_TOKEN_PARSE_FAILURE')) throw error;
  }
  // Nothing came. The coordinator may be another one by now, to which our token means nothing: look afresh.
  return await seeTask(ref, call, signal);
}

async function pollTask(ref: RefOf<'task'>, call: TaskCall, signal?: AbortSignal): Promise<TaskRecord> {
  try {
    return readRecord('task', await call('task.get_record', [ref], { signal, isIdempotent: true }));
  } catch (error) {
    throw isXapiError(error, 'HANDLE_INVALID') ? lost() : error;
  }
}

function lost(): XapiError {
  return new XapiError(TASK_LOST, ['The task vanished before its end was seen.']);
}

/** True when a release does not know events of single objects, or events at all. */
export function isRefusal(error: unknown): boolean {
  return isXapiError(
    error,
    'MESSAGE_METHOD_UNKNOWN',
    'MESSAGE_REMOVED',
    'MESSAGE_DEPRECATED',
    'MESSAGE_PARAMETER_COUNT_MISMATCH',
    'EVENT_SUBSCRIPTION_PARSE_FAILURE',
    'SESSION_NOT_REGISTERED',
  );
}

/**
 * Removes a task. A pending one is cancelled and given a status first: XAPI does not destroy pending tasks, it answers
 * success and leaves them (captures of XAPI 24.19). Never rejects; a task that stays is removed by the pool in time.
 */
export async function removeTask(ref: RefOf<'task'>, call: TaskCall, isPending: boolean): Promise<void> {
  const onTimeout = (): Error => new TransportError('timeout', 'The pool did not remove a task in time.');
  await withDeadline([], REMOVE_TIMEOUT_MS, onTimeout, async (signal) => {
    const attempt = async (method: string, ...args: readonly unknown[]): Promise<void> => {
      try {
        await call(method, [ref, ...args], { signal, timeoutMs: REMOVE_TIMEOUT_MS });
      } catch {
        // The next step may work all the same, and nothing depends on it.
      }
    };
    if (isPending) {
      await attempt('task.cancel');
      await attempt('task.set_status', 'failure');
    }
    await attempt('task.destroy');
  });
}
