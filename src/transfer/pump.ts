import { createHash } from 'node:crypto';
import { type Readable, type Writable } from 'node:stream';
import { type Clock, systemClock } from '../common/clock.js';
import { BackupError, isBackupError } from '../contract/backup-error.js';
import { cancellation } from './cancellation.js';
import { toTransferError } from './data-damaged.js';
import { InactivityWatch } from './inactivity-watch.js';
import { mediumWriteError } from './medium-error.js';
import { PieceJoiner } from './piece-joiner.js';
import { isTransportError } from '../xapi/transport-error.js';

/** A medium may take its time (a tape is changed), but not for ever. */
const DEFAULT_SINK_TIMEOUT_MS = 3_600_000;
/** How long a destroyed sink may take to put its things away before the failure is reported all the same. */
const SINK_CLOSE_TIMEOUT_MS = 10_000;

export interface PumpOptions {
  readonly source: Readable;
  readonly sink: Writable;
  /** See every piece before it is written, and throw to stop the transfer. A `FormatError` becomes DATA_DAMAGED. */
  readonly taps?: readonly ((chunk: Buffer) => void)[];
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Longest wait for the source's first byte. */
  readonly firstByteTimeoutMs: number;
  /** Longest silence of the source afterwards. */
  readonly idleTimeoutMs: number;
  /** Longest time that the sink may refuse data or take to finish. Default one hour. */
  readonly sinkTimeoutMs?: number;
  /** Told of every piece: its length. */
  readonly onBytes?: (bytes: number) => void;
  /** Told of every piece that the sink has called back for: neither it nor the pump looks at the piece any more. */
  readonly onWritten?: (piece: Buffer) => void;
  /**
   * The caller's verdict, asked for when the source is at its end and before the sink is. When it rejects, the sink is
   * destroyed and the pump rejects with the same error (a `FormatError` becomes DATA_DAMAGED). It has its own time limit.
   */
  readonly beforeEnd?: (result: PumpResult) => Promise<void>;
  /** What a failure of the source means. Default TRANSFER_INTERRUPTED. */
  readonly toSourceError?: (cause: unknown) => Error;
}

export interface PumpResult {
  readonly bytes: number;
  /** Of all bytes that went through, 64 lower-case hex digits. */
  readonly sha256: string;
}

/**
 * Moves everything from `source` to `sink` and resolves once the sink has finished. Whatever happens, both streams are
 * ended or destroyed when it settles. A slow sink slows the source down and is not taken for a stalled source.
 * @throws {BackupError} TRANSFER_STALLED, TRANSFER_INTERRUPTED, DATA_DAMAGED, MEDIUM_FULL, MEDIUM_FAILED, CANCELLED; or
 *   what a tap or the verdict threw, when that is no `FormatError`.
 */
export async function pump(options: PumpOptions): Promise<PumpResult> {
  return await new Transfer(options).run();
}

