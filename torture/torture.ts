import { type PartName, PARTS, runPart } from './parts.js';
import { textOf, writeSection } from './report.js';

/**
 * `--part <name>`: only that one (may repeat). `--seed <n>`. `--short`: a small sample of each, nothing is written.
 * `--minutes <n>`: faults that have not had their turn by then are left out, and counted.
 */
const DEFAULT_SEED = 20;

const words = process.argv.slice(2);
const valuesOf = (option: string): readonly string[] =>
  words.flatMap((word, index) => (words[index - 1] === option ? [word] : []));
const isShort = words.includes('--short');
const seed = Number(valuesOf('--seed').at(-1) ?? DEFAULT_SEED);
const wanted = valuesOf('--part');
const match = valuesOf('--match').at(-1);
const minutes = Number(valuesOf('--minutes').at(-1) ?? Infinity);
const names = Object.keys(PARTS) as PartName[];

for (const name of names) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const report = await runPart(name, { seed, isShort, match, minutes });
  process.stdout.write(`${textOf(report)}\n`);
  if (!isShort && match === undefined) await writeSection(report, names);
  if (report.problems.length > 0) process.exitCode = 1;
}
// Whatever a part has left running is a problem that it has told of; it must not keep the run from ending.
process.exit();
