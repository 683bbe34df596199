import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { packageRoot } from '../src/common/package-root.js';
import { parseTarHeader } from '../src/format/tar-header.js';
import { Arena } from './arena.js';
import { tortureWithHostilePool } from './hostile-pool.js';
import { HEAD_BYTES, isTyped, type Samples, type Target, TARGETS } from './hostile-targets.js';
import { edited, editedJson, edits, jsonEdits } from './mutations.js';
import { type PartResult } from './report.js';

/** No input of these sizes may take longer, on a machine that does other things, too. */
const LONGEST_MS = 3_000;
const MOST_GROWTH_BYTES = 512 * 1024 * 1024;
const SMALL_BYTES = 64 * 1024;

const whole = fc.integer({ min: 0, max: 63 }).map((n) => n === 0);
const input = fc.oneof(
  { weight: 8, arbitrary: fc.record({ edits, isWhole: whole }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2048 }) },
);
const jsonInput = fc.oneof(
  { weight: 1, arbitrary: fc.record({ edits, isWhole: whole }) },
  { weight: 1, arbitrary: fc.record({ jsonEdits }) },
);

/** Every reader of what comes from outside eats spoilt samples: it gives a result or one of our errors, soon. */
export async function tortureWithHostileInput(seed: number, cases: number): Promise<PartResult> {
  const counts: Record<string, number> = { 'cases in all': 0 };
  const problems: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'torture-'));
  const arena = await Arena.open();
  try {
    const samples = await samplesOf(arena);
    const slowCases = Math.ceil(cases / 200);
    const quick = TARGETS.filter(({ isSlow }) => isSlow !== true).length;
    const startBytes = process.memoryUsage().rss;
    let mostBytes = startBytes;
    for (const target of TARGETS) {
      const numRuns = target.isSlow === true ? slowCases : Math.ceil(cases / quick);
      const { refused, problem } = await feed(target, samples, { folder, seed, numRuns });
      mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
      counts['cases in all'] = (counts['cases in all'] ?? 0) + numRuns;
      counts[`${target.name}: cases`] = numRuns;
      counts[`${target.name}: refused`] = refused;
      if (problem !== undefined) problems.push(problem);
    }
    const growth = mostBytes - startBytes;
    if (growth > MOST_GROWTH_BYTES) problems.push(`memory grew by ${growth} bytes`);
    const pool = await tortureWithHostilePool(seed, slowCases, cases < 10_000);
    counts['cases in all'] = (counts['cases in all'] ?? 0) + (pool.counts.cases ?? 0);
    for (const [what, count] of Object.entries(pool.counts)) if (what !== 'cases') counts[what] = count;
    problems.push(...pool.problems);
  } finally {
    await arena.close();
    await rm(folder, { recursive: true });
  }
  return { counts, problems };
}

interface Feeding {
  readonly folder: string;
  readonly seed: number;
  readonly numRuns: number;
}

/** One reader and its cases: how many it refused, and the first that it took badly. */
export async function feed(
  target: Target,
  samples: Samples,
  { folder, seed, numRuns }: Feeding,
): Promise<{ readonly refused: number; readonly problem: string | undefined }> {
  const sample = target.sample(samples);
  try {
    await target.eat(sample, folder, samples);
  } catch (error) {
    return { refused: 0, problem: `${target.name}: the sound sample is refused: ${String(error)}` };
  }
  let refused = 0;
  const property = fc.asyncProperty<[Given]>(target.isJson === true ? jsonInput : input, async (given) => {
    const bytes = caseOf(given, sample);
    const fromMs = performance.now();
    try {
      await target.eat(bytes, folder, samples);
    } catch (error) {
      if (!isTyped(error)) throw error;
      refused += 1;
    }
    const elapsedMs = performance.now() - fromMs;
    if (elapsedMs > LONGEST_MS) throw new TypeError(`it took ${elapsedMs.toFixed(0)} ms`);
    if ('polluted' in {}) throw new TypeError('it changed the prototype of all objects');
  });
  const { failed, counterexample, errorInstance } = await fc.check(property, {
    seed,
    numRuns,
    endOnFailure: false,
    timeout: 10 * LONGEST_MS,
  });
  if (!failed) return { refused, problem: undefined };
  const example = JSON.stringify(counterexample).slice(0, 200);
  return { refused, problem: `${target.name}: ${String(errorInstance)} for ${example}` };
}

type Given =
  | { readonly edits: Parameters<typeof edited>[1]; readonly isWhole: boolean }
  | { readonly jsonEdits: Parameters<typeof editedJson>[1] }
  | Uint8Array;

function caseOf(given: Given, sample: Buffer): Buffer {
  if ('jsonEdits' in given) return editedJson(sample, given.jsonEdits);
  if (!('edits' in given)) return Buffer.from(given);
  const isWhole = given.isWhole || sample.length <= SMALL_BYTES;
  return edited(isWhole ? sample : sample.subarray(0, HEAD_BYTES), given.edits);
}

/** Sound samples of everything, as a backup of each kind stores it. */
async function samplesOf(arena: Arena): Promise<Samples> {
  const read = async (id: string, name: string): Promise<Buffer> =>
    await readFile(join(arena.repository.path, 'savesets', id, name));
  const archive = await arena.backup('template/golden', 'full');
  const disks = await arena.backup('vm/web', 'full', { format: 'disks' });
  const pool = await arena.backup('pool/metadata', 'full');
  const xva = await read(archive.savesetId, archive.items[0]!.name);
  const headBytes = 512;
  const ovaBytes = parseTarHeader(xva.subarray(0, headBytes), 0).sizeBytes;
  const disk = disks.items.find(({ mediaType }) => mediaType === 'application/x-vhd')!;
  const bare = disks.items.find(({ mediaType }) => mediaType !== 'application/x-vhd')!;
  const host = await arena.backup('host/host-b', 'full');
  const { nodes } = await arena.source.browser.list('/');
  return {
    system: gunzipSync(await read(host.savesetId, host.items[0]!.name)),
    browsePath: nodes[0]?.path ?? '/',
    archive: xva,
    ovaXml: xva.subarray(headBytes, headBytes + ovaBytes),
    disk: await read(disks.savesetId, disk.name),
    record: await read(disks.savesetId, 'saveset.json'),
    manifest: await readFile(join(packageRoot(), 'plugin.manifest.json')),
    database: await read(pool.savesetId, pool.items[0]!.name),
    config: Buffer.from(
      '{"repository":"a","clients":{"lab":{"settings":{"url":"https://a","username":"root","password":"env:A"}}}}',
    ),
    tar: xva,
    bare: await read(disks.savesetId, bare.name),
    machine: Buffer.from(JSON.stringify(Object.values(arena.state().VM ?? {})[0])),
    browse: (path) => arena.source.browser.list(path),
  };
}
