import { isBackupError } from '../src/contract/index.js';
import { type FaultAction } from '../src/simulator/index.js';
import { strikeOnce } from '../src/simulator/behaviour/fault-acts.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena } from './arena.js';
import { afterFailure, type Aftermath, afterSuccess, BY_START, differences, textOf, within } from './judging.js';
import { type Operation, OPERATIONS } from './operations.js';
import { type PartResult } from './report.js';

const CELL_LIMIT_MS = 60_000;
const SHORT_CELLS = 4;

/** How the coordinator goes. */
const WAYS = ['dies', 'moves', 'hands over', 'reboots'] as const;
type Way = (typeof WAYS)[number];

/** When it goes: before the n-th thing that the pool sees of an operation, or after so many bytes of a transfer. */
interface Moment {
  readonly name: string;
  readonly step: number;
  /** Share of the transfer that has moved by then, for transfers. */
  readonly share?: number;
}

interface Cell {
  readonly operation: Operation;
  readonly moment: Moment;
  readonly way: Way;
}

interface CellResult {
  readonly cell: Cell;
  readonly outcome: string;
  readonly isMet: boolean;
  readonly isHealed: boolean;
  readonly isTold: boolean;
  readonly problems: readonly string[];
}

export interface FailoverWish {
  readonly seed: number;
  readonly isShort: boolean;
  readonly match?: string | undefined;
  readonly minutes?: number;
}

/**
 * The coordinator goes in the middle of every operation: it `dies` for good and another member takes over, it `moves` as
 * XAPI does it (every connection and login goes, and it comes back as a member), it `hands over` while connections and
 * logins stay, or it `reboots` and comes back as what it was. Each operation must end with the right bytes or with a code
 * that a host may act on, leave the pool as it was, and say that the coordinator changed.
 */
export async function tortureByFailover({
  seed,
  isShort,
  match,
  minutes = Infinity,
}: FailoverWish): Promise<PartResult> {
  const operations = isShort ? OPERATIONS.slice(seed % 3, (seed % 3) + 1) : OPERATIONS;
  const all: Cell[] = [];
  for (const operation of operations) {
    for (const moment of await momentsOf(operation)) {
      for (const way of WAYS) all.push({ operation, moment, way });
    }
  }
  const fitting = all.filter((cell) => match === undefined || new RegExp(match).test(nameOf(cell)));
  const every = isShort ? Math.ceil(fitting.length / SHORT_CELLS) : 1;
  const cells = shuffled(fitting, seed).filter((_, index) => index % every === 0);
  const untilMs = performance.now() + minutes * 60_000;
  const results: CellResult[] = [];
  for (const cell of cells) {
    if (performance.now() > untilMs) break;
    const result = await runCell(cell);
    results.push(result);
    if (process.env.TORTURE_TRACE !== undefined) {
      const word = result.problems.length === 0 ? 'ok  ' : 'FAIL';
      process.stderr.write(`${word} ${nameOf(cell)}: ${result.outcome} ${result.problems.join(' | ')}\n`);
    }
  }
  return { counts: countsOf(cells.length, results), problems: results.flatMap(toldProblems) };
}

const nameOf = ({ operation, moment, way }: Cell): string => `${operation.name} / ${moment.name} / ${way}`;

const toldProblems = ({ cell, problems }: CellResult): readonly string[] =>
  problems.map((one) => `${nameOf(cell)}: ${one}`);

function countsOf(wanted: number, results: readonly CellResult[]): Readonly<Record<string, number>> {
  const met = results.filter(({ isMet }) => isMet);
  const counts: Record<string, number> = {
    'cells in which the coordinator went': met.length,
    'cells that ended before it': results.length - met.length,
    'cells that had no turn': wanted - results.length,
    'went on, with the right bytes': met.filter(({ outcome }) => outcome === 'success').length,
    'failed with a right code': met.filter(({ outcome, problems }) => outcome !== 'success' && problems.length === 0)
      .length,
    'said that the coordinator changed': met.filter(({ isTold }) => isTold).length,
    'left something, told, and reconcile removed it': met.filter(({ isHealed }) => isHealed).length,
  };
  for (const way of WAYS) {
    const mine = met.filter(({ cell }) => cell.way === way);
    counts[`${way}: went on`] = mine.filter(({ outcome }) => outcome === 'success').length;
    counts[`${way}: failed with a code`] = mine.filter(({ outcome }) => outcome !== 'success').length;
  }
  for (const { name } of OPERATIONS) {
    const mine = met.filter(({ cell }) => cell.operation.name === name);
    if (mine.length === 0) continue;
    counts[`${name}: went on`] = mine.filter(({ outcome }) => outcome === 'success').length;
    counts[`${name}: failed with a code`] = mine.filter(({ outcome }) => outcome !== 'success').length;
  }
  return counts;
}

function shuffled<T>(all: readonly T[], seed: number): readonly T[] {
  const random = new SeededRandom(seed);
  return all
    .map((one) => ({ one, rank: random.below(2 ** 31) }))
    .sort((first, second) => first.rank - second.rank)
    .map(({ one }) => one);
}

