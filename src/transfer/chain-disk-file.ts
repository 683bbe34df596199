import { randomUUID } from 'node:crypto';
import { type ByteExtent, type ByteRun } from '../common/byte-extent.js';
import { BackupError } from '../contract/backup-error.js';
import { type OpenedItem } from '../contract/media.js';
import { FormatError } from '../format/format-error.js';
import { DiskTooLargeForVhd } from '../format/vhd-structures.js';
import { planVhd } from '../format/vhd-plan.js';
import { writeVhd } from '../format/vhd-writer.js';
import { coverExtents } from './chain-cover.js';
import { ChainStream } from './chain-stream.js';

export interface DiskFileOptions {
  /** `raw`: the disk from its first byte to its last. `vhd`: a dynamic VHD with blocks of 2 MiB. */
  readonly format: 'raw' | 'vhd';
  readonly sizeBytes: number;
  /** All that may hold data, ascending, in whole sectors: asked for with `vhd` only. */
  readonly extents: () => readonly ByteExtent[];
  /** The data, ascending, within the extents; zero where there is none. Called once, when the stream is first read. */
  readonly runs: () => AsyncIterable<ByteRun>;
  readonly createdAtMs: number;
  /** Closes what `runs` reads; makes a wait in it end. */
  readonly close: () => void;
  readonly signal?: AbortSignal;
}

/**
 * A disk that is known by its runs, as a file's bytes of known length. The last 64 KiB come only after `runs` has ended
 * well; what it throws is the stream's error.
 * @throws {BackupError} OBJECT_NOT_SUPPORTED for a VHD of more than 2040 GiB or of a disk that is not in whole sectors.
 */
export function diskFile(options: DiskFileOptions): OpenedItem {
  const { bytes, pieces } = options.format === 'raw' ? rawFile(options) : vhdFile(options);
  const { signal, close } = options;
  const stream = new ChainStream({ bytes, pieces, close, ...(signal === undefined ? {} : { signal }) });
  return { stream, bytes };
}

interface FileContent {
  readonly bytes: number;
  readonly pieces: () => AsyncGenerator<Buffer>;
}

function rawFile({ sizeBytes, runs }: DiskFileOptions): FileContent {
  const whole = sizeBytes === 0 ? [] : [{ offsetBytes: 0, lengthBytes: sizeBytes }];
  return {
    bytes: sizeBytes,
    async *pieces() {
      for await (const { data } of coverExtents(runs(), whole)) yield data;
    },
  };
}

function vhdFile({ sizeBytes, extents, runs, createdAtMs }: DiskFileOptions): FileContent {
  try {
    const plan = planVhd({ diskSizeBytes: sizeBytes, changed: extents(), uuid: randomUUID(), createdAtMs });
    return { bytes: plan.bytes, pieces: () => writeVhd(plan, coverExtents(runs(), plan.extents)) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const why =
      error instanceof DiskTooLargeForVhd
        ? 'A VHD holds disks of up to 2040 GiB, and this one is larger'
        : error.message;
    throw new BackupError('OBJECT_NOT_SUPPORTED', `The disk cannot become a VHD: ${why}.`, {
      hint: 'Ask for the format raw.',
      context: { sizeBytes },
      cause: error,
    });
  }
}
