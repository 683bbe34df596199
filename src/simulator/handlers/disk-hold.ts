import { freeDiskDevices } from '../behaviour/devices.js';
import { assertManaged, destroyVbd } from '../behaviour/disks.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, NULL_REF, setOf, textOf } from '../wire/wire-value.js';

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

/**
 * Attaches one disk to a host's control domain, as for a raw transfer. Throws VDI_NOT_MANAGED [vdi],
 * VDI_INCOMPATIBLE_TYPE [vdi, type] for one whose data is gone, VDI_READONLY [vdi], and VDI_IN_USE [vdi, `attach`] when a
 * guest writes to it, or has it at all and this is to write. Control domains do not keep each other out.
 */
export function attachToHost(pool: SimulatedPool, host: string, vdi: string, mode: 'RO' | 'RW'): () => void {
  assertManaged(pool, vdi);
  const record = pool.store.get('VDI', vdi);
  if (textOf(record, 'type') === 'cbt_metadata') {
    throw new SimulatedFailure('VDI_INCOMPATIBLE_TYPE', [vdi, 'CBT metadata']);
  }
  if (mode === 'RW' && flagOf(record, 'read_only')) throw new SimulatedFailure('VDI_READONLY', [vdi]);
  const isTaken = setOf(record, 'VBDs').some((ref) => {
    const vbd = pool.store.find('VBD', ref);
    if (vbd === undefined || !flagOf(vbd, 'currently_attached')) return false;
    const vm = pool.store.find('VM', textOf(vbd, 'VM'));
    const isGuest = vm === undefined || !flagOf(vm, 'is_control_domain');
    return isGuest && (mode === 'RW' || textOf(vbd, 'mode') === 'RW');
  });
  if (isTaken && !flagOf(record, 'sharable')) throw new SimulatedFailure('VDI_IN_USE', [vdi, 'attach']);
  return holdDisks(pool, host, [vdi], mode);
}
