import { open, type FileHandle, rm } from 'node:fs/promises';
import { CleanupStack } from '../common/cleanup-stack.js';
import { type Clock, systemClock } from '../common/clock.js';
import {
  BackupError,
  type BackupSourceProvider,
  type DiskReadRequest,
  type RestoreEvent,
  type RestoreMedia,
  type RestoreReport,
} from '../contract/index.js';
import { fileProgress } from './file-progress.js';
import { toMediumError } from './repository/to-medium-error.js';
import { exists, kindOf, onTarget, partialOf, publish } from './target-file.js';

/** Zeroes in pieces of this size are not written: the file has a hole there. */
const HOLE_BYTES = 64 * 1024;
const ZEROES = Buffer.alloc(HOLE_BYTES);

export interface DiskFileJob {
  readonly provider: BackupSourceProvider;
  readonly media: RestoreMedia;
  /** By position, id or name. */
  readonly disk: string;
  readonly format: DiskReadRequest['format'];
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RestoreEvent) => void;
  readonly clock?: Clock;
}

/**
 * One disk of a saveset as a file, with holes where it is zero. The file has its name only after everything that it was
 * made of has proved right; nothing that exists is touched.
 * @throws {BackupError} OBJECT_NOT_SUPPORTED when the provider's savesets have no disks, TARGET_EXISTS, MEDIUM_FULL,
 *   MEDIUM_FAILED, CANCELLED, and what the provider throws: DATA_DAMAGED, CHAIN_BROKEN, REQUEST_INVALID.
 */
export async function restoreDiskToFile(job: DiskFileJob): Promise<RestoreReport> {
  const { provider, media, disk, format, path, signal, onEvent, clock = systemClock } = job;
  const startedAtMs = clock.nowMs();
  const cleanup = new CleanupStack();
  const enter = (phase: 'check' | 'verify'): void => {
    onEvent({ type: 'phase-entered', phase, atMs: clock.nowMs() });
  };
  try {
    enter('check');
    if (provider.readDisk === undefined) throw noDisks(provider);
    if ((await kindOf(path)) !== undefined) throw exists(path);
    const partial = partialOf(path);
    const handle = await onTarget(partial, () => open(partial, 'wx', 0o600));
    cleanup.add(partial, () => rm(partial, { force: true }));
    const closeFile = cleanup.add(`${partial}, open`, () => handle.close());
    const { stream, bytes } = await provider.readDisk({ disk, format, signal }, media);
    cleanup.add('the disk', () => stream.destroy());
    const meter = fileProgress({ item: `disk ${disk}`, bytes, clock, onEvent });
    const file = new SparseFile(handle);
    for await (const chunk of withMediumErrors(stream)) {
      await onTarget(partial, () => file.write(chunk));
      meter(file.sizeBytes, false);
    }
    meter(file.sizeBytes, true);
    if (file.sizeBytes !== bytes) throw wrongLength(bytes, file.sizeBytes);
    await onTarget(partial, () => file.finish());
    closeFile();
    await onTarget(partial, () => handle.close());
    enter('verify');
    signal.throwIfAborted();
    await publish(path, cleanup);
    const report: RestoreReport = {
      targetId: undefined,
      targetName: path,
      mode: 'disk',
      isRunning: false,
      transferredBytes: bytes,
      elapsedMs: clock.nowMs() - startedAtMs,
      warnings: [],
    };
    onEvent({ type: 'completed', report, atMs: clock.nowMs() });
    return report;
  } catch (error) {
    await cleanup.run();
    signal.throwIfAborted();
    throw error;
  }
}

/** Writes from the first byte to the last, and leaves out what is zero. */
class SparseFile {
  #sizeBytes = 0;

  constructor(private readonly handle: FileHandle) {}

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async write(chunk: Buffer): Promise<void> {
    let from = 0;
    for (let at = 0; at < chunk.length;) {
      const end = Math.min(chunk.length, at + HOLE_BYTES - ((this.#sizeBytes + at) % HOLE_BYTES));
      if (ZEROES.compare(chunk, at, end, 0, end - at) === 0) {
        await this.#put(chunk, from, at);
        from = end;
      }
      at = end;
    }
    await this.#put(chunk, from, chunk.length);
    this.#sizeBytes += chunk.length;
  }

  /** The file's end may be a hole. */
  async finish(): Promise<void> {
    await this.handle.truncate(this.#sizeBytes);
    await this.handle.sync();
  }

  async #put(chunk: Buffer, from: number, end: number): Promise<void> {
    for (let at = from; at < end;) {
      const { bytesWritten } = await this.handle.write(chunk, at, end - at, this.#sizeBytes + at);
      at += bytesWritten;
    }
  }
}

async function* withMediumErrors(stream: AsyncIterable<unknown>): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw toMediumError(error, 'the disk');
  }
}

function noDisks({ displayName }: BackupSourceProvider): BackupError {
  return new BackupError('OBJECT_NOT_SUPPORTED', `Savesets of ${displayName} hold no disks that could be read alone.`, {
    hint: 'Leave --disk out to bring back all of the data.',
  });
}

function wrongLength(expectedBytes: number, foundBytes: number): BackupError {
  return new BackupError('INTERNAL', `A disk of ${expectedBytes} bytes was promised and ${foundBytes} came.`, {
    hint: 'This is a fault of the plugin; report it to its author.',
  });
}
