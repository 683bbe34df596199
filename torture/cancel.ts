import { EmptyError } from 'rxjs';
import { isBackupError } from '../src/contract/index.js';
import { type Fault, type FaultAction, type FaultMatch, type PoolState } from '../src/simulator/index.js';
import { systemClock } from '../src/common/clock.js';
import { Arena } from './arena.js';
import { inTurns } from './balance.js';
import { type Footprint, footprintOf } from './footprint.js';
import { afterFailure, BY_START, differences, handleCount, textOf, within } from './judging.js';
import { type Operation, OPERATIONS } from './operations.js';
import { type PartResult } from './report.js';
import { watch } from './watching.js';

/** From the cancellation to the end, everything cleaned up; the client's own limits are far longer. */
const BOUND_MS = 15_000;
const CLIENT_LIMIT_MS = 50_001;
/** A call that lasts, and how long after its beginning it is cancelled; until a transfer stands still in its middle. */
const LASTS_MS = 250;
const SOON_MS = 40;
const AWAY_MS = 60_000;

const WAYS = ['signal', 'unsubscribe'] as const;

interface Moment {
  readonly where: string;
  readonly match: FaultMatch;
  readonly action?: FaultAction;
  readonly afterMs: number;
}

interface Cell {
  readonly operation: Operation;
  readonly way: (typeof WAYS)[number];
  readonly moment: Moment;
}

interface CellResult {
  readonly cell: Cell;
  readonly outcome: 'cancelled' | 'done before' | 'not met' | 'wrong';
  readonly elapsedMs: number;
  readonly cancelledTasks: number;
  readonly isHealed: boolean;
  readonly problems: readonly string[];
}

export interface CancelWish {
  readonly isShort: boolean;
  readonly seed: number;
  readonly match?: string | undefined;
  readonly minutes: number;
  readonly leastCells: number;
}

const SHORT_CELLS = 4;

/** Cancels each operation at each call and in each transfer, by signal and by unsubscribing. */
export async function tortureByCancel(wish: CancelWish): Promise<PartResult> {
  const { isShort, seed, match, minutes, leastCells } = wish;
  const operations = isShort ? [OPERATIONS[seed % OPERATIONS.length]!] : OPERATIONS;
  const all: Cell[] = [];
  for (const operation of operations) {
    if (match !== undefined && !new RegExp(match.split(' / ')[0]!).test(operation.name)) continue;
    for (const moment of momentsOf(await footprintOf(operation)))
      for (const way of WAYS) all.push({ operation, way, moment });
  }
  const wanted = all.filter((cell) => match === undefined || new RegExp(match).test(nameOf(cell)));
  const ordered = inTurns(wanted, seed, ({ operation, way, moment }) => [
    operation.name,
    `${way} ${moment.where.replace(/^\S+ ?\S*: /, '')}`,
  ]);
  const cells = isShort ? ordered.slice(0, SHORT_CELLS) : ordered;
  const untilMs = performance.now() + minutes * 60_000;
  const results: CellResult[] = [];
  for (const cell of cells) {
    if (performance.now() > untilMs && results.length >= leastCells) break;
    const result = await runCell(cell);
    results.push(result);
    if (process.env.TORTURE_TRACE !== undefined) {
      const { outcome, elapsedMs, problems } = result;
      process.stderr.write(`${outcome} ${elapsedMs.toFixed(0)} ms ${nameOf(cell)}: ${problems.join(' | ')}\n`);
    }
  }
  return summary(cells, results);
}

