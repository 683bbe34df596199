import { strikeOnce } from '../behaviour/fault-acts.js';
import { StreamShaper, type FaultAction, type ShapedStep } from '../faults.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { bodyOf, contentLengthOf } from './body.js';
import { type Exchange } from './handler.js';
import { describeFailure, errorPage } from './pages.js';
import { type RequestHead } from './request-head.js';
import { type SocketIo } from './socket-io.js';

export interface LiveExchangeParts {
  readonly pool: SimulatedPool;
  readonly host: string;
  readonly isTls: boolean;
  readonly head: RequestHead;
  readonly io: SocketIo;
  readonly session: string;
  readonly signal: AbortSignal;
  readonly faults: readonly FaultAction[];
}

/** A slow transfer goes in pieces of at most this. */
const SLOW_PIECE_BYTES = 64 * 1024;

/** Thrown to unwind a handler whose answer a fault has ended. */
class AnswerEnded extends SimulatedFailure {
  readonly taskEnd: 'success' | 'failure' | 'left';

  constructor(taskEnd: 'success' | 'failure' | 'left') {
    super('CLIENT_ERROR', ['the answer was ended on purpose']);
    this.taskEnd = taskEnd;
  }
}

/** An {@link Exchange} over a socket. Faults act on the body's bytes, of the answer and of a PUT. */
export class LiveExchange implements Exchange {
  readonly pool: SimulatedPool;
  readonly host: string;
  readonly isTls: boolean;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly rawQuery: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly httpVersion: '1.0' | '1.1';
  readonly contentLength: number | undefined;
  readonly body: AsyncIterable<Buffer>;
  readonly signal: AbortSignal;
  readonly hungUp: AbortSignal;
  readonly #session: string;
  readonly #io: SocketIo;
  readonly #answerShaper: StreamShaper;
  readonly #bodyShaper: StreamShaper;
  readonly #faults: readonly FaultAction[];
  #passedBytes = 0;
  #task: string | undefined;

  constructor(parts: LiveExchangeParts) {
    const { head } = parts;
    this.pool = parts.pool;
    this.host = parts.host;
    this.isTls = parts.isTls;
    this.method = head.method;
    this.path = head.path;
    this.rawQuery = head.rawQuery;
    this.query = new URLSearchParams(head.rawQuery);
    this.headers = head.headers;
    this.httpVersion = head.httpVersion;
    this.contentLength = contentLengthOf(head);
    this.signal = parts.signal;
    this.hungUp = AbortSignal.any([parts.io.hungUp, parts.signal]);
    this.#session = parts.session;
    this.#io = parts.io;
    this.#faults = parts.faults;
    const isUpload = head.method === 'PUT';
    this.#answerShaper = new StreamShaper(isUpload ? [] : parts.faults);
    this.#bodyShaper = new StreamShaper(isUpload ? parts.faults : []);
    this.body = this.#shapedBody();
  }

