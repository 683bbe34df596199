import { type SavesetRecord } from '../../contract/index.js';

/** How many savesets of each source stay. A saveset that fits several rules counts for each of them. */
export interface KeepRules {
  /** The newest so many. */
  readonly last?: number;
  /** The newest of each of the newest so many days, weeks (from Monday) and months, by UTC, that have one. */
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
}

export interface PrunePlan {
  readonly keep: readonly SavesetRecord[];
  readonly remove: readonly SavesetRecord[];
}

const DAY_MS = 24 * 60 * 60_000;
/** The epoch was a Thursday. */
const EPOCH_WEEKDAY_MS = 3 * DAY_MS;

const PERIODS: readonly { readonly rule: keyof KeepRules; readonly periodOf: (record: SavesetRecord) => string }[] = [
  { rule: 'last', periodOf: ({ savesetId }) => savesetId },
  { rule: 'daily', periodOf: ({ createdAt }) => String(Math.floor(Date.parse(createdAt) / DAY_MS)) },
  {
    rule: 'weekly',
    periodOf: ({ createdAt }) => String(Math.floor((Date.parse(createdAt) + EPOCH_WEEKDAY_MS) / (7 * DAY_MS))),
  },
  { rule: 'monthly', periodOf: ({ createdAt }) => new Date(createdAt).toISOString().slice(0, 7) },
];

/**
 * What the rules keep of each source, and everything that a kept one builds on. No rule at all keeps everything.
 * `records` in any order; both lists come oldest first.
 * @param unreadable ids of savesets whose record can't be read now. When a kept one builds on such a one, nobody can say
 *   what that builds on: all that is older stays.
 */
export function planPrune(
  records: readonly SavesetRecord[],
  rules: KeepRules,
  unreadable: ReadonlySet<string> = new Set(),
): PrunePlan {
  const ordered = [...records].sort(byAge);
  const groups = new Map<string, SavesetRecord[]>();
  for (const record of ordered) groups.set(sourceKey(record), [...(groups.get(sourceKey(record)) ?? []), record]);
  const wanted = [...groups.values()].flatMap((group) => keptOf(group, rules));
  const byId = new Map(ordered.map((record) => [record.savesetId, record]));
  const kept = new Set<SavesetRecord>();
  for (const start of wanted) {
    let record: SavesetRecord | undefined = start;
    while (record !== undefined && !kept.has(record)) {
      kept.add(record);
      const { parentSavesetId: parentId = '' } = record;
      if (unreadable.has(parentId)) for (const older of olderThan(record, groups)) kept.add(older);
      record = byId.get(parentId);
    }
  }
  return {
    keep: ordered.filter((record) => kept.has(record)),
    remove: ordered.filter((record) => !kept.has(record)),
  };
}

function olderThan(record: SavesetRecord, groups: ReadonlyMap<string, readonly SavesetRecord[]>): SavesetRecord[] {
  return (groups.get(sourceKey(record)) ?? []).filter((other) => byAge(other, record) < 0);
}

/** Oldest first; the id decides between savesets of the same instant. */
export function byAge(a: SavesetRecord, b: SavesetRecord): number {
  const difference = Date.parse(a.createdAt) - Date.parse(b.createdAt);
  return difference === 0 ? a.savesetId.localeCompare(b.savesetId) : difference;
}

/** Savesets of one thing: the same object at the same origin, whatever it was called at the time. */
function sourceKey({ providerId, source }: SavesetRecord): string {
  return [providerId, source.originId, source.kind, source.id].join('\n');
}

/** `group` is oldest first. */
function keptOf(group: readonly SavesetRecord[], rules: KeepRules): readonly SavesetRecord[] {
  if (Object.values(rules).every((count) => count === 0)) return group;
  return PERIODS.flatMap(({ rule, periodOf }) => {
    const newestOfPeriod = new Map(group.map((record) => [periodOf(record), record]));
    const count = rules[rule] ?? 0;
    return count === 0 ? [] : [...newestOfPeriod.values()].slice(-count);
  });
}
