import { type PoolDefinition } from '../../../src/simulator/index.js';
import { RecordingSink } from '../../contract/support/recording-sink.js';
import { startXenWorld, type XenWorld } from './xen-world.js';

export type Machine = NonNullable<PoolDefinition['vms']>[number];

/** A machine with one disk that runs at the host which takes over. */
export const WEB: Machine = {
  name: 'web',
  powerState: 'Running',
  host: 'host-b',
  guest: { os: 'Debian GNU/Linux 12' },
  memoryMiB: 64,
  disks: [{ name: 'root', sizeMiB: 3, content: { kind: 'random', seed: 1 } }],
  interfaces: [{ network: 'Management' }],
};

/** What a fault does: the coordinator dies before the pool has done the call. */
export const DIES = { kill: 'coordinator', promote: 'host-b' } as const;

/** It dies before the pool has done the call, or when it has and nobody has been told. */
export const MOMENTS = [
  ['before', DIES],
  ['after', { ...DIES, afterWork: true }],
] as const;

/** The medium as a folder: what was destroyed may be opened again. */
export class FolderSink extends RecordingSink {
  readonly canReopenItems = true;
}

/** A pool of two hosts, the first one its coordinator, with one storage or more. */
export function startFailoverWorld(vms: Machine[], moreStorage: PoolDefinition['storage'] = []): Promise<XenWorld> {
  const poolFile: PoolDefinition = {
    name: 'Failover pool',
    seed: 8,
    hosts: [{ name: 'host-a' }, { name: 'host-b' }],
    networks: [{ name: 'Management', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
    storage: [{ name: 'Main', type: 'nfs', sizeGiB: 1, isDefault: true }, ...moreStorage],
    vms,
  };
  return startXenWorld({ poolFile, settings: { reconnectTimeoutMs: 20_000 } });
}