  get session(): string {
    if (this.#session === '') throw new SimulatedFailure('SESSION_INVALID', ['']);
    return this.#session;
  }

  get task(): string | undefined {
    return this.#task;
  }

  adoptTask(label: string): string {
    const wanted = this.query.get('task_id');
    if (wanted === null || wanted === '') {
      const subtaskOf = this.query.get('subtask_of');
      const parent = subtaskOf === null || !this.pool.store.has('task', subtaskOf) ? {} : { subtaskOf };
      this.#task = this.pool.tasks.create({ label, session: this.#session, host: this.host, ...parent });
    } else {
      this.pool.tasks.adopt(wanted);
      this.#task = wanted;
    }
    this.#planEnding(this.#task);
    return this.#task;
  }

  async writeHead(lines: readonly string[]): Promise<void> {
    await this.#io.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`));
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (const step of this.#answerShaper.shape(bytes)) {
      if (step.kind === 'bytes') for await (const piece of this.#paced(step.bytes)) await this.#io.write(piece);
      else await this.#follow(step);
    }
  }

  async end(): Promise<void> {
    await this.#io.end();
  }

  destroy(): void {
    this.#io.destroy();
  }

  /**
   * Ends a request whose handler threw: the task fails, and the client gets the 500 page, be it inside the body. A
   * client that is gone gets nothing, but its task fails all the same.
   */
  async fail(thrown: unknown): Promise<void> {
    if (thrown instanceof AnswerEnded) {
      if (this.#task !== undefined && thrown.taskEnd === 'success') this.pool.tasks.succeed(this.#task, '');
      if (this.#task !== undefined && thrown.taskEnd === 'failure') {
        this.pool.tasks.fail(this.#task, new SimulatedFailure('VDI_IO_ERROR', ['Device I/O errors']));
      }
      return;
    }
    const failure = toSimulatedFailure(thrown);
    if (this.#task !== undefined) this.pool.tasks.fail(this.#task, failure);
    if (this.#io.gone.aborted) return;
    try {
      await this.#io.write(errorPage(describeFailure(failure)));
    } catch {
      this.destroy();
    }
  }

  /** Does a step that is not bytes. */
  async #follow(step: Exclude<ShapedStep, { kind: 'bytes' }>): Promise<void> {
    if (step.kind === 'fail') throw step.failure;
    if (step.kind === 'act') strikeOnce(step.action, { pool: this.pool, host: this.host, session: this.#session });
    else await this.#leave(step.kind, step.kind === 'end' ? step.task : 'left');
  }

  #planEnding(task: string): void {
    for (const action of this.#faults) {
      if ('vanishTask' in action) this.pool.tasks.setEnding(task, 'vanish');
      if ('taskFailure' in action) {
        const [code, ...params] = action.taskFailure;
        this.pool.tasks.setEnding(task, new SimulatedFailure(code, params));
      }
    }
  }

  /** All at once or, under a fault that slows it down, in pieces with a wait after each. */
  async *#paced(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    const slow = this.#faults.find((action) => 'bytesPerSecond' in action);
    const start = this.#passedBytes;
    this.#passedBytes += bytes.length;
    if (slow === undefined || this.#passedBytes <= (slow.atByte ?? 0)) {
      yield bytes;
      return;
    }
    for (let from = 0; from < bytes.length; from += SLOW_PIECE_BYTES) {
      const piece = bytes.subarray(from, from + SLOW_PIECE_BYTES);
      yield piece;
      if (start + from < (slow.atByte ?? 0)) continue;
      await this.pool.clock.sleep((1000 * piece.length) / slow.bytesPerSecond, this.signal);
    }
  }

  async #leave(kind: 'cut' | 'stall' | 'end', taskEnd: 'success' | 'failure' | 'left'): Promise<never> {
    if (kind === 'stall') await this.#untilReleased();
    if (kind === 'cut') {
      this.destroy();
      throw new SimulatedFailure('CLIENT_ERROR', ['Unix.Unix_error(Unix.EPIPE, "write", "")']);
    }
    if (kind === 'end') throw new AnswerEnded(taskEnd);
    throw toSimulatedFailure(this.signal.reason);
  }

  /** A stall ends when the client goes, the pool closes, or the task is cancelled; throws for the latter. */
  async #untilReleased(): Promise<void> {
    const task = this.#task;
    if (task === undefined) return untilAborted(this.signal);
    await untilAborted(AbortSignal.any([this.signal, this.pool.tasks.signalOf(task)]));
    this.pool.tasks.throwIfCancelled(task);
  }

  async *#shapedBody(): AsyncGenerator<Buffer> {
    for await (const chunk of bodyOf(this.#io, this.contentLength)) {
      for (const step of this.#bodyShaper.shape(chunk)) {
        if (step.kind !== 'bytes') await this.#follow(step);
        else if (step.bytes.length > 0) for await (const piece of this.#paced(step.bytes)) yield Buffer.from(piece);
      }
    }
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
