import { type GuestBehaviour } from '../pool-conditions.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { wireDate } from '../wire/wire-value.js';

const OBEDIENT: GuestBehaviour = {};
const TOOLS_VERSION = { major: '7', minor: '30', micro: '0', build: '1' };
const FEATURES = { 'feature-shutdown': '1', 'feature-reboot': '1', 'feature-suspend': '1' };

/** What the guest of a VM does when it is asked. */
export function guestOf(pool: SimulatedPool, vm: string): GuestBehaviour {
  return pool.guests.get(vm) ?? OBEDIENT;
}

/** What the guest of a running VM tells about itself; returns the reference of its metrics. */
export function createGuestMetrics(pool: SimulatedPool, vm: string): string {
  const { os, addresses, hasTools = true, vss = false, nonSuspendable } = guestOf(pool, vm);
  const common = { live: true, last_updated: wireDate(pool.nowMs()) };
  if (!hasTools) return pool.store.create('VM_guest_metrics', common);
  return pool.store.create('VM_guest_metrics', {
    ...common,
    ...(os === undefined ? {} : { os_version: { name: os, distro: os.split(' ')[0] ?? '', uname: '' } }),
    PV_drivers_version: TOOLS_VERSION,
    PV_drivers_up_to_date: true,
    PV_drivers_detected: true,
    networks: addresses ?? {},
    other: {
      ...FEATURES,
      ...(vss === false ? {} : { 'feature-quiesce': '1' }),
      ...(nonSuspendable === undefined ? {} : { 'data-cant-suspend-reason': nonSuspendable }),
    },
  });
}
