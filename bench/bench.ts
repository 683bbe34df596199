import { MIB } from '../src/common/byte-size.js';
import { CleanupStack } from '../src/common/cleanup-stack.js';
import { BENCH_USAGE, type BenchOptions, parseBenchOptions } from './bench-options.js';
import { growthTables } from './growth.js';
import { benchPool, benchSizes } from './pool-data.js';
import { PoolProcess } from './pool-process.js';
import { isInstalled, type Sample } from './programs.js';
import { machineLine, toJson, toText } from './report.js';
import { runRounds } from './rounds.js';
import { hasPassed } from './rows.js';
import { type Row, type Scenario } from './scenario.js';
import { packedRepository } from './scenarios/compression.js';
import { browseLargePool, callsOfBackup, startUp } from './scenarios/control.js';
import { fullBackupHttp, fullBackupHttps } from './scenarios/full-backup.js';
import { scatteredIncrement } from './scenarios/increment.js';
import { flatMemory, manyAtOnce } from './scenarios/memory.js';
import { nbdWholeDisk } from './scenarios/nbd.js';
import { restoreChain, restoreMachine } from './scenarios/restore.js';
import { layOutWarmMemory } from './warm-memory.js';
import { benchFolder, Workbench } from './workbench.js';

/** Measures us beside what a user would pick instead, in turn, as ratios: see docs/performance.md. */
const SCENARIOS: readonly Scenario[] = [
  fullBackupHttp,
  fullBackupHttps,
  restoreMachine,
  nbdWholeDisk,
  scatteredIncrement,
  restoreChain,
  flatMemory,
  manyAtOnce,
  packedRepository,
  callsOfBackup,
  browseLargePool,
  startUp,
];

const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    stopping.abort(new TypeError(`ended by ${name}`));
  });
}

async function benchAll(options: BenchOptions, say: (text: string) => void): Promise<readonly Row[]> {
  const cleanups = new CleanupStack();
  const all: Row[] = [];
  try {
    const sizes = benchSizes(options.isQuick);
    const folder = await benchFolder(options.isQuick, cleanups);
    say(`${machineLine()}; data in ${folder}; ${options.runs} rounds\n\n`);
    for (const scenario of SCENARIOS.filter(({ title }) => title.includes(options.match))) {
      // A pool of its own for each: what one leaves behind in it does not slow the next one down.
      const own = new CleanupStack();
      try {
        const missing = scenario.needs.filter((program) => !isInstalled(program));
        const rows = missing.length > 0 ? notMeasured(scenario, missing) : await measure(scenario, own);
        for (const row of rows) say(toText(row));
        all.push(...rows);
      } finally {
        await own.run();
      }
    }
    return all;

    async function measure(scenario: Scenario, own: CleanupStack): Promise<readonly Row[]> {
      const pool = await PoolProcess.start(benchPool(sizes));
      own.add('the simulated pool', () => pool.stop());
      const bench = new Workbench({ sizes, pool, folder, signal: stopping.signal, cleanups: own });
      const prepared = await scenario.prepare(bench);
      const cpuBefore = await pool.cpuSeconds();
      let wallMs = 0;
      const onSample = (_contestant: string, sample: Sample): void => {
        wallMs += sample.wallMs;
      };
      const storedMiB = scenario.storesMiB?.(sizes) ?? 0;
      if (storedMiB > 0) await layOutWarmMemory(folder, storedMiB * MIB, own);
      const rows = await runRounds(prepared, options.runs, onSample);
      const busy = ((await pool.cpuSeconds()) - cpuBefore) / (wallMs / 1000);
      say(`${scenario.title} (the simulated pool was busy for ${(100 * busy).toFixed(0)} % of the time)\n`);
      return rows;
    }
  } finally {
    await cleanups.run();
  }
}

function notMeasured({ targets }: Scenario, missing: readonly string[]): readonly Row[] {
  const note = `not measured: ${missing.join(', ')} is not installed`;
  return targets.map((target) => ({ ...target, ours: undefined, peer: undefined, ratio: undefined, note }));
}

async function main(): Promise<void> {
  let options: BenchOptions;
  try {
    options = parseBenchOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${BENCH_USAGE}`);
    process.exitCode = 2;
    return;
  }
  const say = (text: string): void => {
    (options.isJson ? process.stderr : process.stdout).write(text);
  };
  if (options.isGrowth) {
    await growthTables({ ...options, signal: stopping.signal }, say);
    return;
  }
  const rows = await benchAll(options, say);
  if (options.isJson) process.stdout.write(toJson(rows));
  const passed = rows.filter(hasPassed).length;
  say(`\n${passed} of ${rows.length} targets met\n`);
  if (passed < rows.length) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  if (!stopping.signal.aborted) throw error;
  process.stderr.write('Stopped; everything is cleaned up.\n');
  process.exitCode = 130;
}
