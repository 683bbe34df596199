import { dirname, join } from 'node:path';
import { DirectoryRepository } from '../src/host/repository/directory-repository.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena } from './arena.js';
import { type CommandEnd, runCommand } from './command.js';
import { differences } from './judging.js';
import { withoutBases } from './operations.js';
import { type PartResult } from './report.js';

const HOUR_MS = 60 * 60_000;
/** So much of what a command said says why it ended. */
const LAST_WORDS = 400;
/** The data of the first mover is slow, so that the second one meets it. */
const SLOW_BYTES_PER_SECOND = 1_200_000;

/** How far a clock is wrong. */
const JUMPS = { none: 0, 'an hour ahead': HOUR_MS, 'a day ahead': 24 * HOUR_MS, 'an hour behind': -HOUR_MS } as const;
type Jump = keyof typeof JUMPS;

interface Case {
  readonly format: 'xva' | 'disks';
  readonly repositories: 'one' | 'two';
  /** What the second process does while the first one backs the machine up. */
  readonly second: 'backup' | 'reconcile';
  /** Whose clock jumps, in the middle. */
  readonly clock: 'mover' | 'pool';
  readonly jump: Jump;
}

/**
 * Two processes at once at the same machine: of two backups one is refused with a code, or both are whole; a reconcile takes
 * nothing from a run that lives, whatever the clocks say; and afterwards nothing is left of either.
 */
export async function tortureByMovers(seed: number, rounds: number): Promise<PartResult> {
  const random = new SeededRandom(seed);
  const counts: Record<string, number> = {
    cases: 0,
    'both backups whole': 0,
    'the second refused with SOURCE_BUSY': 0,
    'the first refused with SOURCE_BUSY': 0,
    'met while the first was reading': 0,
    'reconciles beside a run that lives': 0,
    'objects taken from a run that lives': 0,
    'left after the leases': 0,
  };
  const problems: string[] = [];
  const all = casesOf();
  const first = random.below(all.length);
  for (let round = 0; round < rounds; round += 1) {
    const one = all[(first + round) % all.length]!;
    const name = `${one.format}, ${one.repositories} repositories, ${one.second}, ${one.clock} clock ${one.jump}`;
    counts.cases = (counts.cases ?? 0) + 1;
    try {
      const found = await runCase(one, counts);
      problems.push(...found.map((problem) => `${name}: ${problem}`));
      if (process.env.TORTURE_TRACE !== undefined) {
        process.stderr.write(`${found.length === 0 ? 'ok  ' : 'FAIL'} ${name}: ${found.join(' | ')}\n`);
      }
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { counts, problems };
}

function casesOf(): readonly Case[] {
  const cases: Case[] = [];
  for (const jump of Object.keys(JUMPS) as Jump[]) {
    for (const clock of ['mover', 'pool'] as const) {
      for (const second of ['backup', 'reconcile'] as const) {
        for (const repositories of ['one', 'two'] as const) {
          for (const format of ['xva', 'disks'] as const) {
            // The pool's clock can only be moved on.
            if (clock === 'pool' && JUMPS[jump] < 0) continue;
            if (jump === 'none' && clock === 'pool') continue;
            cases.push({ format, repositories, second, clock, jump });
          }
        }
      }
    }
  }
  return cases;
}

async function runCase(one: Case, counts: Record<string, number>): Promise<readonly string[]> {
  const arena = await Arena.open();
  const add = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  try {
    const problems: string[] = [];
    const before = arena.state();
    const wanted = JSON.stringify(arena.disksOf(arena.uuidOf('web')));
    const other = join(dirname(arena.repository.path), 'other');
    if (one.repositories === 'two') await DirectoryRepository.open(other, { create: true, hostId: 'torture-other' });
    for (const path of ['/export', '/export_raw_vdi']) {
      const action = { bytesPerSecond: SLOW_BYTES_PER_SECOND };
      arena.running.addFault({ match: { path }, occurrence: 1, action });
    }
    const skewMs = one.clock === 'mover' ? JUMPS[one.jump] : 0;
    // The first process is where it was; the second has the clock after the jump.
    const met = firstTransfer(arena);
    const running = runCommand(arena, backupWords(one));
    await Promise.race([met, running]);
    const isMet = reading(arena);
    if (isMet) add('met while the first was reading');
    if (one.clock === 'pool') await arena.running.perform('advanceClock', { ms: JUMPS[one.jump] });
    const repository = one.repositories === 'one' ? arena.repository.path : other;
    const words = one.second === 'backup' ? backupWords(one) : ['reconcile'];
    const second = await runCommand(arena, words, { repository, skewMs });
    if (one.second === 'reconcile') {
      add('reconciles beside a run that lives');
      if (second.code !== 0 && second.code !== 3) problems.push(`reconcile ${endOf(second)}`);
    }
    const first = await running;
    if (first.code !== 0 && first.code !== 3) {
      if (one.second === 'backup' && first.words.includes('SOURCE_BUSY')) add('the first refused with SOURCE_BUSY');
      else {
        add('objects taken from a run that lives');
        problems.push(`the first ${endOf(first)}`);
      }
    }
    if (one.second === 'backup') {
      const isBusy = second.words.includes('SOURCE_BUSY');
      if (second.code === 1 && isBusy) add('the second refused with SOURCE_BUSY');
      else if (second.code !== 0 && second.code !== 3) problems.push(`the second ${endOf(second)}`);
      else if (first.code === 0 || first.code === 3) add('both backups whole');
    }
    problems.push(...(await wholeness(arena, other, one, wanted)));
    const kept = await arena.reconcileLater();
    const left = differences(withoutBases(before), withoutBases(arena.state()), false);
    if (left.length > 0) {
      add('left after the leases');
      problems.push(`left: ${left.join('; ')}; kept: ${kept.join('; ')}`);
    }
    return problems;
  } finally {
    await arena.close();
  }
}

const endOf = ({ code, words }: CommandEnd): string => `ended with ${code ?? 'nothing'}: ${words.slice(-LAST_WORDS)}`;

const backupWords = ({ format }: Case): readonly string[] => ['backup', 'vm/web', '--format', format];

/** What either repository holds is whole. */
async function wholeness(arena: Arena, other: string, one: Case, wanted: string): Promise<readonly string[]> {
  const problems: string[] = [];
  const repositories = [
    arena.repository,
    ...(one.repositories === 'two' ? [await DirectoryRepository.open(other)] : []),
  ];
  for (const repository of repositories) {
    for (const record of (await repository.list()).records) {
      for await (const { item, status } of repository.verify(record)) {
        if (status !== 'ok') problems.push(`${record.savesetId}: ${item} is ${status}`);
      }
    }
  }
  if (JSON.stringify(arena.disksOf(arena.uuidOf('web'))) !== wanted) problems.push('the machine is another one');
  return problems;
}

/** True while a snapshot of ours is there. */
function reading(arena: Arena): boolean {
  return Object.values(arena.state().VM ?? {}).some(
    ({ name_label: name }) => typeof name === 'string' && name.startsWith('[xen-backup '),
  );
}

/** Resolves when the first transfer of data begins. */
function firstTransfer(arena: Arena): Promise<void> {
  const { faults } = arena.running.pool;
  const forTransfer = faults.forTransfer.bind(faults);
  return new Promise((resolve) => {
    faults.forTransfer = (...transfer) => {
      if (/^\/export(_raw_vdi)?$/.test(transfer[1].replace(/\/+$/, ''))) resolve();
      return forTransfer(...transfer);
    };
  });
}
