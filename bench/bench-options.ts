import { parseArgs } from 'node:util';

export const BENCH_USAGE = `npm run bench -- [options]
  --json           one array of { name, ours, peer, ratio, target, pass, ... } on standard output, and nothing else there
  --match <text>   only scenarios whose title has this
  --runs <n>       rounds of each scenario, at least 1 (default 5)
  --quick          small data, to try the programs out; its figures say nothing
  --growth         instead of the cases: how cost grows, as tables
`;

export interface BenchOptions {
  readonly isJson: boolean;
  readonly isQuick: boolean;
  readonly isGrowth: boolean;
  readonly match: string;
  readonly runs: number;
}

/** @throws {TypeError} for what it doesn't know. */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      growth: { type: 'boolean', default: false },
      match: { type: 'string', default: '' },
      runs: { type: 'string', default: '5' },
    },
  });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new TypeError('--runs must be a whole number, 1 or more.');
  return { isJson: values.json, isQuick: values.quick, isGrowth: values.growth, match: values.match, runs };
}
