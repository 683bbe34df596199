import { type Clock } from '../common/clock.js';
import { withDeadline } from '../common/abort.js';
import { followTask, removeTask, seeTask, TASK_LOST, type TaskCall, type TaskSighting } from '../xapi/task-follower.js';
import { taskResultValues } from '../xapi/task-result.js';
import { TransportError } from '../xapi/transport-error.js';
import { isXapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';
import { type HandlerTask, type TaskOptions } from './pool-connection.js';

/** How long a cancelled call may take to end before we let go of it. */
const CANCEL_GRACE_MS = 60_000;
/** The same when the connection is being closed. */
const CLOSE_GRACE_MS = 5_000;

/** Tasks: those that calls start, and those that we make for handlers. */
export class PoolTasks {
  readonly #call: TaskCall;
  readonly #clock: Clock;
  readonly #callTimeoutMs: number;
  readonly #open = new Set<HandlerTask>();
  readonly #running = new Set<Promise<string>>();
  readonly #closing = new AbortController();

  constructor(call: TaskCall, clock: Clock, callTimeoutMs: number) {
    this.#call = call;
    this.#clock = clock;
    this.#callTimeoutMs = callTimeoutMs;
  }

  /**
   * Runs `Async.<method>` to its end. When the signal aborts or the time is over, the task is cancelled and its end
   * waited for: a call that made it all the same gives its result, because only the caller can undo it.
   */
  async callTask(method: string, args: readonly unknown[], options: TaskOptions = {}): Promise<string> {
    const running = this.#callTask(method, args, options);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #callTask(method: string, args: readonly unknown[], options: TaskOptions): Promise<string> {
    const { signal, onProgress, timeoutMs = this.#callTimeoutMs } = options;
    signal?.throwIfAborted();
    // Not under the signal: the work must not go on unseen.
    const ref = (await this.#call(`Async.${method}`, args, {})) as RefOf<'task'>;
    const follow = { call: this.#call, clock: this.#clock, onProgress };
    const onTimeout = (): Error => new TransportError('timeout', `${method} did not end in ${timeoutMs} ms.`);
    try {
      const result = await withDeadline([signal, this.#closing.signal], timeoutMs, onTimeout, async (limited) => {
        try {
          return await followTask(ref, { ...follow, signal: limited });
        } catch (error) {
          if (!limited.aborted) throw error;
          return await this.#cancelled(ref, limited.reason as Error);
        }
      });
      await removeTask(ref, this.#call, false);
      return taskResultValues(result)[0] ?? '';
    } catch (error) {
      if (isXapiError(error)) await removeTask(ref, this.#call, false);
      throw isXapiError(error) ? error.duringCall(method) : error;
    }
  }

  /** Makes a task for a handler and starts following it. */
  async createTask(label: string, description: string, signal?: AbortSignal): Promise<HandlerTask> {
    signal?.throwIfAborted();
    // Not under the signal: a task must not be born unseen.
    const ref = (await this.#call('task.create', [label, description], {})) as RefOf<'task'>;
    try {
      const first = await seeTask(ref, this.#call, signal);
      const task = new FollowedTask(ref, first, this.#call, this.#clock, signal, () => {
        this.#open.delete(task);
      });
      this.#open.add(task);
      return task;
    } catch (error) {
      await removeTask(ref, this.#call, true);
      throw error;
    }
  }

  /** Ends the calls that nobody waits for any more, and releases what nobody released. */
  async close(): Promise<void> {
    this.#closing.abort(new TransportError('interrupted', 'The connection is being closed.'));
    await Promise.allSettled([...this.#running]);
    await Promise.all([...this.#open].map((task) => task.release()));
  }

  async #cancelled(ref: RefOf<'task'>, reason: Error): Promise<string> {
    await this.#call('task.cancel', [ref], {}).catch(() => undefined);
    const onTimeout = (): Error => reason;
    const graceMs = this.#closing.signal.aborted ? CLOSE_GRACE_MS : CANCEL_GRACE_MS;
    return await withDeadline([], graceMs, onTimeout, async (signal) => {
      try {
        return await followTask(ref, { call: this.#call, clock: this.#clock, signal });
      } catch {
        await removeTask(ref, this.#call, signal.aborted);
        throw reason;
      }
    });
  }
}

class FollowedTask implements HandlerTask {
  readonly ref: RefOf<'task'>;
  readonly uuid: string;
  readonly verdict: Promise<string>;
  readonly #call: TaskCall;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #onRelease: () => void;
  readonly #signal: AbortSignal | undefined;
  #isPending = true;
  #released: Promise<void> | undefined;

  constructor(
    ref: RefOf<'task'>,
    first: TaskSighting,
    call: TaskCall,
    clock: Clock,
    signal: AbortSignal | undefined,
    onRelease: () => void,
  ) {
    this.ref = ref;
    this.uuid = first.task.uuid;
    this.#call = call;
    this.#clock = clock;
    this.#signal = signal;
    this.#onRelease = onRelease;
    signal?.addEventListener('abort', this.#cancel, { once: true });
    const over = AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])]);
    this.verdict = followTask(ref, { call, clock, signal: over, from: first }).then(
      (result) => {
        this.#isPending = false;
        return result;
      },
      (error: unknown) => {
        if (isEnd(error)) this.#isPending = false;
        throw error;
      },
    );
    this.verdict.catch(() => undefined);
    if (signal?.aborted) this.#cancel();
  }

  readonly #cancel = (): void => {
    this.#call('task.cancel', [this.ref], {}).catch(() => undefined);
  };

  async settled(limitMs: number): Promise<void> {
    if (!this.#isPending) return;
    this.#cancel();
    const onTimeout = (): Error => new TransportError('timeout', `The task did not end in ${limitMs} ms.`);
    const follow = { call: this.#call, clock: this.#clock };
    try {
      await withDeadline([this.#stop.signal], limitMs, onTimeout, (signal) =>
        followTask(this.ref, { ...follow, signal }),
      );
      this.#isPending = false;
    } catch (error) {
      if (isEnd(error)) this.#isPending = false;
    }
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#cancel);
    const isPending = this.#isPending;
    this.#stop.abort(new TransportError('interrupted', 'The task is no longer followed.'));
    await removeTask(this.ref, this.#call, isPending);
    this.#onRelease();
  }
}

/** Only the task's own word ends it; a lost connection does not. */
function isEnd(error: unknown): boolean {
  return isXapiError(error) && (error.taskUuid !== undefined || error.code === TASK_LOST);
}
