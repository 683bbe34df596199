import { isBackupError } from '../src/contract/index.js';
import { restartHost } from '../src/simulator/behaviour/host-power.js';
import { type Fault, type FaultMatch } from '../src/simulator/index.js';
import { Arena } from './arena.js';
import { inTurns } from './balance.js';
import { FAULT_ROWS, type FaultRow, placesOf } from './fault-rows.js';
import { footprintOf } from './footprint.js';
import {
  afterFailure,
  type Aftermath,
  afterSuccess,
  BY_START,
  differences,
  handleCount,
  textOf,
  within,
} from './judging.js';
import { type Operation, OPERATIONS } from './operations.js';
import { type PartResult } from './report.js';
import { watch } from './watching.js';

const CELL_LIMIT_MS = 60_000;

interface Cell {
  readonly operation: Operation;
  readonly row: FaultRow;
  readonly where: string;
  readonly fault: Fault;
}

/** How a cell ended: what the operation said, and everything that is not as it must be. */
interface CellResult {
  readonly name: string;
  readonly outcome: string;
  /** Its name in the rows. */
  readonly fault: string;
  /** The fault struck. */
  readonly isMet: boolean;
  /** Something was left and told, and reconcile took it away. */
  readonly isHealed: boolean;
  readonly problems: readonly string[];
  readonly elapsedMs: number;
}

const SHORT_CELLS = 2;

interface MatrixWish {
  readonly isShort: boolean;
  readonly seed: number;
  readonly match?: string | undefined;
  /** No cell begins later, once so many had their turn. */
  readonly minutes: number;
  readonly leastCells: number;
}

/** Runs the matrix, or every so-many-th cell of it. */
export async function tortureByFaults(
  { isShort, seed, match, minutes, leastCells }: MatrixWish,
  kind: Operation['kind'],
): Promise<PartResult> {
  const ofKind = OPERATIONS.filter((operation) => operation.kind === kind);
  const first = seed % (ofKind.length - 1);
  const all = (await cellsOf(isShort ? ofKind.slice(first, first + 1) : ofKind)).filter(
    (cell) => match === undefined || new RegExp(match).test(nameOf(cell)),
  );
  const step = isShort ? Math.ceil(all.length / SHORT_CELLS) : 1;
  const cells = all.filter((_, index) => index % step === 0);
  const results = await runAll(
    inTurns(cells, seed, ({ operation, row }) => [operation.name, `${row.meets} ${row.name}`]),
    { untilMs: performance.now() + minutes * 60_000, leastCells },
  );
  const met = results.filter(({ isMet }) => isMet);
  const counts: Record<string, number> = {
    'cells in which the fault struck': met.length,
    'cells that ended before it': results.length - met.length,
    'cells that had no turn': cells.length - results.length,
    'succeeded, with the right bytes': met.filter(({ outcome }) => outcome === 'success').length,
    'failed with a right code': met.filter(({ outcome, problems }) => outcome !== 'success' && problems.length === 0)
      .length,
    'left something, told, and reconcile removed it': met.filter(({ isHealed }) => isHealed).length,
  };
  counts['different faults'] = new Set(met.map(({ fault }) => fault)).size;
  for (const { operation } of cells) {
    const mine = results.filter(({ name, isMet }) => isMet && name.startsWith(`${operation.name} / `));
    counts[`cells of ${operation.name}`] = mine.length;
  }
  return { counts, problems: results.flatMap(({ name, problems }) => problems.map((one) => `${name}: ${one}`)) };
}

/** One after the other: how many handles are open can only be counted when nothing else runs. */
async function runAll(
  cells: readonly Cell[],
  { untilMs, leastCells }: { untilMs: number; leastCells: number },
): Promise<readonly CellResult[]> {
  const results: CellResult[] = [];
  const escaped: string[] = [];
  const onEscape = (error: unknown): void => {
    escaped.push(`nobody caught: ${String(error)}`);
  };
  process.on('uncaughtException', onEscape);
  for (const cell of cells) {
    if (performance.now() > untilMs && results.length >= leastCells) break;
    const ended = await runCell(cell);
    const result = { ...ended, problems: [...ended.problems, ...escaped.splice(0)] };
    results.push(result);
    if (process.env.TORTURE_TRACE !== undefined) {
      const word = result.problems.length === 0 ? 'ok  ' : 'FAIL';
      process.stderr.write(
        `${word} ${result.elapsedMs.toFixed(0)} ms ${result.name}: ${result.outcome} ${result.problems.join(' | ')}\n`,
      );
    }
  }
  process.off('uncaughtException', onEscape);
  return results;
}