/** Every call, transfer and NBD read of the operation when nothing happens; of those that poll, the first. */
async function momentsOf(operation: Operation): Promise<readonly Moment[]> {
  const arena = await Arena.open();
  try {
    const prepared = await operation.prepare(arena);
    const seen: string[] = [];
    watch(arena, (what) => {
      seen.push(what);
      return undefined;
    });
    await prepared.run();
    const moments: Moment[] = [];
    const names = new Map<string, number>();
    for (const [index, what] of seen.entries()) {
      const turn = (names.get(what) ?? 0) + 1;
      names.set(what, turn);
      const isReading = /\.(get_\w+|scan)$|^event\./.test(what);
      if (isReading && turn > 1) continue;
      const name = turn === 1 ? what : `${what} ${turn}`;
      moments.push({ name: `before ${name}`, step: index + 1 });
      if (/^(GET|PUT) /.test(what)) moments.push({ name: `in the middle of ${name}`, step: index + 1, share: 0.5 });
    }
    return moments;
  } finally {
    await arena.close();
  }
}

/** Tells of each call, transfer and NBD read before the pool does it. What is returned is done to a transfer. */
function watch(arena: Arena, onStep: (what: string) => FaultAction | undefined): void {
  const { faults } = arena.running.pool;
  const [forCall, forTransfer, forNbd] = [
    faults.forCall.bind(faults),
    faults.forTransfer.bind(faults),
    faults.forNbd.bind(faults),
  ];
  faults.forCall = (...call) => {
    const action = onStep(call[0].replace(/^Async\./, ''));
    return [...forCall(...call), ...(action === undefined ? [] : [action])];
  };
  faults.forTransfer = (...transfer) => {
    const action = onStep(`${transfer[0]} ${transfer[1].replace(/\/+$/, '')}`);
    return [...forTransfer(...transfer), ...(action === undefined ? [] : [action])];
  };
  faults.forNbd = (...read) => {
    onStep(`NBD ${read[0]}`);
    return forNbd(...read);
  };
}

/** What a host may act on: each says that it may be tried again, or what the pool's own reason was. */
const RIGHT_CODES = new Set<string>([
  'SOURCE_UNREACHABLE',
  'SOURCE_BUSY',
  'SOURCE_FAILED',
  'SNAPSHOT_FAILED',
  'TRANSFER_INTERRUPTED',
  'RESTORE_FAILED',
]);
/** Drives are made anew for the same disks. */
const BY_WAY_BACK = /^VBD_metrics "+ (came|went)$/;
const HEIR = 'host-b';
const BACK_AFTER_MS = 150;
/** The pauses between two attempts are short here; they count in full. */
const RECONNECT_MS = 20_001;
/** In bytes: the small disks of the arena have a little more. */
const MIDDLE_BYTE = 1_000_000;

async function runCell(cell: Cell): Promise<CellResult> {
  const { operation, moment, way } = cell;
  const problems: string[] = [];
  const arena = await Arena.open({ limitMs: RECONNECT_MS });
  let outcome = 'not run';
  const seen = { steps: 0, isMet: false };
  let after: Aftermath = { isHealed: false, problems: [] };
  let isTold = false;
  try {
    const prepared = await operation.prepare(arena);
    const before = arena.state();
    const savesets = (await arena.repository.list()).records.length;
    watch(arena, (what) => {
      seen.steps += 1;
      if (seen.steps !== moment.step) return undefined;
      seen.isMet = true;
      return strike(arena, way, what.startsWith('NBD'), moment.share);
    });
    const error = await within(CELL_LIMIT_MS, prepared.run());
    const warnings = [...arena.warnings];
    isTold = warnings.includes('COORDINATOR_CHANGED');
    outcome = error === undefined ? 'success' : isBackupError(error) ? error.code : `not typed: ${textOf(error)}`;
    await arena.revive();
    if (error === undefined) {
      const proof = (): Promise<string | undefined> =>
        prepared.check(before, (one, other) => differences(one, other, true));
      after = await afterSuccess(arena, proof, warnings);
    } else {
      if (!isBackupError(error) || !RIGHT_CODES.has(error.code))
        problems.push(`ended with ${outcome}: ${textOf(error)}`);
      else if (!error.isRetriable) problems.push(`${outcome} says nothing of trying again: ${error.message}`);
      const records = (await arena.repository.list()).records.length;
      if (records !== savesets) problems.push(`${records} savesets where there were ${savesets}`);
      const changes = (): readonly string[] =>
        differences(before, arena.state(), true).filter(
          (change) => operation.restarts !== true || !(BY_START.test(change) || BY_WAY_BACK.test(change)),
        );
      after = await afterFailure(arena, changes, warnings.includes('LEFTOVER'));
    }
    problems.push(...after.problems);
    problems.push(...(await arena.strays()).map((one) => `in the repository: ${one}`));
    problems.push(...(await arena.closeProduct()));
  } catch (error) {
    problems.push(`the cell broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    await arena.close();
  }
  return { cell, outcome, isMet: seen.isMet, isHealed: after.isHealed, isTold, problems };
}

/** What happens to the coordinator; of a transfer, as a fault at a byte. */
function strike(arena: Arena, way: Way, isNbd: boolean, share: number | undefined): FaultAction | undefined {
  const { running } = arena;
  if (way === 'hands over') {
    running.makeCoordinator(arena.uuidOf(HEIR, 'host'));
    return undefined;
  }
  const action: FaultAction = {
    kill: 'coordinator',
    ...(way === 'reboots' ? {} : { promote: HEIR }),
    ...(way === 'dies' ? {} : { backAfterMs: BACK_AFTER_MS }),
    ...(share === undefined ? {} : { atByte: Math.floor(MIDDLE_BYTE * share) }),
  };
  if (!isNbd) return action;
  strikeOnce(action, { pool: running.pool, host: running.pool.coordinator, session: '' });
  return undefined;
}
