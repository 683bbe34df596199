import { type Clock } from '../common/clock.js';
import { BackupError } from '../contract/backup-error.js';
import { type SavesetDisk } from '../contract/saveset-record.js';
import { FormatError } from '../format/format-error.js';
import { archiveDisks, type XvaArchive } from '../format/ova-xml.js';
import { keepOneMachine } from '../format/xva-machine-records.js';
import { type XvaSummary } from '../format/xva-reader.js';
import { planXva, writeXvaDisk, XVA_END, type XvaDisk, type XvaPlan } from '../format/xva-writer.js';
import { chainLayers } from './chain-layers.js';
import { type ChainReading } from './chain-layer-reader.js';
import { type MergedDisk, openMergedDisk } from './chain-merge.js';
import { ChainStream } from './chain-stream.js';
import { verifiedArchive, type VerifiedArchive } from './verified-archive.js';

/** Kind of the item that holds what `/export_metadata` gave. */
const METADATA_KIND = 'machine-metadata';

export interface ChainArchiveOptions extends ChainReading {
  /** Disks of the record to bring. Default: all. Those that are left out are no part of the machine. */
  readonly disks?: readonly SavesetDisk[];
  /** Changes the records before they go out; ids and sizes of disks must stay. A disk whose records it takes away is not read. */
  readonly editArchive?: (archive: XvaArchive) => void;
}

/**
 * Makes of a saveset with one item a disk, and of all that it builds on, the archive that an import takes: the records of
 * the machine's metadata, and each disk merged from its chain while it is sent. One pass, nothing staged; all items are
 * open at once. Every item is checked against its record and by its format; the last 64 KiB leave only after all of them
 * have passed. The result is that of `verifiedArchive`, so that an importer can take either; destroying its stream
 * closes all items. Its `summary` is of the archive that goes out.
 * @throws {BackupError} CHAIN_BROKEN, SAVESET_INVALID, DATA_DAMAGED, MEDIUM_FAILED, CANCELLED: before the first byte the
 *   promise rejects, afterwards the stream errors.
 */
export async function chainArchive(options: ChainArchiveOptions): Promise<VerifiedArchive> {
  const { media } = options;
  const disks = options.disks ?? media.record.disks;
  const archive = await readMetadata(options);
  const archived = asSavesetInvalid(media.record.savesetId, () => {
    keepOneMachine(archive, new Set(disks.map(({ position }) => position)));
    options.editArchive?.(archive);
    return archiveDisks(archive);
  });
  const opened: OpenedDisk[] = [];
  const close = (): void => {
    for (const { merged } of opened) merged.close();
  };
  try {
    for (const { id, userdevice, sizeBytes } of archived) {
      const disk = disks.find(({ position }) => position === userdevice);
      if (disk === undefined) throw new BackupError('INTERNAL', `Disk ${userdevice} was not asked for.`);
      const merged = await openMergedDisk(chainLayers(media, disk), options);
      opened.push({ merged, id, sizeBytes: merged.sizeBytes, mayHave: merged.mayHave });
      if (merged.sizeBytes !== sizeBytes) throw otherSize(media.record.savesetId, disk, sizeBytes);
    }
    return opening(archive, opened, options, close);
  } catch (error) {
    close();
    throw error;
  }
}

interface OpenedDisk extends XvaDisk {
  readonly merged: MergedDisk;
}

function opening(
  archive: XvaArchive,
  disks: readonly OpenedDisk[],
  { signal, lent }: ChainArchiveOptions,
  close: () => void,
): VerifiedArchive {
  const plan = planXva(archive, disks);
  const stream = new ChainStream({
    pieces: () => piecesOf(plan, disks),
    bytes: plan.bytes,
    close,
    ...(lent === undefined ? {} : { lent }),
    ...(signal === undefined ? {} : { signal }),
  });
  const { bytes, blocks, zeroBytesSkipped, checksumKind, disks: totals } = plan;
  const summary = new Promise<XvaSummary>((resolve, reject) => {
    stream.once('verified', () => {
      const kind = blocks === 0 ? undefined : checksumKind;
      resolve({ archive, bytes, blocks, zeroBytesSkipped, checksumKind: kind, disks: totals });
    });
    // After a complete archive this does nothing.
    stream.once('close', () => {
      reject(stream.errored ?? new BackupError('CANCELLED', 'The archive was closed before its end.'));
    });
  });
  // A caller need not look at it.
  summary.catch(() => undefined);
  return { stream, bytes: Promise.resolve(bytes), archive: Promise.resolve(archive), summary };
}

async function* piecesOf(plan: XvaPlan, disks: readonly OpenedDisk[]): AsyncGenerator<Buffer> {
  yield plan.head;
  for (const disk of disks) yield* writeXvaDisk(disk, plan.checksumKind, disk.merged.runs());
  yield XVA_END;
}

async function readMetadata({
  media,
  signal,
  clock,
  idleTimeoutMs,
  onBytes,
}: ChainArchiveOptions): Promise<XvaArchive> {
  const { savesetId, items } = media.record;
  const item = items.find(({ kind }) => kind === METADATA_KIND);
  if (item === undefined) {
    throw invalid(savesetId, `it has no item of kind ${METADATA_KIND}`);
  }
  const opened = await media.openItem(item.name, signal ?? new AbortController().signal);
  const { stream, archive, summary } = verifiedArchive({
    item: opened,
    expected: item,
    reader: { hasDiskData: false },
    ...optional({ signal, clock, idleTimeoutMs }),
    onBytes: (bytes) => onBytes?.(bytes, { savesetId, name: item.name }),
  });
  stream.on('error', () => undefined);
  stream.resume();
  await summary;
  return await archive;
}

function optional(settings: {
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock | undefined;
  readonly idleTimeoutMs: number | undefined;
}): { signal?: AbortSignal; clock?: Clock; idleTimeoutMs?: number } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function asSavesetInvalid<T>(savesetId: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof FormatError) throw invalid(savesetId, `its metadata do not fit it: ${error.message}`, error);
    throw error;
  }
}

function otherSize(savesetId: string, { position, sizeBytes }: SavesetDisk, found: number): BackupError {
  return invalid(savesetId, `its metadata say ${found} bytes for disk ${position}, and its data has ${sizeBytes}`);
}

function invalid(savesetId: string, why: string, cause?: unknown): BackupError {
  return new BackupError('SAVESET_INVALID', `Saveset ${savesetId} cannot be restored: ${why}.`, {
    hint: 'Use another saveset, or restore its disks one by one.',
    context: { savesetId },
    ...(cause === undefined ? {} : { cause }),
  });
}
