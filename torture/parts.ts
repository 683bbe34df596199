import { tortureByCancel } from './cancel.js';
import { tortureByCrash } from './crash.js';
import { tortureByFailover } from './failover.js';
import { tortureByFaults } from './fault-matrix.js';
import { tortureWithHostileInput } from './hostile-input.js';
import { tortureByInterrupt } from './interrupt.js';
import { tortureByMovers } from './movers.js';
import { type PartReport, type PartResult } from './report.js';
import { tortureFullMedium, tortureStoredData } from './stored-data.js';

/** What is asked of a part. */
export interface Wish {
  readonly seed: number;
  /** A sample of seconds, for the specs. */
  readonly isShort: boolean;
  /** Only cells whose name this pattern fits. */
  readonly match?: string | undefined;
  /** How long a matrix may go on once it has its least number of cells. Default: the part's own. */
  readonly minutes?: number | undefined;
  /** Of several processes that share a part, which one this is, from 0. */
  readonly share: number;
}

/**
 * A part is one entry of `PARTS`. Its `run` gets a `Wish` and resolves to `{ counts, problems }`: counts by what they
 * count (those of several shares are added up; the ones that begin with "ms" keep the largest), and a sentence for each thing that is
 * not as it must be. It opens what it needs (`Arena.open()`) and leaves nothing open. It never rejects for a finding.
 */
export interface Part {
  readonly title: string;
  /** What it means, for the report. */
  readonly about: string;
  /** How many processes share it. Default: one. */
  readonly shares?: number;
  /** About how long each of them takes: the longest begin first, so that both processes at a time end together. */
  readonly seconds: number;
  readonly run: (wish: Wish) => Promise<PartResult>;
}

const CRASH_SHARES = 4;
const KILLS = 200;
/** On a quiet machine every cell has its turn long before. */
const MATRIX_MINUTES = 12;
const CANCEL_MINUTES = 9;
const FAILOVER_MINUTES = 12;
const MOVER_ROUNDS = 48;
const LEAST_CELLS = 200;

interface MatrixWish extends Wish {
  readonly minutes: number;
  readonly leastCells: number;
}

function matrix(wish: Wish, minutes: number): MatrixWish {
  return { ...wish, minutes: wish.minutes ?? minutes, leastCells: wish.minutes === undefined ? LEAST_CELLS : 0 };
}

/** In the order of the report. */
export const PARTS = {
  backups: {
    title: 'Backups and faults',
    about:
      'Every call, transfer and NBD read of every kind of backup, crossed with every fault that can meet it: cuts, ' +
      'silence, error pages, failing and vanishing tasks, expired sessions, a coordinator that moves, a member that ' +
      'reboots, full storage, damaged exports. Each cell is a pool of its own. It must end with a right code or with the ' +
      'right bytes; the pool is compared record for record; no task, login, connection or handle stays open; nothing ' +
      'half is in the repository.',
    seconds: 280,
    run: (wish) => tortureByFaults(matrix(wish, MATRIX_MINUTES), 'backup'),
  },
  restores: {
    title: 'Restores and faults',
    about: 'The same for every kind of restore: new, overwriting, of a chain, of one disk.',
    seconds: 480,
    run: (wish) => tortureByFaults(matrix(wish, MATRIX_MINUTES), 'restore'),
  },
  cancel: {
    title: 'Cancelled at any step',
    about:
      'Every operation, cancelled at each of its calls (as it comes, while it lasts, after it) and in each transfer ' +
      '(before the first byte, in the middle), by signal and by unsubscribing. It must end as CANCELLED within a bounded ' +
      'time, with all of the above left as it was and no task of XAPI left.',
    seconds: 320,
    run: (wish) => tortureByCancel(matrix(wish, CANCEL_MINUTES)),
  },
  interrupt: {
    title: 'Ctrl-C',
    about:
      'The command `xen-backup`, as a process of its own, gets SIGINT at random steps of every operation. It must exit ' +
      'with 130 and leave pool and repository as they were, without a reconcile.',
    seconds: 55,
    run: ({ seed, isShort }) => tortureByInterrupt(seed, isShort ? 1 : 33),
  },
  failover: {
    title: 'The coordinator goes',
    about:
      'The coordinator dies, moves, hands over or reboots in the middle of every operation. Only what was lost is done ' +
      'again, and the result says so; or it ends with a code that a host may act on. The pool is as before.',
    seconds: 420,
    run: (wish) => tortureByFailover({ ...wish, minutes: wish.minutes ?? FAILOVER_MINUTES }),
  },
  movers: {
    title: 'Two processes at one machine',
    about:
      'A second process saves the same machine or reconciles while the first reads it, with clocks that jump. One is ' +
      'refused with a code, or both are whole; nothing is taken from a run that lives; nothing is left of either.',
    seconds: 260,
    run: ({ seed, isShort }) => tortureByMovers(seed, isShort ? 1 : MOVER_ROUNDS),
  },
  crash: {
    title: 'Killed at any moment',
    about:
      'The command is killed with SIGKILL at random moments of backups and restores. Then reconcile and the next backup ' +
      'run: nothing of ours may be left, nothing else touched, and the machine is wholly old or wholly new.',
    shares: CRASH_SHARES,
    seconds: 85,
    run: ({ seed, isShort, share }) => tortureByCrash(seed + share, isShort ? 1 : KILLS / CRASH_SHARES),
  },
  stored: {
    title: 'Stored data, damaged',
    about:
      'Bits flipped, items cut, lengthened, exchanged, zeroed or taken away in stored archives and chains: verify must ' +
      'find it, restore and readDisk must refuse it, with nothing left in the pool.',
    seconds: 50,
    run: ({ seed, isShort }) => tortureStoredData(seed, isShort ? 2 : 1000),
  },
  medium: {
    title: 'Medium full or gone',
    about: 'The repository has no room, or is gone, at any byte of a backup: a clean error, and older savesets intact.',
    seconds: 20,
    run: ({ seed, isShort }) => tortureFullMedium(seed, isShort ? 2 : 200),
  },
  input: {
    title: 'Hostile input',
    about:
      'Every reader of what comes from outside eats spoilt samples: a result or a typed error, soon, in bounded memory. ' +
      '"Refused" are the cases with an error; the rest were read as something harmless.',
    seconds: 25,
    run: ({ seed, isShort }) => tortureWithHostileInput(seed, isShort ? 340 : 204_000),
  },
} as const satisfies Readonly<Record<string, Part>>;

export type PartName = keyof typeof PARTS;

export const PART_NAMES = Object.keys(PARTS) as PartName[];

export async function runPart(name: PartName, wish: Wish): Promise<PartReport> {
  const startedAtMs = performance.now();
  const part: Part = PARTS[name];
  const result = await part.run(wish);
  return { name, title: part.title, seconds: (performance.now() - startedAtMs) / 1000, ...result };
}
