import { type Clock } from '../common/clock.js';
import { type RecordStore } from './record-store.js';
import { SimulatedFailure } from './simulated-failure.js';
import { EPOCH, mapOf, NULL_REF, textOf, wireDate } from './wire/wire-value.js';

export interface NewTask {
  readonly label: string;
  readonly description?: string;
  /** The session that owns it; a task without one belongs to nobody. */
  readonly session?: string;
  readonly subtaskOf?: string;
  readonly host: string;
}

interface Running {
  readonly controller: AbortController;
}

/** How a task ends, whatever its work comes to: badly, or gone before anybody saw its end. */
export type TaskEnding = SimulatedFailure | 'vanish';

/** When finished tasks go, and when those that never end do (facts 1.7). */
const FINISHED_KEPT_MS = 65 * 60_000;
const PENDING_KEPT_MS = 24 * 60 * 60_000;
/** More finished ones than this, and the oldest go early. */
const MAX_FINISHED = 200;

/**
 * The pool's tasks. A task is `pending` until it succeeds or fails, and nothing changes it afterwards. Cancelling is a
 * wish: it aborts {@link signalOf}, and the running work decides.
 */
export class TaskTable {
  readonly #store: RecordStore;
  readonly #clock: Clock;
  readonly #running = new Map<string, Running>();
  readonly #endings = new Map<string, TaskEnding>();

  constructor(store: RecordStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Makes a pending task and returns its reference. */
  create(task: NewTask): string {
    return this.#store.create('task', {
      name_label: task.label,
      name_description: task.description ?? '',
      created: wireDate(this.#clock.nowMs()),
      finished: EPOCH,
      status: 'pending',
      resident_on: task.host,
      progress: 0,
      type: '<none/>',
      result: '',
      error_info: [],
      subtask_of: task.subtaskOf ?? NULL_REF,
      backtrace: '()',
    });
  }

  /**
   * Takes over a client's task, as an HTTP handler does with `task_id`: from now on its end is the handler's.
   * Throws INTERNAL_ERROR for a task that is not there, as XAPI does (its database's "missing row").
   */
  adopt(ref: string): void {
    if (!this.#store.has('task', ref)) {
      throw new SimulatedFailure('INTERNAL_ERROR', [`Db_exn.DBCache_NotFound("missing row", "task", "${ref}")`]);
    }
    this.setProgress(ref, 0);
  }

  /** Decides beforehand how a task ends once its work is done. */
  setEnding(ref: string, ending: TaskEnding): void {
    this.#endings.set(ref, ending);
  }

  /** Takes a task away, ended or not, as the end of the coordinator does. What works for it is told to stop. */
  drop(ref: string): void {
    this.#running.get(ref)?.controller.abort(new SimulatedFailure('TASK_CANCELLED', [ref]));
    this.#forget(ref);
    if (this.#store.has('task', ref)) this.#store.destroy('task', ref);
  }

  /**
   * Takes away what is finished and was to be destroyed while it ran, what is finished for long, what is pending for very
   * long, and the oldest of too many finished ones.
   */
  collect(): void {
    const finishedBefore = wireDate(this.#clock.nowMs() - FINISHED_KEPT_MS);
    const createdBefore = wireDate(this.#clock.nowMs() - PENDING_KEPT_MS);
    const finished: (readonly [finished: string, ref: string])[] = [];
    for (const [ref, record] of this.#store.all('task')) {
      const isOpen = ['pending', 'cancelling'].includes(textOf(record, 'status'));
      const isUnwanted = Object.values(mapOf(record, 'current_operations')).includes('destroy');
      if (!isOpen) finished.push([isUnwanted ? EPOCH : textOf(record, 'finished'), ref]);
      else if (textOf(record, 'created') < createdBefore) this.drop(ref);
    }
    finished.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const surplus = finished.length - MAX_FINISHED;
    for (const [index, [date, ref]] of finished.entries()) if (index < surplus || date < finishedBefore) this.drop(ref);
  }

  isPending(ref: string): boolean {
    const record = this.#store.find('task', ref);
    return record !== undefined && textOf(record, 'status') === 'pending';
  }

  /** `progress` from 0 to 1; ignored once the task is over. */
  setProgress(ref: string, progress: number): void {
    if (this.isPending(ref)) this.#store.patch('task', ref, { progress });
  }

  /** Ends the task well. `result` is XML value text (`<value>OpaqueRef:..</value>`), `''` for a transfer. */
  succeed(ref: string, result: string): void {
    this.#end(ref, { status: 'success', result });
  }

  /** Ends the task badly; a TASK_CANCELLED makes it `cancelled`. */
  fail(ref: string, failure: SimulatedFailure): void {
    const isCancelled = failure.code === 'TASK_CANCELLED';
    this.#end(ref, isCancelled ? { status: 'cancelled' } : { status: 'failure', error_info: failure.description });
  }

  /**
   * What a client says about a task of its own. Nothing else follows from it: `finished` stays what it was, so that the
   * next look at old tasks takes a task that was ended like this. Throws HANDLE_INVALID.
   */
  setStatus(ref: string, status: string): void {
    this.#store.get('task', ref);
    this.#store.patch('task', ref, { status });
  }

  /** Asks the running work to stop. The wish takes the place of what `current_operations` showed, over or not. */
  cancel(ref: string, key: string): void {
    this.#store.get('task', ref);
    this.#store.patch('task', ref, { current_operations: { [key]: 'cancel' } });
    this.#running.get(ref)?.controller.abort(new SimulatedFailure('TASK_CANCELLED', [ref]));
  }

  isCancelled(ref: string): boolean {
    return this.#running.get(ref)?.controller.signal.aborted === true;
  }

  /** Throws TASK_CANCELLED when a cancel was asked for: call it wherever long work can stop. */
  throwIfCancelled(ref: string): void {
    if (this.isCancelled(ref)) throw new SimulatedFailure('TASK_CANCELLED', [ref]);
  }

  /** Aborts (with TASK_CANCELLED) when the task is cancelled. Asking for it marks the task as one that can be. */
  signalOf(ref: string): AbortSignal {
    let running = this.#running.get(ref);
    if (running === undefined) this.#running.set(ref, (running = { controller: new AbortController() }));
    return running.controller.signal;
  }

  #end(ref: string, fields: Readonly<Record<string, string | readonly string[]>>): void {
    const ending = this.#endings.get(ref);
    this.#forget(ref);
    if (!this.isPending(ref)) return;
    if (ending === 'vanish') {
      this.#store.destroy('task', ref);
      return;
    }
    this.#store.patch('task', ref, {
      ...(ending === undefined ? fields : { status: 'failure', error_info: ending.description }),
      progress: 1,
      finished: wireDate(this.#clock.nowMs()),
      allowed_operations: [],
    });
  }

  #forget(ref: string): void {
    this.#running.delete(ref);
    this.#endings.delete(ref);
  }
}
