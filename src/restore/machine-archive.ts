import { type Clock } from '../common/clock.js';
import { type RestoreMedia, type SavesetDisk, type SavesetItem } from '../contract/index.js';
import { type XvaArchive } from '../format/ova-xml.js';
import { chainArchive } from '../transfer/chain-archive.js';
import { type ChainLayer, chainLayers } from '../transfer/chain-layers.js';
import { type LentPieces } from '../transfer/lent-pieces.js';
import { type ProgressMeter } from '../transfer/progress-meter.js';
import { verifiedArchive, type VerifiedArchive } from '../transfer/verified-archive.js';

export interface MachineArchiveOrder {
  readonly media: RestoreMedia;
  /** The archive of the machine, or its metadata when the saveset has an item for each disk. */
  readonly item: SavesetItem;
  readonly title: string;
  /** The disks that come back. */
  readonly disks: readonly { readonly position: string }[];
  readonly edit: (records: XvaArchive) => void;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly idleTimeoutMs: number;
  /** Told by whoever sends the archive what has left. */
  readonly lent: LentPieces;
}

export interface MachineArchive {
  readonly archive: VerifiedArchive;
  /** To be called when all of it has arrived. */
  readonly complete: () => void;
}

/**
 * Looks whether all that a restore will read is among what the host has. Opens nothing.
 * @throws {BackupError} CHAIN_BROKEN naming the member that is missing.
 */
export function assertWhole({ media, item, disks }: Pick<MachineArchiveOrder, 'media' | 'item' | 'disks'>): void {
  if (item.kind !== 'machine-archive') layersOf(media, disks);
}

/** A saveset as the archive that an import takes, whatever its form: as stored, or made of a chain while it is sent. */
export async function openMachineArchive(order: MachineArchiveOrder): Promise<MachineArchive> {
  return order.item.kind === 'machine-archive' ? await openStored(order) : await openChain(order);
}

async function openStored(order: MachineArchiveOrder): Promise<MachineArchive> {
  const { media, item, title, edit, meter, signal, clock, idleTimeoutMs, lent } = order;
  const opened = await media.openItem(item.name, signal);
  meter.start({ item: item.name, title, expectedBytes: item.bytes, expectedIs: 'exact' });
  const archive = verifiedArchive({
    item: opened,
    expected: item,
    editArchive: edit,
    signal,
    clock,
    idleTimeoutMs,
    lent,
    onBytes: (bytes) => {
      meter.add(item.name, bytes);
    },
  });
  return {
    archive,
    complete: () => {
      meter.complete(item.name, item);
    },
  };
}

async function openChain(order: MachineArchiveOrder): Promise<MachineArchive> {
  const { media, title, edit, meter, signal, clock, idleTimeoutMs, lent } = order;
  const { savesetId } = media.record;
  const { wanted, layers } = layersOf(media, order.disks);
  const nameOf = (part: { readonly savesetId: string; readonly item: SavesetItem }): string =>
    part.savesetId === savesetId ? part.item.name : `${part.savesetId}/${part.item.name}`;
  const parts = [{ savesetId, item: order.item }, ...layers];
  for (const part of parts) {
    meter.start({ item: nameOf(part), title, expectedBytes: part.item.bytes, expectedIs: 'exact' });
  }
  const archive = await chainArchive({
    media,
    disks: wanted,
    editArchive: edit,
    signal,
    clock,
    idleTimeoutMs,
    lent,
    onBytes: (bytes, { savesetId: id, name }) => {
      meter.add(id === savesetId ? name : `${id}/${name}`, bytes);
    },
  });
  return {
    archive,
    complete: () => {
      for (const part of parts) meter.complete(nameOf(part), part.item);
    },
  };
}

/** The disks of the record in these places, and every item that they are merged from. */
function layersOf(
  media: RestoreMedia,
  disks: MachineArchiveOrder['disks'],
): { readonly wanted: readonly SavesetDisk[]; readonly layers: readonly ChainLayer[] } {
  const wanted = media.record.disks.filter(({ position }) => disks.some((disk) => disk.position === position));
  return { wanted, layers: wanted.flatMap((disk) => chainLayers(media, disk)) };
}
