import { Readable } from 'node:stream';
import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import { type CleanupStack } from '../common/cleanup-stack.js';
import { BackupError, type BackupSink, isBackupError, type SavesetDisk, type SavesetItem } from '../contract/index.js';
import { archiveDisks } from '../format/ova-xml.js';
import { XvaReader, type XvaSummary } from '../format/xva-reader.js';
import { ConnectionSettings } from '../session/connection-settings.js';
import { type HandlerTask, PoolConnection } from '../session/pool-connection.js';
import { type ProgressMeter } from '../transfer/progress-meter.js';
import { pump } from '../transfer/pump.js';
import { isXapiError, type XapiError } from '../xapi/xapi-error.js';
import { type RefOf } from '../xapi/xapi-records.js';

const MEDIA_TYPE = 'application/x-xva';
/** When the data ends too early, the pool's task knows why: a moment later. */
const REASON_WAIT_MS = 2_000;

export interface MachineExport {
  readonly machine: RefOf<'VM'>;
  readonly title: string;
  readonly item: string;
  readonly expectedBytes: number;
  /** What the archive must hold. */
  readonly disks: readonly SavesetDisk[];
  readonly forceHttps: boolean;
  /** A suspended machine's memory comes along; without this the pool leaves it out. */
  readonly withMemory: boolean;
  /** Called when the data is complete and the verdicts are awaited. */
  readonly onVerify: () => void;
}

/** Brings a machine's archive from the pool to the medium: one stream, checked while it flows. */
@injectable()
export class MachineExporter {
  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(ConnectionSettings) private readonly settings: ConnectionSettings,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Resolves when the medium has the archive, the archive is whole, and the pool says that it sent all of it.
   * Otherwise the medium's stream has been destroyed.
   */
  async export(
    order: MachineExport,
    sink: BackupSink,
    meter: ProgressMeter,
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<SavesetItem> {
    const task = await this.pool.createTask('xen-backup export', order.title, signal);
    cleanup.add('task of the export', () => task.release());
    let hasEnded = false;
    const onVerify = (): void => {
      hasEnded = true;
      order.onVerify();
    };
    try {
      return await this.#transfer({ ...order, onVerify }, task, sink, meter, cleanup, signal);
    } catch (error) {
      if (signal.aborted || !isAboutData(error)) throw error;
      throw (await this.#reasonOf(task, hasEnded)) ?? error;
    }
  }

  async #transfer(
    order: MachineExport,
    task: HandlerTask,
    sink: BackupSink,
    meter: ProgressMeter,
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<SavesetItem> {
    const { forceHttps, withMemory, item, expectedBytes, title } = order;
    const query = { ref: order.machine, ...(withMemory ? { preserve_power_state: 'true' } : {}) };
    const answer = await this.pool.download({ path: '/export', query, task, signal, forceHttps });
    const source = answer instanceof Readable ? answer : new Readable().wrap(answer);
    cleanup.add('data of the export', () => source.destroy());
    const expected = { expectedBytes, expectedIs: 'estimate' as const };
    const descriptor = { name: item, kind: 'machine-archive', mediaType: MEDIA_TYPE, ...expected };
    const medium = await sink.openItem(descriptor, signal);
    const forget = cleanup.add(`item ${item}`, () => medium.destroy());
    meter.start({ item, title, ...expected });
    const reader = new XvaReader();
    const result = await pump({
      source,
      sink: medium,
      taps: [
        (chunk) => {
          reader.push(chunk);
        },
      ],
      signal,
      clock: this.clock,
      firstByteTimeoutMs: this.settings.firstByteTimeoutMs,
      idleTimeoutMs: this.settings.idleTimeoutMs,
      onBytes: (bytes) => {
        meter.add(item, bytes);
      },
      beforeEnd: async () => {
        order.onVerify();
        const summary = reader.end();
        assertHolds(summary, order);
        await task.verdict;
      },
    });
    forget();
    meter.complete(item, result);
    return { name: item, kind: 'machine-archive', mediaType: MEDIA_TYPE, ...result };
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

/** The archive must hold the disks that were planned: no fewer, no other sizes; and the memory when it was asked for. */
function assertHolds(
  { archive }: XvaSummary,
  { disks: planned, withMemory }: Pick<MachineExport, 'disks' | 'withMemory'>,
): void {
  const key = (position: string, sizeBytes: number): string => `${position}: ${sizeBytes} bytes`;
  const held = archiveDisks(archive);
  if (withMemory && !held.some(({ isMemoryImage }) => isMemoryImage)) {
    throw new BackupError('DATA_DAMAGED', 'The archive does not hold the memory of the machine.', {
      hint: 'This release does not send it along. Use another consistency.',
    });
  }
  const found = held
    .filter(({ isMemoryImage }) => !isMemoryImage)
    .map(({ userdevice, sizeBytes }) => key(userdevice, sizeBytes))
    .sort();
  const expected = planned.map(({ position, sizeBytes }) => key(position, sizeBytes)).sort();
  if (found.join() === expected.join()) return;
  throw new BackupError('DATA_DAMAGED', 'The archive does not hold the disks that the machine had.', {
    hint: 'The machine was changed while its backup began. Run the backup again.',
    isRetriable: true,
    context: { expected, found },
  });
}
