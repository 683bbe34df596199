import { type SavesetItem } from '../src/contract/index.js';
import { Arena } from './arena.js';
import { type Operation } from './operations.js';
import { watch } from './watching.js';

/** What an operation did in a run without trouble: what a fault can meet. */
export interface Footprint {
  /** Names of the calls, each once, in order, without `Async.`; those made with it. */
  readonly calls: readonly string[];
  readonly asynchronous: ReadonlySet<string>;
  readonly transfers: readonly { readonly method: 'GET' | 'PUT'; readonly path: string; readonly bytes: number }[];
  readonly hasNbd: boolean;
}

/** Runs the operation once without trouble. */
export async function footprintOf(operation: Operation): Promise<Footprint> {
  const arena = await Arena.open();
  try {
    const prepared = await operation.prepare(arena);
    const calls = new Set<string>();
    const asynchronous = new Set<string>();
    const transfers = new Map<string, Footprint['transfers'][number]>();
    let hasNbd = false;
    watch(arena, ({ kind, name }) => {
      const [first = '', path = ''] = name.split(' ');
      if (kind === 'nbd') hasNbd = true;
      else if (kind === 'transfer' && (first === 'GET' || first === 'PUT'))
        transfers.set(name, { method: first, path, bytes: 0 });
      else if (kind === 'call') {
        const bare = name.replace(/^Async\./, '');
        calls.add(bare);
        if (bare !== name) asynchronous.add(bare);
      }
    });
    await prepared.run();
    const { records } = await arena.repository.list();
    const items = records.flatMap((record) => record.items);
    const sized = [...transfers.values()].map((transfer) => ({ ...transfer, bytes: bytesOf(transfer.path, items) }));
    return { calls: [...calls], asynchronous, transfers: sized, hasNbd };
  } finally {
    await arena.close();
  }
}

/** How much goes over a path: what was stored of it, the largest item when there are several. */
function bytesOf(path: string, items: readonly SavesetItem[]): number {
  const isOfMetadata = ({ name }: SavesetItem): boolean => /metadata|^machine\.xva$/.test(name);
  const fitting = items.filter((item) => isOfMetadata(item) === (path === '/export_metadata'));
  return Math.max(0, ...fitting.map(({ bytes }) => bytes));
}
