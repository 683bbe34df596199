import { type OpenedItem } from '../contract/media.js';
import { type SavesetDisk } from '../contract/saveset-record.js';
import { diskFile } from './chain-disk-file.js';
import { chainLayers } from './chain-layers.js';
import { type ChainReading } from './chain-layer-reader.js';
import { openMergedDisk } from './chain-merge.js';

export interface ChainDiskOptions extends ChainReading {
  /** One of `media.record.disks`, whose item is a VHD. */
  readonly disk: SavesetDisk;
  /** `raw`: the disk from its first byte to its last. `vhd`: a dynamic VHD, without what no layer has. */
  readonly format: 'raw' | 'vhd';
}

/**
 * One disk at the moment of a saveset, merged from its chain while it is read: what `BackupSourceProvider.readDisk` gives
 * for savesets with one item a disk. The length is known at once; the last 64 KiB come only after every item of the
 * chain was read to its end and has proved right. Destroying the stream closes all items.
 * @throws {BackupError} CHAIN_BROKEN, DATA_DAMAGED, MEDIUM_FAILED, CANCELLED; the same from the stream.
 */
export async function openChainDisk(options: ChainDiskOptions): Promise<OpenedItem> {
  const { media, disk, format, signal } = options;
  const merged = await openMergedDisk(chainLayers(media, disk), options);
  return diskFile({
    format,
    sizeBytes: merged.sizeBytes,
    extents: merged.extents,
    runs: merged.runs,
    createdAtMs: Date.parse(media.record.createdAt),
    close: merged.close,
    ...(signal === undefined ? {} : { signal }),
  });
}
