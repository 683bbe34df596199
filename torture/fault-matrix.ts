import { readdir } from 'node:fs/promises';
import { isBackupError, type SavesetItem } from '../src/contract/index.js';
import { type Fault, type PoolState } from '../src/simulator/index.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena } from './arena.js';
import { FAULT_ROWS, type FaultRow, type Footprint, placesOf } from './fault-rows.js';
import { type Operation, OPERATIONS } from './operations.js';
import { type PartResult } from './report.js';

const CELL_LIMIT_MS = 60_000;
const LEASE_IS_OVER_MS = 48 * 60 * 60_000;

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
  /** The fault struck. */
  readonly isMet: boolean;
  /** Something was left and told, and reconcile took it away. */
  readonly isHealed: boolean;
  readonly problems: readonly string[];
  readonly elapsedMs: number;
}

const SHORT_CELLS = 3;

interface MatrixWish {
  readonly isShort: boolean;
  readonly seed: number;
  readonly match?: string | undefined;
  readonly minutes?: number;
}

/** Runs the matrix, or every so-many-th cell of it. */
export async function tortureByFaults(
  { isShort, seed, match, minutes = Infinity }: MatrixWish,
  kind: Operation['kind'],
): Promise<PartResult> {
  const ofKind = OPERATIONS.filter((operation) => operation.kind === kind);
  const first = seed % (ofKind.length - 1);
  const all = (await cellsOf(isShort ? ofKind.slice(first, first + 1) : ofKind)).filter(
    (cell) => match === undefined || new RegExp(match).test(nameOf(cell)),
  );
  const step = isShort ? Math.ceil(all.length / SHORT_CELLS) : 1;
  const cells = all.filter((_, index) => index % step === 0);
  const results = await runAll(shuffled(cells, seed), performance.now() + minutes * 60_000);
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
  for (const { operation } of cells) {
    const mine = results.filter(({ name, isMet }) => isMet && name.startsWith(`${operation.name} / `));
    counts[`cells of ${operation.name}`] = mine.length;
  }
  return { counts, problems: results.flatMap(({ name, problems }) => problems.map((one) => `${name}: ${one}`)) };
}

/** The same order for the same seed. */
function shuffled<T>(all: readonly T[], seed: number): readonly T[] {
  const random = new SeededRandom(seed);
  return all
    .map((one) => ({ one, rank: random.below(2 ** 31) }))
    .sort((first, second) => first.rank - second.rank)
    .map(({ one }) => one);
}