function summary(cells: readonly Cell[], results: readonly CellResult[]): PartResult {
  const many = (isOne: (result: CellResult) => boolean): number => results.filter(isOne).length;
  const times = results
    .filter(({ outcome }) => outcome === 'cancelled')
    .map(({ elapsedMs }) => elapsedMs)
    .sort((one, other) => one - other);
  const counts: Record<string, number> = {
    'cells in which it was cancelled': many(({ outcome }) => outcome === 'cancelled'),
    'by signal': many(({ cell, outcome }) => cell.way === 'signal' && outcome === 'cancelled'),
    'by unsubscribing': many(({ cell, outcome }) => cell.way === 'unsubscribe' && outcome === 'cancelled'),
    'came too late, and the result is whole': many(({ outcome }) => outcome === 'done before'),
    'cells that ended before it': many(({ outcome }) => outcome === 'not met'),
    'cells that had no turn': cells.length - results.length,
    'XAPI tasks cancelled': results.reduce((sum, { cancelledTasks }) => sum + cancelledTasks, 0),
    'left something, told, and reconcile removed it': many(({ isHealed }) => isHealed),
    'ms from the cancellation to the end, median': Math.round(times[times.length >> 1] ?? 0),
    'ms from the cancellation to the end, longest': Math.round(times.at(-1) ?? 0),
  };
  for (const { name } of new Set(cells.map(({ operation }) => operation)))
    counts[`cells of ${name}`] = many(({ cell, outcome }) => cell.operation.name === name && outcome === 'cancelled');
  return {
    counts,
    problems: results.flatMap(({ cell, problems }) => problems.map((one) => `${nameOf(cell)}: ${one}`)),
  };
}

const nameOf = ({ operation, way, moment }: Cell): string => `${operation.name} / ${moment.where} / ${way}`;

/** Each call as it comes, while it lasts and after it; each transfer before its first byte and in its middle. */
function momentsOf({ calls, transfers, hasNbd }: Footprint): readonly Moment[] {
  const stall: FaultAction = { stall: true };
  return [
    ...calls.flatMap((call): readonly Moment[] => [
      { where: `${call}: as it comes`, match: { call }, afterMs: 0 },
      { where: `${call}: while it lasts`, match: { call }, action: { delayMs: LASTS_MS }, afterMs: SOON_MS },
      { where: `${call}: after it`, match: { call }, afterMs: SOON_MS / 4 },
    ]),
    ...transfers.flatMap(({ method, path, bytes }): readonly Moment[] => {
      const match = { path, method };
      const middle: FaultAction = { stall: true, atByte: Math.floor(bytes / 2) };
      return [
        { where: `${method} ${path}: as it comes`, match, afterMs: 0 },
        { where: `${method} ${path}: before the first byte`, match, action: stall, afterMs: SOON_MS },
        { where: `${method} ${path}: in the middle`, match, action: middle, afterMs: 2 * SOON_MS },
        {
          where: `${method} ${path}: while it flows`,
          match,
          action: { bytesPerSecond: Math.max(1000, bytes * 4) },
          afterMs: SOON_MS,
        },
      ];
    }),
    ...(hasNbd
      ? [
          { where: 'NBD connection: as it comes', match: { nbd: 'connection' }, afterMs: 0 } as const,
          { where: 'NBD connection: silent', match: { nbd: 'connection' }, action: stall, afterMs: SOON_MS } as const,
          { where: 'NBD read: as it comes', match: { nbd: 'read' }, afterMs: 0 } as const,
          { where: 'NBD read: silent', match: { nbd: 'read' }, action: stall, afterMs: SOON_MS } as const,
        ]
      : []),
  ];
}

