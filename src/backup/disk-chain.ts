import { type VdiRecord } from '../xapi/xapi-records.js';

/** Storages refuse a snapshot of a disk whose chain is longer (facts 8). */
const LONGEST_CHAIN = 30;
/** One image that waits to be merged is what the backup before leaves behind for some minutes; more are a backlog. */
const TOLERATED_PENDING = 1;
const PARENT_KEY = 'vhd-parent';

export type ChainPolicy = 'wait' | 'skip' | 'force';

/** The images that a disk consists of. */
export interface DiskChain {
  readonly disk: string;
  /** Images, the disk itself included. */
  readonly depth: number;
  /** Images below it that only one other builds on: the storage is still to merge them (coalesce). */
  readonly pending: number;
}

type Image = Pick<VdiRecord, 'uuid' | 'name_label' | 'sm_config' | 'managed'>;

/** True when a disk builds on another image at all, as its storage tells. */
export function hasChain({ sm_config: config }: Pick<VdiRecord, 'sm_config'>): boolean {
  return config[PARENT_KEY] !== undefined;
}

/** The chain of each disk. `images` are all of its storage, the hidden ones too. Pure. */
export function chainsOf(disks: readonly Image[], images: Iterable<Image>): readonly DiskChain[] {
  const byUuid = new Map<string, Image>();
  const children = new Map<string, number>();
  for (const image of images) {
    byUuid.set(image.uuid, image);
    const parent = image.sm_config[PARENT_KEY];
    if (parent !== undefined) children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  return disks.map((disk) => {
    let depth = 1;
    let pending = 0;
    const seen = new Set([disk.uuid]);
    for (let at = parentOf(disk, byUuid); at !== undefined && !seen.has(at.uuid); at = parentOf(at, byUuid)) {
      seen.add(at.uuid);
      depth += 1;
      if (!at.managed && (children.get(at.uuid) ?? 0) < 2) pending += 1;
    }
    return { disk: disk.name_label, depth, pending };
  });
}

/** What is wrong with the chains, as a sentence; undefined when a snapshot does no harm. */
export function chainTrouble(chains: readonly DiskChain[]): string | undefined {
  const long = chains.find(({ depth }) => depth >= LONGEST_CHAIN);
  if (long !== undefined) {
    return `The disk "${long.disk}" is a chain of ${long.depth} images; storages take ${LONGEST_CHAIN} at most.`;
  }
  const behind = chains.find(({ pending }) => pending > TOLERATED_PENDING);
  if (behind === undefined) return undefined;
  return `The storage has still to merge ${behind.pending} images below the disk "${behind.disk}".`;
}

function parentOf(image: Image, byUuid: ReadonlyMap<string, Image>): Image | undefined {
  const parent = image.sm_config[PARENT_KEY];
  return parent === undefined ? undefined : byUuid.get(parent);
}
