import { systemClock } from '../src/common/clock.js';
import { EXIT } from '../src/host/cli/exit-code.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena } from './arena.js';
import { runCommand } from './command.js';
import { BY_START, differences, textOf } from './judging.js';
import { type PartResult } from './report.js';
import { prepare, STORIES, type Story } from './stories.js';
import { watch } from './watching.js';

/** Every operation has that many. */
export const FIRST_STEPS = 20;
const LATEST_MS = 25;
const RELEASE_MS = 2_000;
/** From Ctrl-C to the end of the process, everything cleaned up. */
const BOUND_MS = 20_000;

/** Sends SIGINT to the command line at random steps of every operation: it cleans up by itself and exits with 130. */
export async function tortureByInterrupt(seed: number, times: number): Promise<PartResult> {
  const random = new SeededRandom(seed);
  const counts: Record<string, number> = { 'ended by Ctrl-C': 0, 'came too late, and the work was done': 0 };
  const problems: string[] = [];
  const lengths = new Map<Story, number>();
  for (let number = 0; number < times; number += 1) {
    const story = STORIES[(seed + number) % STORIES.length]!;
    const length = lengths.get(story) ?? (times <= 1 ? FIRST_STEPS : await lengthOf(story));
    lengths.set(story, length);
    const step = 1 + random.below(length);
    const delayMs = random.below(LATEST_MS);
    const what = `${story.name}, Ctrl-C ${delayMs} ms after step ${step} of ${length}`;
    try {
      problems.push(...(await interrupt(story, step, delayMs, counts)).map((one) => `${what}: ${one}`));
    } catch (error) {
      problems.push(`${what}: ${textOf(error)}`);
    }
  }
  return { counts, problems };
}

/** How many calls, transfers and reads the pool sees when nobody interrupts. */
export async function lengthOf(story: Story): Promise<number> {
  const arena = await Arena.open();
  try {
    const { savesetId } = await prepare(arena, story);
    let seen = 0;
    watch(arena, () => (seen += 1));
    await runCommand(arena, story.command(savesetId));
    return seen;
  } finally {
    await arena.close();
  }
}

async function interrupt(
  story: Story,
  step: number,
  delayMs: number,
  counts: Record<string, number>,
): Promise<readonly string[]> {
  const arena = await Arena.open();
  try {
    const { savesetId } = await prepare(arena, story);
    const before = arena.state();
    const open = (): string => openIn(arena).join(', ');
    const openBefore = open();
    const savesets = (await arena.repository.list()).records.length;
    const strike = { step, delayMs, signal: 'SIGINT' } as const;
    const { code, signal, words, elapsedMs = 0 } = await runCommand(arena, story.command(savesetId), { strike });
    // A process that is being taken down no longer hears signals: one ends it, although its work is done and reported.
    const hasReported = words.includes('"type":"completed"');
    const isLate = code === EXIT.done || code === EXIT.warnings || (signal === 'SIGINT' && hasReported);
    const counted = isLate ? 'came too late, and the work was done' : 'ended by Ctrl-C';
    counts[counted] = (counts[counted] ?? 0) + 1;
    const problems: string[] = [];
    const longest = 'ms from Ctrl-C to the end, longest';
    counts[longest] = Math.max(counts[longest] ?? 0, Math.round(elapsedMs));
    if (elapsedMs > BOUND_MS) problems.push(`it took ${elapsedMs.toFixed(0)} ms to end`);
    for (const endMs = Date.now() + RELEASE_MS; open() !== openBefore && Date.now() < endMs;)
      await systemClock.sleep(5);
    if (open() !== openBefore) problems.push(`open: ${open()} where there was ${openBefore}`);
    problems.push(...(await arena.strays()).map((one) => `in the repository: ${one}`));
    if (isLate) return problems;
    if (code !== EXIT.cancelled) problems.push(`it exited with ${code ?? signal ?? 'nothing'}`);
    const records = (await arena.repository.list()).records.length;
    if (records !== savesets) problems.push(`${records} savesets where there were ${savesets}`);
    const changes = differences(before, arena.state(), false);
    const isOfStart = (one: string): boolean => story.isOverwrite === true && BY_START.test(one);
    return [...problems, ...changes.filter((one) => !isOfStart(one)).map((one) => `left: ${one}`)];
  } finally {
    await arena.close();
  }
}

/** Logins and tasks. */
function openIn({ running }: Arena): readonly string[] {
  const { store } = running.pool;
  return [`${store.all('session').length} logins`, ...store.all('task').map(([, task]) => textOf(task.name_label))];
}