class Transfer {
  readonly #options: PumpOptions;
  readonly #clock: Clock;
  readonly #watch: InactivityWatch;
  readonly #digest = createHash('sha256');
  readonly #joiner = new PieceJoiner((joined) => {
    this.#forward(joined);
  });
  readonly #failure: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;
  #bytes = 0;
  #isSourceOver = false;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#failure = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    // It is raced with every step; between two steps nobody listens.
    this.#failure.catch(() => undefined);
    this.#watch = new InactivityWatch(this.#clock, this.#fail);
  }

  async run(): Promise<PumpResult> {
    const { source, signal, beforeEnd } = this.#options;
    const onAbort = (): void => {
      this.#fail(cancellation(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal.aborted) throw cancellation(signal);
      this.#listen();
      await this.#step(this.#flow());
      this.#watch.rest();
      const result = { bytes: this.#bytes, sha256: this.#digest.digest('hex') };
      if (beforeEnd !== undefined) await this.#step(beforeEnd(result));
      await this.#step(this.#finishSink());
      return result;
    } catch (error) {
      const failure = toTransferError(error);
      source.pause();
      this.#joiner.discard();
      await this.#destroySink(failure);
      throw failure;
    } finally {
      this.#watch.stop();
      signal.removeEventListener('abort', onAbort);
      source.destroy();
    }
  }

  async #step<T>(work: Promise<T>): Promise<T> {
    return await Promise.race([work, this.#failure]);
  }

  /** These listeners stay: an error that comes after the end must not bring the process down. */
  #listen(): void {
    const { source, sink } = this.#options;
    // What came before the end of a source counts.
    source.on('error', (cause) => {
      this.#joiner.flush();
      this.#fail(this.#sourceError(cause));
    });
    source.on('close', () => {
      this.#joiner.flush();
      if (!this.#isSourceOver) this.#fail(this.#sourceError(source.errored ?? undefined));
    });
    sink.on('error', (cause) => {
      this.#fail(mediumWriteError(cause));
    });
    sink.on('close', () => {
      if (!sink.writableFinished) this.#fail(mediumWriteError(sink.errored ?? undefined));
    });
    if (sink.destroyed) this.#fail(mediumWriteError(sink.errored ?? undefined));
    if (source.destroyed) this.#fail(this.#sourceError(source.errored ?? undefined));
  }

  async #flow(): Promise<void> {
    const { source, sink, firstByteTimeoutMs } = this.#options;
    this.#watch.expect(firstByteTimeoutMs, () => stalled('sent nothing', firstByteTimeoutMs, 0));
    sink.on('drain', () => {
      // Nothing more comes; the verdict has limits of its own.
      if (this.#isSourceOver) return;
      this.#expectMore();
      source.resume();
    });
    await new Promise<void>((resolve) => {
      source.once('end', () => {
        this.#isSourceOver = true;
        this.#joiner.flush();
        resolve();
      });
      source.on('data', (chunk: Buffer) => {
        this.#joiner.push(chunk);
      });
      // A source that came paused would never begin.
      source.resume();
    });
  }

  #forward(chunk: Buffer): void {
    const { source, sink, sinkTimeoutMs = DEFAULT_SINK_TIMEOUT_MS, onWritten } = this.#options;
    try {
      this.#pass(chunk);
    } catch (error) {
      source.pause();
      this.#fail(error);
      return;
    }
    const isTaken = sink.write(chunk, (error) => {
      if (!(error instanceof Error)) onWritten?.(chunk);
    });
    if (isTaken) return;
    source.pause();
    this.#watch.expect(sinkTimeoutMs, () => sinkTooSlow(sinkTimeoutMs));
  }

  #pass(chunk: Buffer): void {
    if (this.#bytes === 0) this.#expectMore();
    else this.#watch.touch();
    this.#digest.update(chunk);
    this.#bytes += chunk.length;
    for (const tap of this.#options.taps ?? []) tap(chunk);
    this.#options.onBytes?.(chunk.length);
  }

  #expectMore(): void {
    const { idleTimeoutMs } = this.#options;
    this.#watch.expect(idleTimeoutMs, () => stalled('stopped sending', idleTimeoutMs, this.#bytes));
  }

  async #finishSink(): Promise<void> {
    const { sink, sinkTimeoutMs = DEFAULT_SINK_TIMEOUT_MS } = this.#options;
    this.#watch.expect(sinkTimeoutMs, () => sinkTooSlow(sinkTimeoutMs));
    await new Promise<void>((resolve) => {
      sink.once('finish', resolve);
      sink.end();
    });
  }

  async #destroySink(reason: unknown): Promise<void> {
    const { sink } = this.#options;
    if (!sink.closed) {
      const waiting = new AbortController();
      const closed = new Promise<void>((resolve) => {
        sink.once('close', resolve);
      });
      sink.on('error', () => undefined);
      sink.destroy(reason instanceof Error ? reason : undefined);
      const limit = this.#clock.sleep(SINK_CLOSE_TIMEOUT_MS, waiting.signal).catch(() => undefined);
      await Promise.race([closed, limit]);
      waiting.abort();
    }
  }

  #sourceError(cause: unknown): Error {
    const { toSourceError, idleTimeoutMs } = this.#options;
    if (toSourceError !== undefined) return toSourceError(cause);
    if (isBackupError(cause)) return cause;
    // The connection keeps a limit of its own and may be the first to see that nothing comes.
    if (isTransportError(cause, 'timeout')) return stalled('stopped sending', idleTimeoutMs, this.#bytes, cause);
    return new BackupError('TRANSFER_INTERRUPTED', `The transfer broke off after ${this.#bytes} bytes.`, {
      hint: 'Look at the network between this machine and the source, then try again.',
      isRetriable: true,
      context: {
        bytes: this.#bytes,
        systemCode: cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined,
      },
      cause,
    });
  }
}

function stalled(what: string, limitMs: number, bytes: number, cause?: unknown): BackupError {
  return new BackupError('TRANSFER_STALLED', `The source ${what} for ${limitMs / 1000} s.`, {
    hint: 'Look at the load of the source and at the network, or raise the time limit of this client.',
    isRetriable: true,
    context: { limitMs, bytes },
    cause,
  });
}

function sinkTooSlow(limitMs: number): BackupError {
  return new BackupError('MEDIUM_FAILED', `The backup medium took no data for ${limitMs / 1000} s.`, {
    hint: 'Look at the medium and the log of the backup server.',
    isRetriable: true,
    context: { limitMs },
  });
}
