import { createHash } from 'node:crypto';
import { describeBackupSource, type ConformanceSubject } from './backup-source-conformance.js';
import { startXenWorld } from '../journeys/support/xen-world.js';

async function setUp(): Promise<ConformanceSubject> {
  const world = await startXenWorld();
  const { store } = world.running.pool;
  const before = new Set([...store.all('VDI'), ...store.all('VM')].map(([ref]) => ref));
  await world.source.close();
  return {
    contributions: world.contributions,
    client: world.client,
    runningMachine: `vm/${world.uuidOf('web')}`,
    haltedMachine: `vm/${world.uuidOf('db')}`,
    unknownName: 'nobody',
    ambiguousName: 'vm/twin',
    readDisks: (id) =>
      Promise.resolve(
        createHash('sha256')
          .update(JSON.stringify(world.disksOf(id)))
          .digest('hex'),
      ),
    changeDisks: (id) => {
      world.scribble(id);
      return Promise.resolve();
    },
    machineIds: () =>
      Promise.resolve(
        store
          .all('VM')
          .filter(([, vm]) => vm.is_a_snapshot !== true && vm.is_a_template !== true && vm.is_control_domain !== true)
          .map(([, vm]) => vm.uuid as string),
      ),
    leftovers: ({ isClosed }) => {
      const left = store
        .all('VM')
        .filter(
          ([ref, vm]) => !before.has(ref) && (vm.is_a_snapshot === true || JSON.stringify(vm).includes('xen-backup')),
        )
        .map(([, vm]) => `machine ${vm.name_label as string}`);
      const orphans = store
        .all('VDI')
        .filter(([ref, vdi]) => !before.has(ref) && (vdi.VBDs as string[]).length === 0)
        .map(([, vdi]) => `disk ${vdi.name_label as string}`);
      const tasks = store.all('task').map(([, task]) => `task ${task.name_label as string}`);
      const sessions = isClosed ? store.all('session').map(() => 'a session') : [];
      return Promise.resolve([...left, ...orphans, ...tasks, ...sessions]);
    },
    tearDown: () => world.close(),
  };
}

describeBackupSource({ name: 'xen source', setUp });
