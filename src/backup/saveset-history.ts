import { type SavesetRecord } from '../contract/index.js';
import { type MachineChain, machineChainOf } from '../format/machine-details.js';
import { PROVIDER_ID } from '../session/source-identity.js';

/** How a machine is stored: as one archive, or as one VHD a disk. */
export type StoredForm = 'xva' | 'disks';

/** A stored saveset of the form `disks`, with what its details say of its chain. */
export interface ChainMember {
  readonly record: SavesetRecord;
  readonly chain: MachineChain;
}

/** What a machine's backup builds on. */
export interface BackupSubject {
  /** Source as records name it, and the pool that it is in now. */
  readonly kind: string;
  readonly id: string;
  readonly originId: string;
}

/** The savesets of a machine that were stored before, as far as a new one can make use of them. Pure. */
export interface SavesetHistory {
  /** There is something of the form `disks` in it that is no copy. */
  readonly hasChain: boolean;
  /** Members that a next saveset may build on: those of whole chains, no copies, oldest first. */
  readonly members: readonly ChainMember[];
  /** Ids of the savesets in it that may have left a base in the pool, whatever their form; see `MOST_IDS`. */
  readonly ids: ReadonlySet<string>;
}

/**
 * So many of the newest savesets may have left a base; of older ones only the fulls of chains, as differentials keep theirs.
 * There is an end to it: a record that names all of a history of years can no longer be read (`machineDetailsSchema`).
 */
const MOST_IDS = 1000;
const MOST_FULLS = 1000;

/** Reads what a host hands over. Records of other sources, pools and providers are left out. */
export function readHistory(records: readonly SavesetRecord[], subject: BackupSubject): SavesetHistory {
  const own = records
    .filter(
      ({ providerId, source }) =>
        providerId === PROVIDER_ID &&
        source.kind === subject.kind &&
        source.id === subject.id &&
        source.originId === subject.originId,
    )
    .sort((left, right) => (left.createdAt < right.createdAt ? -1 : Number(left.createdAt > right.createdAt)));
  const byId = new Map<string, ChainMember>();
  for (const record of own) {
    const chain = chainOf(record);
    if (chain !== undefined) byId.set(record.savesetId, { record, chain });
  }
  const isChainFull = ({ savesetId, level }: SavesetRecord): boolean => level === 'full' && byId.has(savesetId);
  const older = own.slice(0, -MOST_IDS).filter(isChainFull).slice(-MOST_FULLS);
  return {
    hasChain: [...byId.values()].some(({ record }) => record.level !== 'copy'),
    members: [...byId.values()].filter(({ record, chain }) => record.level !== 'copy' && isWhole(record, chain, byId)),
    ids: new Set([...older, ...own.slice(-MOST_IDS)].map(({ savesetId }) => savesetId)),
  };
}

/** How a saveset's disks hang together; undefined for one archive and for a record of another kind. */
export function chainOf({ details, source }: SavesetRecord): MachineChain | undefined {
  if (source.kind !== 'vm' && source.kind !== 'template') return undefined;
  return machineChainOf(details);
}

/** The full that a member's chain begins with; the member itself when it is one. */
export function rootOf(member: ChainMember, { members }: SavesetHistory): ChainMember | undefined {
  const [rootId = member.record.savesetId] = member.chain.ancestors;
  return members.find(({ record }) => record.savesetId === rootId);
}

/**
 * The member that the next one builds on: of those that no other has taken the place of, the latest. A clock that was
 * wrong once would else have every later backup build on a saveset whose base is gone.
 */
export function newestOf({ members }: SavesetHistory): ChainMember | undefined {
  const isReplaced = new Set(members.flatMap(({ chain }) => [...chain.ancestors, ...chain.supersedes]));
  return members.findLast(({ record }) => !isReplaced.has(record.savesetId)) ?? members.at(-1);
}

/** True when every saveset that it builds on is there, and hangs together as it says. */
function isWhole(record: SavesetRecord, chain: MachineChain, byId: ReadonlyMap<string, ChainMember>): boolean {
  const { ancestors } = chain;
  if (ancestors.at(-1) !== record.parentSavesetId) return false;
  return ancestors.every((id, index) => {
    const ancestor = byId.get(id);
    return ancestor !== undefined && ancestor.record.parentSavesetId === ancestors[index - 1];
  });
}
