import { CleanupStack } from '../src/common/cleanup-stack.js';
import { type BenchOptions } from './bench-options.js';
import { GROWTH_SERIES, type GrowthSeries } from './growth-series.js';
import { benchSizes, poolWith } from './pool-data.js';
import { PoolProcess } from './pool-process.js';
import { type Sample } from './programs.js';
import { machineLine } from './report.js';
import { median, slopeOf } from './statistics.js';
import { benchFolder, Workbench } from './workbench.js';

interface GrowthPoint {
  readonly x: number;
  readonly wallMs: number;
  readonly cpuSeconds: number;
  readonly peakRssMiB: number;
  readonly calls: number;
}

interface GrowthTable {
  readonly title: string;
  readonly x: string;
  readonly points: readonly GrowthPoint[];
  /** What one more of `x` costs, of the straight line through the points. */
  readonly slope: { readonly wallMs: number; readonly cpuSeconds: number; readonly peakRssMiB: number };
}

export interface GrowthOptions extends BenchOptions {
  readonly signal: AbortSignal;
}

/** Measures how cost grows; gives Markdown tables as they are ready, and at the end all of it as JSON with `--json`. */
export async function growthTables(options: GrowthOptions, say: (text: string) => void): Promise<void> {
  const cleanups = new CleanupStack();
  const tables: GrowthTable[] = [];
  try {
    const folder = await benchFolder(options.isQuick, cleanups);
    say(`${machineLine()}; medians of ${options.runs} runs\n`);
    for (const series of GROWTH_SERIES.filter(({ title }) => title.includes(options.match))) {
      const table = await tableOf(series, folder, options);
      say(toMarkdown(table));
      tables.push(table);
    }
    if (options.isJson) process.stdout.write(`${JSON.stringify(tables, undefined, 1)}\n`);
  } finally {
    await cleanups.run();
  }
}

async function tableOf(series: GrowthSeries, folder: string, options: GrowthOptions): Promise<GrowthTable> {
  const points: GrowthPoint[] = [];
  for (const x of options.isQuick ? series.values.slice(0, 2) : series.values) {
    const cleanups = new CleanupStack();
    try {
      const pool = await PoolProcess.start(poolWith(series.machines(x)));
      cleanups.add('the simulated pool', () => pool.stop());
      const sizes = benchSizes(options.isQuick);
      const bench = new Workbench({ sizes, pool, folder, signal: options.signal, cleanups });
      const once = await series.prepare(bench, x);
      points.push(await pointOf(x, once, bench, options.runs));
    } finally {
      await cleanups.run();
    }
  }
  const slope = (valueOf: (point: GrowthPoint) => number): number =>
    slopeOf(points.map((point) => ({ x: point.x, y: valueOf(point) })));
  return {
    title: series.title,
    x: series.x,
    points,
    slope: {
      wallMs: slope(({ wallMs }) => wallMs),
      cpuSeconds: slope(({ cpuSeconds }) => cpuSeconds),
      peakRssMiB: slope(({ peakRssMiB }) => peakRssMiB),
    },
  };
}

async function pointOf(x: number, once: () => Promise<Sample>, bench: Workbench, runs: number): Promise<GrowthPoint> {
  const samples: Sample[] = [];
  const calls: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    await bench.pool.calls();
    samples.push(await once());
    calls.push((await bench.pool.calls()).length);
  }
  return {
    x,
    wallMs: median(samples.map(({ wallMs }) => wallMs)),
    cpuSeconds: median(samples.map(({ cpuSeconds }) => cpuSeconds)),
    peakRssMiB: median(samples.map(({ peakRssMiB = Number.NaN }) => peakRssMiB)),
    calls: median(calls),
  };
}

function toMarkdown({ title, x, points, slope }: GrowthTable): string {
  const rows = points.map(
    (point) =>
      `| ${point.x} | ${(point.wallMs / 1000).toFixed(2)} | ${point.cpuSeconds.toFixed(2)} | ${point.peakRssMiB.toFixed(0)} | ${point.calls} |`,
  );
  const each = `| each more | ${(slope.wallMs / 1000).toFixed(4)} | ${slope.cpuSeconds.toFixed(4)} | ${slope.peakRssMiB.toFixed(3)} | |`;
  return [
    '',
    `### ${title}`,
    '',
    `| ${x} | s | CPU s | peak RSS MiB | calls |`,
    '|---|---|---|---|---|',
    ...rows,
    each,
    '',
  ].join('\n');
}
