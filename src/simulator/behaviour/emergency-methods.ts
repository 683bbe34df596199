import { type MethodTable } from '../rpc/method.js';
import { isInEmergency } from './headless.js';
import { takeOver } from './host-power.js';

/** What helps a pool whose coordinator is gone; a member takes these by itself. */
export const emergencyMethods: MethodTable = {
  'pool.emergency_transition_to_master': ({ pool, host }) => {
    takeOver(pool, host);
    return undefined;
  },
  'host.is_in_emergency_mode': ({ pool, host }) => isInEmergency(pool, host),
  'pool.emergency_reset_master': () => undefined,
  'pool.recover_slaves': ({ pool }) =>
    pool.store
      .all('host')
      .map(([ref]) => ref)
      .filter((ref) => ref !== pool.coordinator && !pool.downHosts.has(ref)),
};
