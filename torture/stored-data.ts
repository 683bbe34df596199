import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { isBackupError, type SavesetRecord } from '../src/contract/index.js';
import { type ItemHandle, openNewFile } from '../src/host/repository/item-file.js';
import { SeededRandom } from '../spec/journeys/support/seeded-random.js';
import { Arena, type Digests } from './arena.js';
import { differences } from './judging.js';
import { type PartResult } from './report.js';

const REFUSALS = new Set(['DATA_DAMAGED', 'SAVESET_INVALID', 'CHAIN_BROKEN']);

interface Stored {
  readonly record: SavesetRecord;
  readonly disks: Digests;
}

type Damage = 'bit flipped' | 'cut short' | 'made longer' | 'missing' | 'exchanged' | 'zeroed';
const DAMAGES: readonly Damage[] = [
  'bit flipped',
  'bit flipped',
  'bit flipped',
  'cut short',
  'made longer',
  'missing',
  'exchanged',
  'zeroed',
];

/** Damages stored items in every way, and asks verify, restore and readDisk about them. */
export async function tortureStoredData(seed: number, cases: number): Promise<PartResult> {
  const random = new SeededRandom(seed);
  const counts: Record<string, number> = {
    cases: 0,
    'found by verify': 0,
    'refused by restore': 0,
    'refused by readDisk': 0,
  };
  const problems: string[] = [];
  const arena = await Arena.open();
  try {
    const stored = await fill(arena);
    const before = arena.state();
    for (let number = 0; number < cases; number += 1) {
      const { record } = stored[random.below(stored.length)]!;
      const item = record.items[random.below(record.items.length)]!;
      const damage = DAMAGES[random.below(DAMAGES.length)]!;
      const path = join(arena.repository.path, 'savesets', record.savesetId, item.name);
      const good = await readFile(path);
      const what = `${number}: ${record.savesetId}/${item.name} ${damage}`;
      await spoil(path, good, damage, random, await another(arena, stored, item.sha256, random));
      try {
        count(counts, 'cases');
        count(counts, damage);
        if (await isFound(arena, record)) count(counts, 'found by verify');
        else problems.push(`${what}: verify says that all is well`);
        const code = await codeOf(arena.restore(record.savesetId, { mode: 'new', name: 'never' }));
        if (REFUSALS.has(code)) count(counts, 'refused by restore');
        else problems.push(`${what}: restore ended with ${code}`);
        const left = differences(before, arena.state(), false);
        if (left.length > 0) problems.push(`${what}: left ${left.join('; ')}`);
        const disk = record.disks.find((one) => one.item === item.name);
        if (disk !== undefined) {
          const read = await codeOf(readAll(arena, record, disk.position));
          if (REFUSALS.has(read)) count(counts, 'refused by readDisk');
          else problems.push(`${what}: readDisk ended with ${read}`);
        }
      } finally {
        await rm(path, { force: true });
        await writeFile(path, good, { mode: 0o600 });
      }
    }
    for (const { record, disks } of stored) {
      const { targetId } = await arena.restore(record.savesetId, { mode: 'new', name: `proof ${record.savesetId}` });
      if (JSON.stringify(arena.disksOf(targetId ?? '')) !== JSON.stringify(disks))
        problems.push(`${record.savesetId}: other bytes`);
    }
    problems.push(...(await arena.closeProduct()));
  } finally {
    await arena.close();
  }
  return { counts, problems };
}

/** An archive, and a chain of three. */
async function fill(arena: Arena): Promise<readonly Stored[]> {
  const uuid = arena.uuidOf('web');
  const stored: Stored[] = [];
  for (const [format, level] of [
    ['xva', 'full'],
    ['disks', 'full'],
    ['disks', 'incremental'],
    ['disks', 'incremental'],
  ] as const) {
    arena.scribble(uuid, stored.length + 1);
    stored.push({ disks: arena.disksOf(uuid), record: await arena.backup('vm/web', level, { format }) });
  }
  return stored;
}

/** The bytes of some other item. */
async function another(arena: Arena, stored: readonly Stored[], sha256: string, random: SeededRandom): Promise<Buffer> {
  const others = stored.flatMap(({ record }) =>
    record.items.filter((item) => item.sha256 !== sha256).map((item) => join(record.savesetId, item.name)),
  );
  return await readFile(join(arena.repository.path, 'savesets', others[random.below(others.length)]!));
}

