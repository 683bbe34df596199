import { type MethodTable } from '../rpc/method.js';
import { promoteHost } from './host-power.js';

/** What helps a pool whose coordinator is gone; a member takes these by itself. */
export const emergencyMethods: MethodTable = {
  'pool.emergency_transition_to_master': ({ pool, host }) => {
    promoteHost(pool, host);
    return undefined;
  },
  'pool.emergency_reset_master': () => undefined,
  'pool.recover_slaves': ({ pool }) =>
    pool.store
      .all('host')
      .map(([ref]) => ref)
      .filter((ref) => ref !== pool.coordinator && !pool.downHosts.has(ref)),
};
