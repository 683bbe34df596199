import { SeededRandom } from '../spec/journeys/support/seeded-random.js';

/**
 * An order, the same for the same seed, of which every beginning is spread evenly: next comes always one whose keys
 * had the fewest turns so far.
 */
export function inTurns<T>(all: readonly T[], seed: number, keysOf: (one: T) => readonly string[]): readonly T[] {
  const random = new SeededRandom(seed);
  const waiting = all.map((one) => ({ one, keys: keysOf(one), rank: random.below(2 ** 31) }));
  waiting.sort((first, second) => first.rank - second.rank);
  const turns = new Map<string, number>();
  const ordered: T[] = [];
  while (waiting.length > 0) {
    let best = 0;
    let fewest = Infinity;
    for (const [index, { keys }] of waiting.entries()) {
      const had = keys.reduce((sum, key) => sum + (turns.get(key) ?? 0), 0);
      if (had < fewest) [best, fewest] = [index, had];
    }
    const [{ one, keys } = { one: undefined, keys: [] }] = waiting.splice(best, 1);
    if (one === undefined) break;
    ordered.push(one);
    for (const key of keys) turns.set(key, (turns.get(key) ?? 0) + 1);
  }
  return ordered;
}