const nameOf = ({ operation, where, row }: Cell): string => `${operation.name} / ${where} / ${row.name}`;

/** All cells of the matrix, from what each operation does when nothing is wrong. */
async function cellsOf(operations: readonly Operation[]): Promise<readonly Cell[]> {
  const cells: Cell[] = [];
  for (const operation of operations) {
    const print = await footprintOf(operation);
    for (const row of FAULT_ROWS) {
      for (const { where, fault } of placesOf(row, print)) cells.push({ operation, row, where, fault });
    }
  }
  return cells;
}

async function runCell(cell: Cell): Promise<CellResult> {
  const { operation, row, where, fault } = cell;
  const startedAtMs = performance.now();
  const problems: string[] = [];
  const handles = await handleCount();
  const arena = await Arena.open();
  let outcome = 'not run';
  let after: Aftermath = { isHealed: false, problems: [] };
  let isMet = false;
  try {
    const prepared = await operation.prepare(arena);
    const before = arena.state();
    const changes = (): readonly string[] =>
      differences(before, arena.state(), row.movesHosts === true).filter(
        (change) => operation.restarts !== true || !BY_START.test(change),
      );
    const savesets = (await arena.repository.list()).records.length;
    const id = arena.running.pool.faults.plan(fault);
    if (row.reboots !== undefined) rebootAt(arena, fault.match, row.reboots);
    const error: unknown = await within(CELL_LIMIT_MS, prepared.run());
    isMet = (arena.running.pool.faults.list().find((one) => one.id === id)?.hits ?? 0) > 0;
    arena.running.pool.faults.remove(id);
    const warnings = [...arena.warnings];
    outcome = error === undefined ? 'success' : isBackupError(error) ? error.code : `not typed: ${textOf(error)}`;
    problems.push(...judged(row, error, outcome));
    await arena.revive();
    if (error === undefined) {
      const proof = (): Promise<string | undefined> =>
        prepared.check(before, (one, other) => differences(one, other, row.movesHosts === true));
      after = await afterSuccess(arena, proof, warnings);
    } else {
      const records = (await arena.repository.list()).records.length;
      if (records !== savesets) problems.push(`${records} savesets where there were ${savesets}`);
      const isTold = row.mayLeave === true || warnings.includes('LEFTOVER');
      after = await afterFailure(arena, changes, isTold);
    }
    problems.push(...after.problems);
    const strays = await arena.strays();
    if (strays.length > 0) problems.push(`in the repository: ${strays.join(', ')}`);
    const left = await arena.closeProduct();
    problems.push(...left.filter((one) => !(where === 'task.create' && one.startsWith('task "xen-backup'))));
  } catch (error) {
    problems.push(`the cell broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    await arena.close();
  }
  const more = (await handleCount()) - handles;
  if (more > 0) problems.push(`${more} handles more than before`);
  return {
    name: nameOf(cell),
    fault: `${row.meets} ${row.name}`,
    outcome,
    isMet,
    isHealed: after.isHealed,
    problems,
    elapsedMs: performance.now() - startedAtMs,
  };
}

/** A member goes when a call is made for the first time. */
function rebootAt(arena: Arena, { call }: FaultMatch, member: string): void {
  const { pool } = arena.running;
  let isMet = false;
  watch(arena, ({ kind, name }) => {
    if (isMet || kind !== 'call' || name.replace(/^Async\./, '') !== call) return;
    isMet = true;
    restartHost(pool, pool.store.refByUuid('host', arena.uuidOf(member, 'host')));
  });
}

function judged({ codes, maySucceed = true }: FaultRow, error: unknown, outcome: string): readonly string[] {
  if (error === undefined) return maySucceed ? [] : ['it succeeded'];
  const isAllowed = isBackupError(error) && codes.includes(error.code);
  return isAllowed ? [] : [`ended with ${outcome}: ${error instanceof Error ? error.message : ''}`];
}
