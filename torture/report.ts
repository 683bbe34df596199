import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../src/common/package-root.js';

/** What one part of the torture tried and found. */
export interface PartResult {
  readonly counts: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

export interface PartReport extends PartResult {
  readonly name: string;
  readonly title: string;
  readonly seed: number;
  readonly seconds: number;
}

const PATH = join(packageRoot(), 'docs', 'reliability.md');
const HEAD = `# What was tried

Written by \`npm run torture\`; each part writes its own section. The same seed tries the same things. Figures of the last run.
`;

export function textOf({ title, seed, seconds, counts, problems }: PartReport): string {
  const rows = Object.entries(counts).map(([what, count]) => `| ${what} | ${count} |`);
  const findings = problems.map((problem) => `- ${problem.replace(/\s+/g, ' ').slice(0, 300)}`);
  return [
    `## ${title}`,
    '',
    `Seed ${seed}, ${seconds.toFixed(0)} s, ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}.`,
    '',
    '| What | Count |',
    '|---|---|',
    ...rows,
    ...(findings.length === 0 ? [] : ['', ...findings]),
    '',
  ].join('\n');
}

/** Puts the section of a part in the place of its old one. */
export async function writeSection(report: PartReport, order: readonly string[]): Promise<void> {
  const old = await readFile(PATH, 'utf8').catch(() => HEAD);
  const sections = new Map<string, string>();
  for (const section of old.split('<!-- part: ').slice(1)) {
    const [name = '', ...rest] = section.split(' -->\n');
    sections.set(name, rest.join(' -->\n').trim());
  }
  sections.set(report.name, textOf(report).trim());
  const body = order.flatMap((name) => {
    const section = sections.get(name);
    return section === undefined ? [] : [`<!-- part: ${name} -->\n${section}\n`];
  });
  await writeFile(PATH, [HEAD, ...body].join('\n'));
}
