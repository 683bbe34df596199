import { Readable } from 'node:stream';
import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type CleanupStack } from '../common/cleanup-stack.js';
import {
  BackupError,
  type BackupSink,
  type ByteExpectation,
  isBackupError,
  type SavesetItem,
} from '../contract/index.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { repeatLostTransfer } from '../session/lost-step.js';
import { type HandlerTask, PoolConnection } from '../session/pool-connection.js';
import { checkedData, type FlowCheck } from '../transfer/checked-stream.js';
import { type ProgressMeter } from '../transfer/progress-meter.js';
import { pump, type PumpOptions } from '../transfer/pump.js';
import { giveBack } from '../xapi/block-reads.js';
import { isXapiError, type XapiError } from '../xapi/xapi-error.js';

/** When the data ends too early, the pool's task knows why: a moment later. */
const REASON_WAIT_MS = 2_000;

/** What an item is called, and what it is. */
export interface ItemLabel {
  readonly name: string;
  readonly kind: string;
  readonly mediaType: string;
}

/** One answer of a handler that becomes an item. */
export interface ItemOrder extends ItemLabel {
  readonly title: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** UUID of the member that is asked; absent: the coordinator. */
  readonly member?: string;
  readonly check?: FlowCheck;
  /** Looks at what goes to the medium; a check that never waits costs less as this. */
  readonly tap?: Tap;
  readonly forceHttps: boolean;
  /** How much is expected to come; absent: nobody knows. */
  readonly expected?: ExpectedBytes;
  /** Called when the data is complete and the verdicts are awaited. */
  readonly onVerify?: () => void;
}

/** A check that never waits, and keeps nothing. */
interface Tap {
  push(chunk: Buffer): void;
  end(): void;
}

export interface ExpectedBytes {
  readonly expectedBytes: number | undefined;
  readonly expectedIs: ByteExpectation;
}

/** Data that we make ourselves. */
export interface OwnItem extends ItemLabel {
  readonly title: string;
  readonly expected: ExpectedBytes;
}

/** What an export works with. */
export interface ExportTools {
  readonly sink: BackupSink;
  readonly meter: ProgressMeter;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
}

const UNKNOWN: ExpectedBytes = { expectedBytes: undefined, expectedIs: 'unknown' };

/** Brings what a handler of the pool gives out to the medium, checked while it flows. */
@injectable()
export class ItemExporter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Resolves when the medium has the item, its check is content, and the pool says that it sent all of it. Otherwise the
   * medium's stream has been destroyed.
   */
  async export(order: ItemOrder, tools: ExportTools): Promise<SavesetItem> {
    const { cleanup, signal } = tools;
    const task = await this.pool.createTask('xen-backup export', order.title, signal);
    cleanup.add(`task of ${order.name}`, () => task.release());
    let source: Readable | undefined;
    try {
      const { path, query, forceHttps, member, check, tap, onVerify, expected = UNKNOWN } = order;
      const asked = member === undefined ? {} : { member };
      const data = await this.pool.download({ path, query, task, signal, forceHttps, ...asked });
      source = data;
      cleanup.add(`data of ${order.name}`, () => data.destroy());
      const isKeptByNobody =
        tools.sink.keepsNoBuffers === true && (check === undefined || check.keepsNoBuffers === true);
      const checked = check === undefined ? data : checkedData(data, check);
      return await this.#store({ ...order, expected }, checked, tools, {
        ...(isKeptByNobody ? { onWritten: giveBack } : {}),
        taps:
          tap === undefined
            ? []
            : [
                (chunk) => {
                  tap.push(chunk);
                },
              ],
        beforeEnd: async () => {
          onVerify?.();
          tap?.end();
          await task.verdict;
        },
      });
    } catch (error) {
      if (signal.aborted || !isAboutData(error)) throw error;
      throw (await this.#reasonOf(task, source?.readableEnded ?? false)) ?? error;
    }
  }

  /** The same; what goes down with the coordinator is sent anew, with an order and checks that know nothing of before. */
  async exportAnew(newOrder: () => ItemOrder, tools: ExportTools): Promise<SavesetItem> {
    return await repeatLostTransfer(this.pool, tools.sink, tools.signal, (sink) =>
      this.export(newOrder(), { ...tools, sink }),
    );
  }

  /** A text of our own as an item. */
  async write(label: ItemLabel, text: string, tools: ExportTools): Promise<SavesetItem> {
    const item = { ...label, title: label.name, expected: UNKNOWN };
    return await this.#store(item, Readable.from([Buffer.from(text)]), tools);
  }

  /** Data of our own making as an item; what it fails with is what this rejects with. */
  async store(item: OwnItem, source: Readable, tools: ExportTools): Promise<SavesetItem> {
    tools.cleanup.add(`data of ${item.name}`, () => source.destroy());
    return await this.#store(item, source, tools, {
      toSourceError: (cause) =>
        cause instanceof Error ? cause : new BackupError('TRANSFER_INTERRUPTED', `${item.name} broke off.`, { cause }),
    });
  }

  async #store(
    { name, kind, mediaType, title, expected }: OwnItem,
    source: Readable,
    { sink, meter, cleanup, signal }: ExportTools,
    options: Pick<PumpOptions, 'taps' | 'onWritten' | 'beforeEnd' | 'toSourceError'> = {},
  ): Promise<SavesetItem> {
    // An error while the medium opens its item has no reader yet: the pump finds it as the stream's state.
    source.on('error', () => undefined);
    const medium = await sink.openItem({ name, kind, mediaType, ...expected }, signal);
    const forget = cleanup.add(`item ${name}`, () => medium.destroy());
    meter.start({ item: name, title, ...expected });
    const result = await pump({
      ...options,
      source,
      sink: medium,
      signal,
      clock: this.clock,
      firstByteTimeoutMs: this.settings.firstByteTimeoutMs,
      idleTimeoutMs: this.settings.idleTimeoutMs,
      onBytes: (bytes) => {
        meter.add(name, bytes);
      },
    });
    forget();
    meter.complete(name, result);
    return { name, kind, mediaType, ...result };
  }

  /**
   * The pool's own reason for data that broke off or made no sense; undefined when it gives none in time. That "the
   * client went away" is a reason only when the data ended before we did anything.
   */
  async #reasonOf(task: HandlerTask, hasEnded: boolean): Promise<XapiError | undefined> {
    const waiting = new AbortController();
    try {
      const verdict = task.verdict.then(
        () => undefined,
        (reason: unknown) => (isXapiError(reason) && (hasEnded || reason.code !== 'CLIENT_ERROR') ? reason : undefined),
      );
      const late = this.clock.sleep(REASON_WAIT_MS, waiting.signal).catch(() => undefined);
      return await Promise.race([verdict, late.then(() => undefined)]);
    } finally {
      waiting.abort();
    }
  }
}

function isAboutData(error: unknown): boolean {
  return isBackupError(error) && (error.code === 'TRANSFER_INTERRUPTED' || error.code === 'DATA_DAMAGED');
}
