/** One line of the tree a host shows. */
export interface BrowseNode {
  /** Path of this node; pass it to `list` to go deeper, or to a request as `source` when `isSelectable`. */
  readonly path: string;
  readonly kind: string;
  readonly name: string;
  readonly id: string | undefined;
  readonly hasChildren: boolean;
  /** True when it can be the source of a backup. */
  readonly isSelectable: boolean;
  /** Why not, when it looks as if it could. */
  readonly reason?: string;
  readonly sizeBytes?: number;
  /** Facts for display: `powerState: running`, `consistency: crash, offline`, ... */
  readonly properties: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

export interface BrowsePage {
  readonly nodes: readonly BrowseNode[];
  /** Pass it as `cursor` for the next page; undefined at the end. */
  readonly nextCursor: string | undefined;
}

export interface BrowseQuery {
  readonly cursor?: string;
  /** At most so many nodes a page. Default 1000. */
  readonly pageSize?: number;
  /** Who walks a whole tree says how old the picture may be that it is shown, so that it is taken once. Default 0. */
  readonly maxAgeMs?: number;
  readonly signal?: AbortSignal;
}

/** The file-system browser extension: the source as a tree. The root is the empty path. */
export interface SourceBrowser {
  /** @throws {BackupError} OBJECT_NOT_FOUND for a path that is not there. */
  list(path: string, query?: BrowseQuery): Promise<BrowsePage>;
}
