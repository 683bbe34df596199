import { type Arena, type Digests } from './arena.js';

/** What a command does, and what was there before. */
export interface Story {
  readonly name: string;
  /** The command that is killed; `savesetId` is that of the newest saveset. */
  readonly command: (savesetId: string) => readonly string[];
  /** Savesets that are there before. */
  readonly before: readonly (readonly [level: 'full' | 'incremental', format: 'xva' | 'disks'])[];
  readonly isOverwrite?: boolean;
  /** False: it has nothing to do with the machine whose fate is looked at. */
  readonly ofMachine?: boolean;
}

export const STORIES: readonly Story[] = [
  { name: 'backup, xva', command: () => ['backup', 'vm/web', '--format', 'xva'], before: [] },
  { name: 'backup, disks', command: () => ['backup', 'vm/web', '--format', 'disks'], before: [] },
  { name: 'backup, incremental', command: () => ['backup', 'vm/web'], before: [['full', 'disks']] },
  { name: 'restore new', command: (id) => ['restore', id, '--as', 'copy'], before: [['full', 'xva']] },
  {
    name: 'restore new, chain',
    command: (id) => ['restore', id, '--as', 'copy'],
    before: [
      ['full', 'disks'],
      ['incremental', 'disks'],
    ],
  },
  {
    name: 'overwrite',
    command: (id) => ['restore', id, '--overwrite', '-o', 'stop=hard'],
    before: [['full', 'xva']],
    isOverwrite: true,
  },
  {
    name: 'overwrite, chain',
    command: (id) => ['restore', id, '--overwrite', '-o', 'stop=hard'],
    before: [
      ['full', 'disks'],
      ['incremental', 'disks'],
    ],
    isOverwrite: true,
  },
  {
    name: 'restore of a disk',
    command: (id) => ['restore', id, '--disk', '0', '--as', 'one disk'],
    before: [['full', 'disks']],
    ofMachine: false,
  },
  { name: 'backup, template', command: () => ['backup', 'template/golden'], before: [], ofMachine: false },
  { name: 'backup, pool metadata', command: () => ['backup', 'pool/metadata'], before: [], ofMachine: false },
  { name: 'backup, host', command: () => ['backup', 'host/host-b'], before: [], ofMachine: false },
];

export interface Scene {
  readonly arena: Arena;
  readonly savesetId: string;
  readonly saved: Digests;
  readonly now: Digests;
}

/** Makes what was there before. */
export async function prepare(arena: Arena, story: Story): Promise<Scene> {
  const uuid = arena.uuidOf('web');
  let savesetId = '';
  for (const [level, format] of story.before) {
    arena.scribble(uuid, level.length);
    ({ savesetId } = await arena.backup('vm/web', level, { format }));
  }
  const saved = arena.disksOf(uuid);
  arena.scribble(uuid, 99);
  return { arena, savesetId, saved, now: arena.disksOf(uuid) };
}
