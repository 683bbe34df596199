/**
 * Runs `work` on each item, at most `limit` at once, in order; gives the results in the items' order. Items that are not
 * begun when `isOver` says so are left out. `work` must not reject: a failure is a result.
 */
export async function concurrently<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
  isOver: () => boolean = () => false,
): Promise<readonly Result[]> {
  const results = new Map<number, Result>();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next; at < items.length && !isOver(); at = next) {
      next += 1;
      results.set(at, await work(items[at] as Item));
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return [...results].sort(([first], [second]) => first - second).map(([, result]) => result);
}
