import { type SavesetRecord } from '../../contract/index.js';

export interface PrunePlan {
  readonly keep: readonly SavesetRecord[];
  readonly remove: readonly SavesetRecord[];
}

/** Savesets of one thing: the same object at the same origin, whatever it was called at the time. */
function sourceKey({ providerId, source }: SavesetRecord): string {
  return [providerId, source.originId, source.kind, source.id].join('\n');
}

/**
 * Keeps the `keepLast` newest savesets of each source, and everything that a kept one builds on.
 * `records` in any order; both lists come oldest first.
 */
export function planPrune(records: readonly SavesetRecord[], keepLast: number): PrunePlan {
  const ordered = [...records].sort(byAge);
  const groups = new Map<string, SavesetRecord[]>();
  for (const record of ordered) groups.set(sourceKey(record), [...(groups.get(sourceKey(record)) ?? []), record]);
  const newest = [...groups.values()].flatMap((group) => group.slice(-keepLast));
  const byId = new Map(ordered.map((record) => [record.savesetId, record]));
  const kept = new Set<SavesetRecord>();
  for (const start of newest) {
    let record: SavesetRecord | undefined = start;
    while (record !== undefined && !kept.has(record)) {
      kept.add(record);
      record = byId.get(record.parentSavesetId ?? '');
    }
  }
  return {
    keep: ordered.filter((record) => kept.has(record)),
    remove: ordered.filter((record) => !kept.has(record)),
  };
}

/** Oldest first; the id decides between savesets of the same instant. */
export function byAge(a: SavesetRecord, b: SavesetRecord): number {
  const difference = Date.parse(a.createdAt) - Date.parse(b.createdAt);
  return difference === 0 ? a.savesetId.localeCompare(b.savesetId) : difference;
}
