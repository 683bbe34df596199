import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Part, type PartName, PART_NAMES, PARTS, runPart } from './parts.js';
import { merged, type PartReport, summaryOf, textOf, writeReport } from './report.js';

/**
 * `--part <name>`: only that one (may repeat). `--seed <n>`. `--short`: a small sample of each. `--match <pattern>`: only cells
 * of that name. `--minutes <n>`: of each matrix. Each part is a process of its own, so that what it leaves open can be
 * counted and a crash is a finding; two at a time. `--share <n> --into <file>`: such a process. Whoever is told to end
 * ends those that he has started.
 */
const DEFAULT_SEED = 20;
const AT_ONCE = 2;
/** Nothing takes that long: what does, hangs. */
const LONGEST_MS = 20 * 60_000;

const words = process.argv.slice(2);
const valuesOf = (option: string): readonly string[] =>
  words.flatMap((word, index) => (words[index - 1] === option ? [word] : []));
const seed = Number(valuesOf('--seed').at(-1) ?? DEFAULT_SEED);
const minutes = valuesOf('--minutes').at(-1);
const parts = PART_NAMES.filter((name) => valuesOf('--part').length === 0 || valuesOf('--part').includes(name));
const into = valuesOf('--into').at(-1);
const children = new Set<ChildProcess>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    process.exit(128 + constants.signals[signal]);
  });
}

if (into === undefined) await runAll();
else {
  const report = await runPart(parts[0]!, {
    seed,
    isShort: words.includes('--short'),
    match: valuesOf('--match').at(-1),
    minutes: minutes === undefined ? undefined : Number(minutes),
    share: Number(valuesOf('--share').at(-1) ?? 0),
  });
  await writeFile(into, JSON.stringify(report));
}
// Whatever a part has left running is a problem that it has told of; it must not keep the run from ending.
process.exit();

interface Job {
  readonly name: PartName;
  readonly share: number;
  readonly seconds: number;
}

async function runAll(): Promise<void> {
  const startedAtMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'torture-run-'));
  process.once('exit', () => {
    for (const child of children) child.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  const ended = new Map<PartName, PartReport[]>();
  const jobs = parts.flatMap((name): readonly Job[] => {
    const { shares = 1, seconds }: Part = PARTS[name];
    const count = words.includes('--short') ? 1 : shares;
    return Array.from({ length: count }, (_, share) => ({ name, share, seconds }));
  });
  jobs.sort((one, other) => other.seconds - one.seconds);
  const work = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const report = await runJob(job, folder);
      process.stdout.write(`${textOf(report)}\n`);
      ended.set(job.name, [...(ended.get(job.name) ?? []), report]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const reports = parts.flatMap((name) => {
    const [first, ...others] = ended.get(name) ?? [];
    return first === undefined ? [] : [merged([first, ...others])];
  });
  const totalSeconds = (performance.now() - startedAtMs) / 1000;
  process.stdout.write(summaryOf(reports, totalSeconds));
  if (reports.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
  const isWhole = ['--part', '--match', '--minutes', '--short'].every((option) => !words.includes(option));
  if (isWhole) await writeReport(reports, { seed, totalSeconds, about: (name) => PARTS[name as PartName].about });
}

/** A part, or a share of it, in a process of its own. */
async function runJob({ name, share }: Job, folder: string): Promise<PartReport> {
  const path = join(folder, `${name}-${share}.json`);
  const passed = ['--seed', '--match', '--minutes'].flatMap((option) => {
    const value = valuesOf(option).at(-1);
    return value === undefined ? [] : [option, value];
  });
  const args = ['--part', name, '--share', String(share), '--into', path, ...passed];
  const startedAtMs = performance.now();
  const script = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [script, ...args, ...(words.includes('--short') ? ['--short'] : [])], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  children.add(child);
  const tooLong = setTimeout(() => child.kill('SIGKILL'), LONGEST_MS);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(tooLong);
  children.delete(child);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text !== undefined) return JSON.parse(text) as PartReport;
  const seconds = (performance.now() - startedAtMs) / 1000;
  const problem = `the part died with ${signal ?? code ?? 'nothing'} and told nothing`;
  return { name, title: PARTS[name].title, seconds, counts: {}, problems: [problem] };
}
