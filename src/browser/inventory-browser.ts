import { inject, injectable } from 'inversify';
import { Clock } from '../common/clock.js';
import {
  BackupError,
  type BrowseNode,
  type BrowsePage,
  type BrowseQuery,
  type SourceBrowser,
} from '../contract/index.js';
import { PoolConnection } from '../session/pool-connection.js';
import { type Inventory, loadInventory } from './inventory.js';
import { childrenOf } from './inventory-mapper.js';

const DEFAULT_PAGE_SIZE = 1000;
/** Pages of one listing come from one picture of the pool, so that nothing is shown twice or skipped. */
const PICTURE_LIFETIME_MS = 60_000;

interface Picture {
  readonly id: number;
  readonly takenAtMs: number;
  readonly inventory: Inventory;
  /** Listings of more than one page, by their paths: the next page is cut from the same. */
  readonly long: Map<string, readonly BrowseNode[]>;
}

interface Cursor {
  readonly picture: number;
  readonly offset: number;
}

/** The pool as a tree. The only state is the picture that the next page of a long listing, or the next step of a walk,
 * is taken from. */
@injectable()
export class InventoryBrowser implements SourceBrowser {
  #picture: Picture | undefined;
  #pictures = 0;

  constructor(
    @inject(PoolConnection) private readonly pool: PoolConnection,
    @inject(Clock) private readonly clock: Clock,
  ) {}

  async list(path: string, query: BrowseQuery = {}): Promise<BrowsePage> {
    const pageSize = query.pageSize ?? DEFAULT_PAGE_SIZE;
    if (!Number.isInteger(pageSize) || pageSize < 1) {
      throw new BackupError('REQUEST_INVALID', `A page can't have ${pageSize} nodes.`);
    }
    query.signal?.throwIfAborted();
    const cursor = query.cursor === undefined ? undefined : parseCursor(query.cursor);
    const picture = await this.#pictureFor(cursor, query);
    const nodes = picture.long.get(path) ?? childrenOf(path, picture.inventory);
    if (nodes.length > pageSize) picture.long.set(path, nodes);
    return page(nodes, cursor?.offset ?? 0, pageSize, picture.id);
  }

  async #pictureFor(cursor: Cursor | undefined, { maxAgeMs = 0, signal }: BrowseQuery): Promise<Picture> {
    const held = this.#picture;
    if (held !== undefined) {
      const allowedMs = held.id === cursor?.picture ? PICTURE_LIFETIME_MS : maxAgeMs;
      if (this.clock.nowMs() - held.takenAtMs < allowedMs) return held;
    }
    const inventory = await loadInventory(this.pool, signal);
    this.#pictures += 1;
    this.#picture = { id: this.#pictures, takenAtMs: this.clock.nowMs(), inventory, long: new Map() };
    return this.#picture;
  }
}

function page(nodes: readonly BrowseNode[], offset: number, pageSize: number, picture: number): BrowsePage {
  const end = offset + pageSize;
  return {
    nodes: nodes.slice(offset, end),
    nextCursor: end < nodes.length ? `${picture}.${end}` : undefined,
  };
}

function parseCursor(text: string): Cursor {
  const match = /^(\d{1,9})\.(\d{1,9})$/.exec(text);
  if (match === null) {
    throw new BackupError('REQUEST_INVALID', `"${text}" is not a cursor of this browser.`, {
      hint: 'Pass on the nextCursor of the page before, as it is.',
    });
  }
  return { picture: Number(match[1]), offset: Number(match[2]) };
}
