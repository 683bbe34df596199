import { type Clock } from '../common/clock.js';
import { type RestoreMedia, type SavesetItem } from '../contract/index.js';
import { type XvaArchive } from '../format/ova-xml.js';
import { chainArchive } from '../transfer/chain-archive.js';
import { chainLayers } from '../transfer/chain-layers.js';
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
}

export interface MachineArchive {
  readonly archive: VerifiedArchive;
  /** To be called when all of it has arrived. */
  readonly complete: () => void;
}

/** A saveset as the archive that an import takes, whatever its form: as stored, or made of a chain while it is sent. */
export async function openMachineArchive(order: MachineArchiveOrder): Promise<MachineArchive> {
  return order.item.kind === 'machine-archive' ? await openStored(order) : await openChain(order);
}

async function openStored(order: MachineArchiveOrder): Promise<MachineArchive> {
  const { media, item, title, edit, meter, signal, clock, idleTimeoutMs } = order;
  const opened = await media.openItem(item.name, signal);
  meter.start({ item: item.name, title, expectedBytes: item.bytes, expectedIs: 'exact' });
  const archive = verifiedArchive({
    item: opened,
    expected: item,
    editArchive: edit,
    signal,
    clock,
    idleTimeoutMs,
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
  const { media, title, edit, meter, signal, clock, idleTimeoutMs } = order;
  const { savesetId, disks } = media.record;
  const wanted = disks.filter(({ position }) => order.disks.some((disk) => disk.position === position));
  const layers = wanted.flatMap((disk) => chainLayers(media, disk));
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
    onBytes: (bytes, { savesetId: id, name }) => {
      meter.add(`${id}/${name}`, bytes);
    },
  });
  return {
    archive,
    complete: () => {
      for (const part of parts) meter.complete(nameOf(part), part.item);
    },
  };
}

function nameOf({ savesetId, item }: { readonly savesetId: string; readonly item: SavesetItem }): string {
  return `${savesetId}/${item.name}`;
}
