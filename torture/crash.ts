import { systemClock } from '../src/common/clock.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena } from './arena.js';
import { runCommand } from './command.js';
import { FIRST_STEPS, lengthOf } from './interrupt.js';
import { differences } from './judging.js';
import { withoutBases } from './operations.js';
import { type PartResult } from './report.js';
import { prepare, type Scene, STORIES, type Story } from './stories.js';

const LATEST_KILL_MS = 25;

/** Moments that come too late are made up for by further ones, but not for ever. */
const MOMENTS_PER_KILL = 2;

/** Kills a command line at random moments, and looks at what reconcile and the next run make of it. */
export async function tortureByCrash(seed: number, kills: number): Promise<PartResult> {
  const random = new SeededRandom(seed);
  const counts = {
    'kills of a running process': 0,
    'too late': 0,
    'wholly old': 0,
    'wholly new': 0,
    leftovers: 0,
    'foreign objects touched': 0,
    'machines lost': 0,
  };
  const problems: string[] = [];
  const lengths = new Map<Story, number>();
  const ofMachine = STORIES.filter(({ ofMachine: isOne }) => isOne !== false);
  const first = seed % ofMachine.length;
  const stories = [...ofMachine.slice(first), ...ofMachine.slice(0, first)].slice(0, kills);
  const isSample = kills <= 1;
  for (const story of stories) lengths.set(story, isSample ? FIRST_STEPS : await lengthOf(story));
  const most = kills * MOMENTS_PER_KILL;
  for (let number = 0; number < most && counts['kills of a running process'] < kills; number += 1) {
    const story = stories[number % stories.length]!;
    const step = 1 + random.below(lengths.get(story)!);
    const delayMs = random.below(LATEST_KILL_MS);
    const what = `${story.name}, killed ${delayMs} ms after step ${step}`;
    try {
      problems.push(...(await crash(story, step, delayMs, counts)).map((one) => `${what}: ${one}`));
    } catch (error) {
      problems.push(`${what}: ${String(error)}`);
    }
  }
  const met = counts['kills of a running process'];
  if (met < kills) problems.push(`${met} of ${most} moments met a running process, where ${kills} had to`);
  return { counts, problems };
}

async function crash(
  story: Story,
  step: number,
  delayMs: number,
  counts: Record<string, number>,
): Promise<readonly string[]> {
  const arena = await Arena.open();
  const add = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  try {
    const scene = await prepare(arena, story);
    const before = arena.state();
    const strike = { step, delayMs, signal: 'SIGKILL' } as const;
    const { signal } = await runCommand(arena, story.command(scene.savesetId), { strike });
    const wasKilled = signal === 'SIGKILL';
    add(wasKilled ? 'kills of a running process' : 'too late');
    await quiet(arena);
    const problems: string[] = [];
    const kept = await arena.reconcileLater();
    const uuid = arena.uuidOf('web');
    const disks = JSON.stringify(uuid === '' ? {} : arena.disksOf(uuid));
    const isOld = disks === JSON.stringify(scene.now);
    const isNew = disks === JSON.stringify(scene.saved);
    const mayBeNew = story.isOverwrite === true;
    if (isOld) add('wholly old');
    else if (isNew && mayBeNew) add('wholly new');
    else {
      add('machines lost');
      problems.push('the machine is neither old nor new');
    }
    const after = arena.state();
    const changes = differences(withoutBases(before), withoutBases(after), false);
    const foreign = changes.filter((one) => /bystander|golden|kept by hand/.test(one));
    if (foreign.length > 0) {
      add('foreign objects touched');
      problems.push(`touched: ${foreign.join('; ')}`);
    }
    // The way back makes the drives of the old disks anew; that the same disks are in the same places was looked at.
    const isExpected = (one: string): boolean => {
      // A restore that was done when it was killed has made its machine; an overwrite has stopped or changed its own.
      if (isNew && mayBeNew) return true;
      if (mayBeNew)
        return /power_state|domid|resident_on|_operations|metrics|guest|start_time|last_boot|memory_target|resident_VMs|currently_attached|VBDs:|^VBD /.test(
          one,
        );
      return !wasKilled && story.name.startsWith('restore new');
    };
    const text = JSON.stringify(withoutBases(after));
    const left = [
      ...changes.filter((one) => !isExpected(one)),
      ...(text.includes('xen-backup:') ? ['a mark of ours'] : []),
    ];
    if (left.length > 0 && !isFinishedRestore(story, arena)) {
      add('leftovers');
      problems.push(`left: ${left.join('; ')}; kept: ${kept.join('; ')}`);
    }
    problems.push(...(await next(scene, counts)));
    return problems;
  } finally {
    await arena.close();
  }
}

/** The command had done its work and only its report was lost: the new machine is whole and unmarked. */
function isFinishedRestore(story: Story, arena: Arena): boolean {
  const made = arena.uuidOf('copy');
  return (
    story.name.startsWith('restore new') &&
    made !== '' &&
    !JSON.stringify(withoutBases(arena.state())).includes('xen-backup:')
  );
}

/** The next backup works, leaves bases of stored savesets only, and nothing half stays in the repository. */
async function next({ arena }: Scene, counts: Record<string, number>): Promise<readonly string[]> {
  await arena.sweepLater();
  const record = await arena.backup('vm/web', 'auto', { format: 'disks' });
  const problems: string[] = [];
  for await (const { item, status } of arena.repository.verify(record)) {
    if (status !== 'ok') problems.push(`the next backup: ${item} is ${status}`);
  }
  const marks = Object.values(arena.state().VDI ?? {})
    .filter(({ is_a_snapshot: isSnapshot }) => isSnapshot === true)
    .flatMap(({ other_config: config }) => (config as Readonly<Record<string, string>>)['xen-backup:run'] ?? []);
  const stored = (await arena.repository.list()).records.map(({ savesetId }) => savesetId);
  const stray = marks
    .map((mark) => (JSON.parse(mark) as { readonly run: string }).run)
    .filter((id) => !stored.includes(id));
  if (stray.length > 0) {
    counts.leftovers = (counts.leftovers ?? 0) + 1;
    problems.push(`bases of ${stray.join(', ')} are left`);
  }
  return [...problems, ...(await arena.strays()).map((one) => `in the repository: ${one}`)];
}

/** The pool has noticed that the client is gone: nothing runs any more. */
async function quiet(arena: Arena): Promise<void> {
  const isBusy = (): boolean => arena.running.pool.store.all('task').some(([, { status }]) => status === 'pending');
  for (const endMs = Date.now() + 2000; isBusy() && Date.now() < endMs;) await systemClock.sleep(10);
}
