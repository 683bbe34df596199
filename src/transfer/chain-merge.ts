import { setMaxListeners } from 'node:events';
import { type ByteExtent, type ByteRun } from '../common/byte-extent.js';
import { BackupError } from '../contract/backup-error.js';
import { DiskMap } from './chain-disk-map.js';
import { type ChainReading, LayerReader } from './chain-layer-reader.js';
import { chainBroken, type ChainLayer } from './chain-layers.js';

/** A disk put together from the items of a chain while they are read. */
export interface MergedDisk {
  readonly sizeBytes: number;
  /** True when the stretch may hold data; false: it is zero. Known before any data is read. */
  readonly mayHave: (offsetBytes: number, lengthBytes: number) => boolean;
  /** All that may hold data, ascending, in whole blocks. */
  readonly extents: () => readonly ByteExtent[];
  /**
   * The disk's data, ascending and not overlapping; what no run has is zero. Ends only after every item of the chain was
   * read to its end and has proved right. To be called once.
   */
  readonly runs: () => AsyncGenerator<ByteRun>;
  /** Closes all items; safe to repeat. */
  readonly close: () => void;
}

/**
 * Opens all items of a chain at once and checks that they fit each other: each layer's parent is the next one, the last
 * has none, and a disk never got smaller. One pass over all items follows; for each byte the newest layer that has it
 * wins. A layer is read only as far as the merge has come, so each holds one piece of its medium and 8 bytes a block.
 * @param layers newest first, as `chainLayers` gives them.
 * @throws {BackupError} CHAIN_BROKEN, DATA_DAMAGED, MEDIUM_FAILED, CANCELLED; the same from `runs`.
 */
export async function openMergedDisk(layers: readonly ChainLayer[], reading: ChainReading): Promise<MergedDisk> {
  const shared = { ...reading, ...sharedSignal(reading) };
  const opening = await Promise.allSettled(layers.map((layer) => LayerReader.open(layer, shared)));
  const readers = opening.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
  const close = (): void => {
    for (const reader of readers) reader.close();
  };
  try {
    const failed = opening.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const newest = assertLinked(readers);
    const { diskSizeBytes } = newest.head;
    const map = mapOf(readers, diskSizeBytes);
    return {
      sizeBytes: diskSizeBytes,
      mayHave: (offsetBytes, lengthBytes) => map.has(offsetBytes, lengthBytes),
      extents: () => map.extents(),
      runs: () => merge(readers, close),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Every layer listens to it; that many listeners on a caller's signal would look like a leak. */
function sharedSignal({ signal }: ChainReading): { signal?: AbortSignal } {
  if (signal === undefined) return {};
  const shared = AbortSignal.any([signal]);
  setMaxListeners(0, shared);
  return { signal: shared };
}

function assertLinked(readers: readonly LayerReader[]): LayerReader {
  const [newest] = readers;
  if (newest === undefined) throw new BackupError('INTERNAL', 'A chain without layers.');
  readers.forEach(({ head, layer }, index) => {
    const { savesetId, item, vhdId = head.footer.uuid } = layer;
    if (vhdId !== head.footer.uuid) {
      throw chainBroken(savesetId, `item ${item.name} is another VHD than the one that was stored`, {
        item: item.name,
      });
    }
    const parent = readers[index + 1];
    const wanted = head.header.parent?.uuid;
    const found = parent?.head.footer.uuid;
    if (wanted !== found) {
      const why = wanted === undefined ? 'builds on nothing' : `builds on ${wanted}`;
      const instead = found === undefined ? 'it should be a full' : `the next of the chain is ${found}`;
      throw chainBroken(savesetId, `item ${item.name} ${why}, and ${instead}`, { item: item.name });
    }
    if ((parent?.head.diskSizeBytes ?? 0) > head.diskSizeBytes) {
      throw chainBroken(savesetId, `item ${item.name} is of a smaller disk than what it builds on`, {
        item: item.name,
      });
    }
  });
  return newest;
}

function mapOf(readers: readonly LayerReader[], diskSizeBytes: number): DiskMap {
  const map = new DiskMap(diskSizeBytes, Math.min(...readers.map(({ head }) => head.header.blockSizeBytes)));
  for (const { head } of readers) {
    const { blockSizeBytes } = head.header;
    for (const block of head.blocks) map.mark(block * blockSizeBytes, blockSizeBytes);
  }
  return map;
}

/** A layer and the data it has next, not before the place that the merge has reached. */
interface Strand {
  readonly reader: LayerReader;
  next: ByteRun | undefined;
}

async function* merge(readers: readonly LayerReader[], close: () => void): AsyncGenerator<ByteRun> {
  try {
    const strands: Strand[] = await Promise.all(readers.map(async (reader) => ({ reader, next: await reader.next() })));
    for (let index = newestAtFront(strands); index >= 0; index = newestAtFront(strands)) {
      const run = strands[index]?.next;
      if (run === undefined) break;
      const end = endOf(run, strands, index);
      const length = end - run.offsetBytes;
      yield length === run.data.length ? run : { offsetBytes: run.offsetBytes, data: run.data.subarray(0, length) };
      // Newer layers have nothing before `end`.
      for (let older = index; older < strands.length; older += 1) {
        const strand = strands[older];
        if (strand?.next !== undefined && strand.next.offsetBytes < end) await advance(strand, end);
      }
    }
  } finally {
    close();
  }
}

/** Of the layers whose data begins first, the newest; -1 when there is no more. */
function newestAtFront(strands: readonly Strand[]): number {
  let front = -1;
  let start = Infinity;
  for (let index = 0; index < strands.length; index += 1) {
    const offset = strands[index]?.next?.offsetBytes ?? Infinity;
    if (offset >= start) continue;
    front = index;
    start = offset;
  }
  return front;
}

/** Where a run ends, or a newer layer begins. */
function endOf({ offsetBytes, data }: ByteRun, strands: readonly Strand[], index: number): number {
  let end = offsetBytes + data.length;
  for (let newer = 0; newer < index; newer += 1) end = Math.min(end, strands[newer]?.next?.offsetBytes ?? Infinity);
  return end;
}

/** Leaves out what lies before `end`. */
async function advance(strand: Strand, end: number): Promise<void> {
  while (strand.next !== undefined && strand.next.offsetBytes < end) {
    const { offsetBytes, data } = strand.next;
    strand.next =
      offsetBytes + data.length > end
        ? { offsetBytes: end, data: data.subarray(end - offsetBytes) }
        : await strand.reader.next();
  }
}
