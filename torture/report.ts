import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Table from 'cli-table3';
import { packageRoot } from '../src/common/package-root.js';

/** What one part of the torture tried and found. */
export interface PartResult {
  readonly counts: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

export interface PartReport extends PartResult {
  readonly name: string;
  readonly title: string;
  readonly seconds: number;
}

const PATH = join(packageRoot(), 'docs', 'reliability.md');
const LONGEST_FINDING = 600;

/** The shares of one part as one: counts are added up, but of times the longest is kept. */
export function merged([first, ...others]: readonly [PartReport, ...PartReport[]]): PartReport {
  return others.reduce<PartReport>((all, one) => {
    const counts: Record<string, number> = { ...all.counts };
    for (const [what, count] of Object.entries(one.counts)) {
      const before = counts[what] ?? 0;
      counts[what] = what.startsWith('ms ') ? Math.max(before, count) : before + count;
    }
    return { ...all, counts, problems: [...all.problems, ...one.problems], seconds: all.seconds + one.seconds };
  }, first);
}

function findingsOf({ problems }: PartReport): readonly string[] {
  return problems.map((problem) => `- ${problem.replace(/\s+/g, ' ').slice(0, LONGEST_FINDING)}`);
}

const worded = (problems: number): string => `${problems} ${problems === 1 ? 'problem' : 'problems'}`;

/** One part, for a terminal. */
export function textOf(report: PartReport): string {
  const { title, seconds, counts, problems } = report;
  const rows = Object.entries(counts).map(([what, count]) => `  ${count.toString().padStart(7)}  ${what}`);
  return [`${title}: ${seconds.toFixed(0)} s, ${worded(problems.length)}`, ...rows, ...findingsOf(report), ''].join(
    '\n',
  );
}

/** All parts in a table, for a terminal. */
export function summaryOf(reports: readonly PartReport[], totalSeconds: number): string {
  const table = new Table({ head: ['Part', 'Tried', 'Problems', 'Seconds'], style: { head: [], border: [] } });
  for (const { title, counts, problems, seconds } of reports)
    table.push([title, triedOf(counts), problems.length, seconds.toFixed(0)]);
  const found = reports.reduce((sum, { problems }) => sum + problems.length, 0);
  return `${table.toString()}\n${worded(found)}, ${totalSeconds.toFixed(0)} s in all.\n`;
}

/** What a part puts first is what it tried. */
function triedOf(counts: PartReport['counts']): string {
  const [[what, count] = ['', 0]] = Object.entries(counts);
  return `${count} ${what}`;
}

export interface RunFacts {
  readonly seed: number;
  readonly totalSeconds: number;
  readonly about: (name: string) => string;
}

/** Writes docs/reliability.md, the whole of it. */
export async function writeReport(reports: readonly PartReport[], facts: RunFacts): Promise<void> {
  await writeFile(PATH, documentOf(reports, facts));
}

export function documentOf(reports: readonly PartReport[], { seed, totalSeconds, about }: RunFacts): string {
  const found = reports.reduce((sum, { problems }) => sum + problems.length, 0);
  const table = reports.map(
    ({ title, counts, problems, seconds }) =>
      `| ${title} | ${triedOf(counts)} | ${problems.length} | ${seconds.toFixed(0)} |`,
  );
  const sections = reports.flatMap((report) => [
    `## ${report.title}`,
    '',
    about(report.name),
    '',
    '| What | Count |',
    '|---|---|',
    ...Object.entries(report.counts).map(([what, count]) => `| ${what} | ${count} |`),
    ...(report.problems.length === 0 ? [] : ['', ...findingsOf(report)]),
    '',
  ]);
  return [
    '# What was tried',
    '',
    'Written whole by `npm run torture`: faults, cancellations, kills, damaged data and hostile input against the product,',
    'with the simulated pool on the other side. These are the figures of the last run. The same seed tries the same things',
    'in the same order; how far a matrix gets depends on the machine, and what had no turn is counted.',
    '',
    `Seed ${seed}, ${(totalSeconds / 60).toFixed(0)} minutes, ${worded(found)}.`,
    '',
    '| Part | Tried | Problems | Seconds |',
    '|---|---|---|---|',
    ...table,
    '',
    'To run it: `npm run torture` (all of it, two processes side by side), `npm run torture -- --part cancel --minutes 2`',
    '(one part; may repeat), `--seed 7` (other cells and moments), `--match "restore.*VDI.destroy"` (cells by name),',
    '`--short` (a sample of each part, as `npm test` runs it). Only a whole run writes this page. It ends with an error when',
    'there is a problem. Every bug that it found has a regression spec named after it.',
    '',
    ...sections,
  ].join('\n');
}
