import { freeDiskDevices } from '../behaviour/devices.js';
import { destroyVbd } from '../behaviour/disks.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, NULL_REF, textOf } from '../wire/wire-value.js';

/**
 * Attaches disks to a host's control domain for the time of a transfer, as XAPI does: each gets a VBD that is plugged,
 * so the disk cannot be destroyed (VDI_IN_USE). The returned function detaches them.
 */
export function holdDisks(pool: SimulatedPool, host: string, vdis: readonly string[], mode: 'RO' | 'RW'): () => void {
  const controlDomain = pool.store
    .all('VM')
    .find(([, vm]) => flagOf(vm, 'is_control_domain') && textOf(vm, 'resident_on') === host)?.[0];
  const vbds = vdis.map((vdi) =>
    pool.store.create('VBD', {
      VM: controlDomain ?? NULL_REF,
      VDI: vdi,
      device: deviceOf(pool, vdi),
      userdevice: controlDomain === undefined ? 'autodetect' : (freeDiskDevices(pool, controlDomain)[0] ?? ''),
      mode,
      type: 'Disk',
      unpluggable: true,
      currently_attached: true,
      metrics: pool.store.create('VBD_metrics'),
    }),
  );
  return () => {
    for (const vbd of vbds) if (pool.store.has('VBD', vbd)) destroyVbd(pool, vbd);
  };
}

/** Where a control domain has a disk, below its `/dev`. */
function deviceOf(pool: SimulatedPool, vdi: string): string {
  const record = pool.store.get('VDI', vdi);
  const sr = pool.store.find('SR', textOf(record, 'SR')) ?? {};
  return `sm/backend/${textOf(sr, 'uuid')}/${textOf(record, 'uuid')}`;
}

/** Calls `detach` after `delayMs`, at once when that is 0. Does not wait for it. */
export function detachAfter(pool: SimulatedPool, delayMs: number, detach: () => void): void {
  if (delayMs > 0) void pool.clock.sleep(delayMs).then(detach);
  else detach();
}
