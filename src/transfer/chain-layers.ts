import { BackupError } from '../contract/backup-error.js';
import { type OpenedItem, type RestoreMedia } from '../contract/media.js';
import { type SavesetDisk, type SavesetItem, type SavesetRecord } from '../contract/saveset-record.js';
import { machineChainOf } from '../format/machine-details.js';

/** One stored item of a disk's chain. */
export interface ChainLayer {
  readonly savesetId: string;
  /** What the record says of the item. */
  readonly item: SavesetItem;
  /** Size of the disk when it was saved. */
  readonly diskSizeBytes: number;
  /** Unique id of the VHD that was stored, where the record's details say it. */
  readonly vhdId?: string;
}

/**
 * The items that make up one disk, newest first, the full last: followed from saveset to parent until one has the disk in
 * full. Opens nothing.
 * @param disk one of `media.record.disks`.
 * @throws {BackupError} CHAIN_BROKEN naming the member that is missing or doesn't have the disk.
 */
export function chainLayers(media: RestoreMedia, disk: SavesetDisk): readonly ChainLayer[] {
  const layers: ChainLayer[] = [];
  const seen = new Set<string>();
  let record = media.record;
  for (;;) {
    seen.add(record.savesetId);
    const entry = record.disks.find(({ id }) => id === disk.id);
    const item = record.items.find(({ name }) => name === entry?.item);
    if (entry === undefined || item === undefined) {
      throw chainBroken(record.savesetId, `it has no data of disk ${disk.position} ("${disk.name}")`);
    }
    layers.push({ savesetId: record.savesetId, item, diskSizeBytes: entry.sizeBytes, ...storedAs(record, entry) });
    if (entry.level === 'full' || entry.level === 'copy') return layers;
    record = parentOf(record, media.ancestors ?? [], seen);
  }
}

/**
 * What the details say of the disk's item. They say it a second time, so that a record which gives a disk the data of
 * another one is found out.
 */
function storedAs({ savesetId, details }: SavesetRecord, { id, position, item }: SavesetDisk): { vhdId?: string } {
  const chain = machineChainOf(details);
  if (chain === undefined) return {};
  const stored = chain.disks.find((disk) => disk.item === item);
  if (stored?.uuid === id && stored.position === position) return { vhdId: stored.vhdId };
  throw chainBroken(savesetId, `its record contradicts itself on whose data ${item} is`, { item });
}

/** Opens the item of a layer: the record's own, or that of an ancestor. */
export async function openLayer(media: RestoreMedia, layer: ChainLayer, signal: AbortSignal): Promise<OpenedItem> {
  if (layer.savesetId === media.record.savesetId) return await media.openItem(layer.item.name, signal);
  return await media.openItem(layer.item.name, signal, layer.savesetId);
}

/** How a layer is called in errors. */
export function layerName({ item, savesetId }: ChainLayer): string {
  return `${item.name} of saveset ${savesetId}`;
}

/** @param why a clause: what is wrong with that member. */
export function chainBroken(savesetId: string, why: string, context: { item?: string } = {}): BackupError {
  return new BackupError('CHAIN_BROKEN', `The chain is broken at saveset ${savesetId}: ${why}.`, {
    hint: 'Restore a saveset that does not build on it, or bring back a copy of that saveset. The next backup should be a full.',
    context: { savesetId, ...context },
  });
}

function parentOf(
  record: SavesetRecord,
  ancestors: readonly SavesetRecord[],
  seen: ReadonlySet<string>,
): SavesetRecord {
  const { savesetId, parentSavesetId } = record;
  if (parentSavesetId === undefined)
    throw chainBroken(savesetId, 'it builds on another saveset and does not say which');
  if (seen.has(parentSavesetId)) throw chainBroken(savesetId, `it builds on ${parentSavesetId}, which builds on it`);
  const parent = ancestors.find((ancestor) => ancestor.savesetId === parentSavesetId);
  if (parent === undefined) throw chainBroken(parentSavesetId, 'it is not there');
  return parent;
}
