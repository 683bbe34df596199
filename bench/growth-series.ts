import { type PoolDefinition } from '../src/simulator/index.js';
import { MACHINES, noisyVm } from './pool-data.js';
import { type Sample } from './programs.js';
import { savesetIdOf, type Workbench } from './workbench.js';

type Vm = NonNullable<PoolDefinition['vms']>[number];
/** Runs what is measured, once. */
type Measured = () => Promise<Sample>;

/** One measure of cost over one measure of size. */
export interface GrowthSeries {
  readonly title: string;
  /** What the numbers count. */
  readonly x: string;
  readonly values: readonly number[];
  /** What the pool has. */
  readonly machines: (x: number) => readonly Vm[];
  /** Gives what is measured. */
  readonly prepare: (bench: Workbench, x: number) => Promise<Measured>;
}

const GIB_IN_MIB = 1024;
/** What a sparse machine holds, whatever its size. */
const SPARSE_CONTENT_MIB = 512;
const CHAIN_MIB = 512;
const CHANGES_OF_LINK = 100;

const backupOfBig = (bench: Workbench): Promise<Measured> =>
  Promise.resolve(() => bench.freshBackup([`vm/${MACHINES.big}`]));

export const GROWTH_SERIES: readonly GrowthSeries[] = [
  {
    title: 'size of a machine full of noise: full backup',
    x: 'GiB',
    values: [1, 2, 3, 4],
    machines: (gib) => [noisyVm('big', MACHINES.big, gib * GIB_IN_MIB)],
    prepare: backupOfBig,
  },
  {
    title: 'size of a sparse machine with 512 MiB of noise: full backup',
    x: 'GiB',
    values: [1, 5, 10, 20, 40],
    machines: (gib) => [
      noisyVm('big', MACHINES.big, gib * GIB_IN_MIB, (100 * SPARSE_CONTENT_MIB) / (gib * GIB_IN_MIB)),
    ],
    prepare: backupOfBig,
  },
  {
    title: 'number of disks, 64 MiB each: full backup',
    x: 'disks',
    values: [1, 2, 4, 8, 15],
    machines: (count: number): readonly Vm[] => {
      const machine = noisyVm('big', MACHINES.big, 64);
      const disks = Array.from({ length: count }, (_none, index) => ({
        name: `disk ${index}`,
        sizeMiB: 64,
        content: { kind: 'random' as const, seed: index },
      }));
      return [{ ...machine, disks }];
    },
    prepare: backupOfBig,
  },
  {
    title: 'machines in the pool: full backup of one of 64 MiB',
    x: 'machines',
    values: [1, 100, 1000, 5000],
    machines: (count) => [
      noisyVm('big', MACHINES.big, 64),
      {
        name: 'other-{n}',
        count,
        powerState: 'Running',
        memoryMiB: 64,
        disks: [{ name: 'other {n}', sizeMiB: 64, content: { kind: 'random' } }],
      },
    ],
    prepare: backupOfBig,
  },
  {
    title: 'length of a chain, 100 changes of 64 KiB a link, 512 MiB: restore of the newest',
    x: 'links',
    values: [1, 2, 5, 10, 20],
    machines: () => [noisyVm('chain', MACHINES.chain, CHAIN_MIB)],
    prepare: async (bench: Workbench, links: number): Promise<Measured> => {
      let newest = await increment(bench, 'full');
      for (let link = 0; link < links; link += 1) {
        await bench.scatter(MACHINES.chain, CHAIN_MIB, CHANGES_OF_LINK);
        newest = await increment(bench, 'incremental');
      }
      let count = 0;
      return () => bench.xenBackup(['restore', newest, '--as', `restored ${(count += 1)}`], 'growth');
    },
  },
  {
    title: 'size of an increment on 20 GiB, changes of 64 KiB: backup',
    x: 'changes',
    values: [10, 100, 1000, 4000, 16_000],
    machines: () => [noisyVm('chain', MACHINES.chain, 20 * GIB_IN_MIB, 0.5)],
    prepare: async (bench: Workbench, changes: number): Promise<Measured> => {
      await increment(bench, 'full');
      return async () => {
        await bench.scatter(MACHINES.chain, 20 * GIB_IN_MIB, changes);
        await bench.pool.calls();
        return await incrementSample(bench, 'incremental');
      };
    },
  },
];

async function increment(bench: Workbench, level: string): Promise<string> {
  if (level === 'full') {
    await bench.emptyRepository('growth');
    bench.cleanups.add('the repository of the chain', () => bench.emptyRepository('growth'));
  }
  return savesetIdOf(await incrementSample(bench, level));
}

async function incrementSample(bench: Workbench, level: string): Promise<Sample> {
  const args = [`vm/${MACHINES.chain}`, '--format', 'disks', '--level', level, '-o', 'maxChain=1000'];
  return await bench.backup(args, 'growth');
}