async function spoil(path: string, good: Buffer, damage: Damage, random: SeededRandom, other: Buffer): Promise<void> {
  const at = random.below(good.length);
  const changed = Buffer.from(good);
  switch (damage) {
    case 'bit flipped':
      changed.writeUInt8(changed.readUInt8(at) ^ (1 << random.below(8)), at);
      {
        await writeFile(path, changed);
        return;
      }
    case 'cut short': {
      await truncate(path, at);
      return;
    }
    case 'made longer': {
      await writeFile(path, random.bytes(4 * (1 + random.below(300))), { flag: 'a' });
      return;
    }
    case 'missing': {
      await rm(path);
      return;
    }
    case 'exchanged': {
      await writeFile(path, other);
      return;
    }
    case 'zeroed':
      changed.fill(changed.readUInt8(at) === 0 ? 1 : 0, at, Math.min(changed.length, at + 1 + random.below(5000)));
      {
        await writeFile(path, changed);
        return;
      }
  }
}

async function isFound(arena: Arena, record: SavesetRecord): Promise<boolean> {
  let isFound = false;
  for await (const { status } of arena.repository.verify(record)) if (status !== 'ok') isFound = true;
  return isFound;
}

async function readAll(arena: Arena, record: SavesetRecord, disk: string): Promise<void> {
  const media = await arena.repository.openMedia(record.savesetId);
  const read = arena.provider.readDisk?.bind(arena.provider);
  if (read === undefined) return;
  const { stream } = await read({ disk, format: 'raw' }, media);
  stream.resume();
  await finished(stream);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'success',
    (error: unknown) => (isBackupError(error) ? error.code : `not typed: ${String(error)}`),
  );
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

/** The medium is full, or its mount gone, at any byte of a backup; older savesets stay as they are. */
export async function tortureFullMedium(seed: number, cases: number): Promise<PartResult> {
  const random = new SeededRandom(seed);
  const counts: Record<string, number> = { cases: 0 };
  const problems: string[] = [];
  const room = { bytes: Infinity, code: 'ENOSPC' };
  const arena = await Arena.open({ openHandle: async (path) => limited(await openNewFile(path), room) });
  try {
    for (const format of ['xva', 'disks'] as const) {
      const old = await arena.backup('vm/web', 'full', { format });
      const before = arena.state();
      const savedBytes = old.items.reduce((sum, { bytes }) => sum + bytes, 0);
      for (let number = 0; number < cases / 2; number += 1) {
        room.code = ['ENOSPC', 'EIO', 'EDQUOT', 'ENOENT'][random.below(4)]!;
        room.bytes = random.below(savedBytes);
        const what = `${format}, ${room.code} at byte ${room.bytes}`;
        const code = await codeOf(arena.backup('vm/web', 'full', { format }));
        room.bytes = Infinity;
        count(counts, 'cases');
        count(counts, code);
        if (!['MEDIUM_FULL', 'MEDIUM_FAILED'].includes(code)) problems.push(`${what}: ended with ${code}`);
        if (['ENOSPC', 'EDQUOT'].includes(room.code) && code !== 'MEDIUM_FULL')
          problems.push(`${what}: ended with ${code}`);
        problems.push(...differences(before, arena.state(), false).map((one) => `${what}: left ${one}`));
        problems.push(...(await arena.strays()).map((one) => `${what}: in the repository ${one}`));
        if (await isFound(arena, old)) problems.push(`${what}: the older saveset is damaged`);
      }
    }
    problems.push(...(await arena.closeProduct()));
  } finally {
    await arena.close();
  }
  return { counts, problems };
}

/** Writes until the room is used up: the last write is a short one. */
function limited(handle: ItemHandle, room: { bytes: number; readonly code: string }): ItemHandle {
  const fail = (): never => {
    throw Object.assign(new Error(`${room.code}: injected`), { code: room.code });
  };
  return {
    writev: async (chunks) => {
      const all = Buffer.concat(chunks);
      if (room.bytes <= 0) return fail();
      const { bytesWritten } = await handle.writev([all.subarray(0, Math.min(all.length, room.bytes))]);
      room.bytes -= bytesWritten;
      return { bytesWritten };
    },
    sync: async () => {
      if (room.bytes <= 0) fail();
      await handle.sync();
    },
    close: () => handle.close(),
  };
}
