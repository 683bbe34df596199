import { type PoolDefinition } from '../src/simulator/index.js';

/** How much the measured machines hold. */
export interface BenchSizes {
  readonly bigMiB: number;
  readonly oneMiB: number;
  readonly sparseMiB: number;
  readonly manyMiB: number;
  readonly chainMiB: number;
  readonly nbdMiB: number;
  readonly textMiB: number;
}

export const MANY = 20;
export const SCATTERED_CHANGES = 1000;
/** Of the disk whose increments are measured. */
export const SCATTER_MIB = 20 * 1024;

const FULL_SIZES: BenchSizes = {
  bigMiB: 4096,
  oneMiB: 1024,
  sparseMiB: 40 * 1024,
  manyMiB: 256,
  chainMiB: 2048,
  nbdMiB: 4096,
  textMiB: 1024,
};
const QUICK_SIZES: BenchSizes = {
  bigMiB: 256,
  oneMiB: 64,
  sparseMiB: 2560,
  manyMiB: 16,
  chainMiB: 128,
  nbdMiB: 256,
  textMiB: 64,
};

export function benchSizes(isQuick: boolean): BenchSizes {
  return isQuick ? QUICK_SIZES : FULL_SIZES;
}

/** UUIDs of the machines that are measured. */
export const MACHINES = {
  big: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a01',
  one: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a02',
  sparse: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a03',
  stream: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a04',
  scatter: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a05',
  chain: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a06',
  nbd: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a07',
  text: '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a08',
} as const;

export const STORAGE_UUID = '6f3c1f1a-6d1c-4a52-9a2e-3c1f0d1b2a20';

type Vm = NonNullable<PoolDefinition['vms']>[number];
type Content = NonNullable<NonNullable<Vm['disks']>[number]['content']>;

/** A pool of one host with room for everything. Its disks come from a seed and cost no memory. */
export function poolWith(vms: readonly Vm[]): PoolDefinition {
  return {
    name: 'Bench',
    hosts: [{ name: 'host', memoryGiB: 100_000, cpuCount: 64 }],
    networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true, purpose: ['nbd'] }],
    storage: [{ name: 'NFS', uuid: STORAGE_UUID, type: 'nfs', isDefault: true, sizeGiB: 1_000_000 }],
    vms: [...vms],
  };
}

/** A running machine with one disk of noise; `fillPercent` of it is filled, evenly spread. */
export function noisyVm(name: string, uuid: string, sizeMiB: number, fillPercent = 100): Vm {
  return vmOf(name, uuid, sizeMiB, { kind: 'random', seed: name, fillPercent });
}

function vmOf(name: string, uuid: string, sizeMiB: number, content: Content): Vm {
  return { name, uuid, powerState: 'Running', memoryMiB: 64, disks: [{ name: `${name} disk`, sizeMiB, content }] };
}

export function benchPool(sizes: BenchSizes): PoolDefinition {
  // As much data as the machine of one GiB, so that only the size differs.
  const sparsePercent = (100 * sizes.oneMiB) / sizes.sparseMiB;
  return poolWith([
    noisyVm('big', MACHINES.big, sizes.bigMiB),
    noisyVm('one', MACHINES.one, sizes.oneMiB),
    noisyVm('sparse', MACHINES.sparse, sizes.sparseMiB, sparsePercent),
    noisyVm('stream', MACHINES.stream, sizes.manyMiB * MANY),
    noisyVm('scatter', MACHINES.scatter, SCATTER_MIB, 0.5),
    noisyVm('chain', MACHINES.chain, sizes.chainMiB),
    noisyVm('nbd', MACHINES.nbd, sizes.nbdMiB),
    vmOf('text', MACHINES.text, sizes.textMiB, { kind: 'text', seed: 'text' }),
    {
      name: 'many-{n}',
      count: MANY,
      powerState: 'Running',
      memoryMiB: 64,
      disks: [{ name: 'many-{n} disk', sizeMiB: sizes.manyMiB, content: { kind: 'random', seed: 'many' } }],
    },
  ]);
}