async function runCell(cell: Cell): Promise<CellResult> {
  const { operation, way, moment } = cell;
  const handles = await handleCount();
  const arena = await Arena.open({ limitMs: CLIENT_LIMIT_MS });
  const problems: string[] = [];
  const result: { -readonly [Key in keyof CellResult]: CellResult[Key] } = {
    cell,
    outcome: 'not met',
    elapsedMs: 0,
    cancelledTasks: 0,
    isHealed: false,
    problems,
  };
  try {
    const prepared = await operation.prepare(arena);
    const before = arena.state();
    const savesets = (await arena.repository.list()).records.length;
    const stopping = new AbortController();
    let cancelledAtMs: number | undefined;
    const onHit = async (): Promise<void> => {
      await systemClock.sleep(moment.afterMs);
      cancelledAtMs = performance.now();
      stopping.abort();
    };
    const isHit = hitBy(moment.match);
    let isMet = false;
    watch(arena, ({ kind, name }) => {
      if (name.endsWith('task.cancel')) result.cancelledTasks += 1;
      if (isMet || !isHit(kind, name)) return;
      isMet = true;
      void onHit();
    });
    const fault: Fault | undefined =
      moment.action === undefined ? undefined : { match: moment.match, occurrence: 1, action: moment.action };
    if (fault !== undefined) arena.running.addFault(fault);
    const ending = { [way]: stopping.signal };
    const error: unknown = await within(AWAY_MS, prepared.run(ending));
    if (cancelledAtMs === undefined) problems.push(...(error === undefined ? [] : [`ended with ${textOf(error)}`]));
    else if (error === undefined) result.outcome = 'done before';
    else if (isBackupError(error) ? way === 'unsubscribe' || error.code === 'CANCELLED' : isEmptied(error, way))
      result.outcome = 'cancelled';
    else {
      result.outcome = 'wrong';
      problems.push(`ended with ${isBackupError(error) ? error.code : ''} ${textOf(error)}`);
    }
    if (error === undefined) {
      const finding = await prepared.check(before, (one, other) => differences(one, other, false));
      if (finding !== undefined) problems.push(finding);
    }
    const left = await within(
      AWAY_MS,
      arena.closeProduct().then((all) => void problems.push(...all)),
    );
    if (left !== undefined) problems.push(textOf(left));
    result.elapsedMs = performance.now() - (cancelledAtMs ?? performance.now());
    if (error === undefined) return result;
    if (result.elapsedMs > BOUND_MS) problems.push(`it took ${result.elapsedMs.toFixed(0)} ms to end`);
    const records = (await arena.repository.list()).records.length;
    if (records !== savesets) problems.push(`${records} savesets where there were ${savesets}`);
    problems.push(...(await arena.strays()).map((one) => `in the repository: ${one}`));
    const changesNow = (): readonly string[] => changes(before, arena.state(), operation);
    const after = await afterFailure(arena, changesNow, arena.logged.includes('LEFTOVER'));
    result.isHealed = after.isHealed;
    if (after.problems.length > 0 && way === 'unsubscribe') {
      const finding = await prepared.check(before, (one, other) => differences(one, other, false)).catch(textOf);
      if (finding === undefined) result.outcome = 'done before';
      else problems.push(finding);
    }
    if (result.outcome !== 'done before') problems.push(...after.problems);
    const tasks = arena.running.pool.store.all('task').map(([, { name_label: label }]) => textOf(label));
    problems.push(...tasks.map((one) => `task ${one} is left`));
  } catch (error) {
    problems.push(`the cell broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    await arena.close();
  }
  const more = (await handleCount()) - handles;
  if (more > 0) problems.push(`${more} handles more than before`);
  return result;
}

/** Whoever unsubscribes before the first event has nothing in hand. */
function isEmptied(error: unknown, way: Cell['way']): boolean {
  return way === 'unsubscribe' && error instanceof EmptyError;
}

function hitBy({ call, path, method, nbd }: FaultMatch): (kind: string, name: string) => boolean {
  return (kind, name) => {
    if (kind === 'call') return call !== undefined && name.replace(/^Async\./, '') === call;
    if (kind === 'transfer') return path !== undefined && name === `${method ?? ''} ${path}`;
    return nbd === name;
  };
}

/** What an overwrite stopped was started again: what a start changes does not count. */
function changes(before: PoolState, after: PoolState, { restarts = false }: Operation): readonly string[] {
  return differences(before, after, false).filter((one) => !restarts || !BY_START.test(one));
}
