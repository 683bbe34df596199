import { tortureByCrash } from './crash.js';
import { tortureByFaults } from './fault-matrix.js';
import { tortureWithHostileInput } from './hostile-input.js';
import { type PartReport, type PartResult } from './report.js';
import { tortureFullMedium, tortureStoredData } from './stored-data.js';

interface Wish {
  readonly seed: number;
  readonly isShort: boolean;
  /** Only cells whose name this pattern fits. */
  readonly match?: string | undefined;
  /** How long a matrix may take. Default: as long as it does. */
  readonly minutes?: number;
}

interface Part {
  readonly title: string;
  readonly run: (wish: Wish) => Promise<PartResult>;
}

export const PARTS = {
  backups: { title: 'Backups and faults', run: (wish) => tortureByFaults(wish, 'backup') },
  restores: { title: 'Restores and faults', run: (wish) => tortureByFaults(wish, 'restore') },
  stored: { title: 'Stored data, damaged', run: ({ seed, isShort }) => tortureStoredData(seed, isShort ? 3 : 1000) },
  medium: { title: 'Medium full or gone', run: ({ seed, isShort }) => tortureFullMedium(seed, isShort ? 2 : 200) },
  crash: { title: 'Killed at any moment', run: ({ seed, isShort }) => tortureByCrash(seed, isShort ? 1 : 200, 2) },
  input: { title: 'Hostile input', run: ({ seed, isShort }) => tortureWithHostileInput(seed, isShort ? 340 : 204_000) },
} as const satisfies Readonly<Record<string, Part>>;

export type PartName = keyof typeof PARTS;

export async function runPart(name: PartName, wish: Wish): Promise<PartReport> {
  const startedAtMs = performance.now();
  const { title, run } = PARTS[name];
  const result = await run(wish);
  return { name, title, seed: wish.seed, seconds: (performance.now() - startedAtMs) / 1000, ...result };
}