/** One after the other: how many handles are open can only be counted when nothing else runs. */
async function runAll(cells: readonly Cell[], untilMs: number): Promise<readonly CellResult[]> {
  const results: CellResult[] = [];
  const escaped: string[] = [];
  const onEscape = (error: unknown): void => {
    escaped.push(`nobody caught: ${String(error)}`);
  };
  process.on('uncaughtException', onEscape);
  for (const cell of cells) {
    if (performance.now() > untilMs) break;
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

async function footprintOf(operation: Operation): Promise<Footprint> {
  const arena = await Arena.open();
  try {
    const prepared = await operation.prepare(arena);
    const { faults } = arena.running.pool;
    const [forCall, forTransfer, forNbd] = [
      faults.forCall.bind(faults),
      faults.forTransfer.bind(faults),
      faults.forNbd.bind(faults),
    ];
    const calls = new Set<string>();
    const asynchronous = new Set<string>();
    const transfers = new Map<string, Footprint['transfers'][number]>();
    let hasNbd = false;
    faults.forCall = (call) => {
      calls.add(call.replace(/^Async\./, ''));
      if (call.startsWith('Async.')) asynchronous.add(call.replace(/^Async\./, ''));
      return forCall(call);
    };
    faults.forTransfer = (method, path) => {
      const bare = path.replace(/\/+$/, '');
      if (method === 'GET' || method === 'PUT') transfers.set(`${method} ${bare}`, { method, path: bare, bytes: 0 });
      return forTransfer(method, path);
    };
    faults.forNbd = (what) => {
      hasNbd = true;
      return forNbd(what);
    };
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

async function runCell(cell: Cell): Promise<CellResult> {
  const { operation, row, where, fault } = cell;
  const startedAtMs = performance.now();
  const problems: string[] = [];
  const handles = await handleCount();
  const arena = await Arena.open();
  let outcome = 'not run';
  let isHealed = false;
  let isMet = false;
  try {
    const prepared = await operation.prepare(arena);
    const before = arena.state();
    const changesOf = (one: PoolState, other: PoolState): readonly string[] =>
      differences(one, other, row.movesHosts === true).filter(
        (change) => operation.restarts !== true || !BY_START.test(change),
      );
    const savesets = (await arena.repository.list()).records.length;
    const id = arena.running.pool.faults.plan(fault);
    const error: unknown = await within(CELL_LIMIT_MS, prepared.run());
    isMet = (arena.running.pool.faults.list().find((one) => one.id === id)?.hits ?? 0) > 0;
    arena.running.pool.faults.remove(id);
    const warnings = [...arena.warnings];
    outcome = error === undefined ? 'success' : isBackupError(error) ? error.code : `not typed: ${textOf(error)}`;
    problems.push(...judged(row, error, outcome));
    await revive(arena);
    if (error === undefined) {
      const proof = (): Promise<string | undefined> =>
        prepared
          .check(before, (one, other) => differences(one, other, row.movesHosts === true))
          .catch((late: unknown) => `the proof failed: ${String(late)}`);
      let finding = await proof();
      if (finding !== undefined && warnings.some((code) => ['LEFTOVER', 'SETTLE_FAILED'].includes(code))) {
        isHealed = true;
        await arena.reconcileLater(LEASE_IS_OVER_MS);
        finding = await proof();
      }
      if (finding !== undefined) problems.push(finding);
    } else {
      const records = (await arena.repository.list()).records.length;
      if (records !== savesets) problems.push(`${records} savesets where there were ${savesets}`);
      const changed = changesOf(before, arena.state());
      const isTold = row.mayLeave === true || warnings.includes('LEFTOVER');
      if (changed.length > 0 && !isTold) problems.push(`left: ${changed.join('; ')}`);
      if (changed.length > 0 && isTold) {
        isHealed = true;
        const kept = await arena.reconcileLater(LEASE_IS_OVER_MS);
        const rest = changesOf(before, arena.state());
        if (rest.length > 0) problems.push(`left after reconcile: ${rest.join('; ')} ${kept.join('; ')}`);
      }
    }
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
  return { name: nameOf(cell), outcome, isMet, isHealed, problems, elapsedMs: performance.now() - startedAtMs };
}

function judged({ codes, maySucceed = true }: FaultRow, error: unknown, outcome: string): readonly string[] {
  if (error === undefined) return maySucceed ? [] : ['it succeeded'];
  const isAllowed = isBackupError(error) && codes.includes(error.code);
  return isAllowed ? [] : [`ended with ${outcome}: ${error instanceof Error ? error.message : ''}`];
}

/** Undefined when the work is done; the error otherwise. */
async function within(limitMs: number, work: Promise<void>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<unknown>((resolve) => {
    timer = setTimeout(() => {
      resolve(`no end within ${limitMs} ms`);
    }, limitMs);
  });
  const done = work.then(
    () => undefined,
    (error: unknown) => error,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** All hosts answer again. */
async function revive(arena: Arena): Promise<void> {
  for (const { name } of arena.running.hosts) await arena.running.perform('startHost', { host: name });
}

/** Open files and sockets of this process. */
async function handleCount(): Promise<number> {
  return (await readdir('/proc/self/fd').catch(() => [])).length;
}

/** What a machine's start changes, and drives that were made anew for the same disks. */
const BY_START =
  /^(VBD|VM_metrics|VM_guest_metrics|VIF) | (resident_on|platform|domid|last_boot_CPU_flags|guest_metrics|bios_strings|resident_VMs|VBDs|allowed_operations|current_operations|last_booted_record|last_boot_record): /;

/** Classes that say which hosts live. */
const OF_HOSTS = new Set(['host', 'host_metrics', 'pool', 'host_cpu', 'PBD', 'PIF', 'PIF_metrics', 'Certificate']);

/** Records that came, went or changed. */
export function differences(before: PoolState, after: PoolState, withoutHosts: boolean): readonly string[] {
  const found: string[] = [];
  for (const cls of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (withoutHosts && OF_HOSTS.has(cls)) continue;
    const [had = {}, has = {}] = [before[cls], after[cls]];
    for (const ref of new Set([...Object.keys(had), ...Object.keys(has)])) {
      const [one, other] = [had[ref], has[ref]];
      const label = textOf((one ?? other)?.name_label);
      if (one === undefined) found.push(`${cls} "${label}" came`);
      else if (other === undefined) found.push(`${cls} "${label}" went`);
      else {
        const fields = Object.keys(one).filter((field) => JSON.stringify(one[field]) !== JSON.stringify(other[field]));
        for (const field of fields) {
          found.push(
            `${cls} "${label}" ${field}: ${JSON.stringify(one[field])} -> ${JSON.stringify(other[field])}`.slice(
              0,
              200,
            ),
          );
        }
      }
    }
  }
  return found;
}

function textOf(value: unknown): string {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}
