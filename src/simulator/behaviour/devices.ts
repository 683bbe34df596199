import { type SimulatedPool } from '../simulated-pool.js';
import { setOf, textOf } from '../wire/wire-value.js';

const MAX_DISKS = 255;
const MAX_INTERFACES = 7;

/** The block device that a guest sees at a position: `xvda`, `xvdb`, ... */
export function deviceName(position: number): string {
  return Number.isInteger(position) && position >= 0 && position < 26 ? `xvd${String.fromCharCode(97 + position)}` : '';
}

/** Positions free for a further disk. */
export function freeDiskDevices(pool: SimulatedPool, vm: string): readonly string[] {
  return freePositions(pool, vm, 'VBDs', 'VBD', 'userdevice', MAX_DISKS);
}

export function freeInterfaceDevices(pool: SimulatedPool, vm: string): readonly string[] {
  return freePositions(pool, vm, 'VIFs', 'VIF', 'device', MAX_INTERFACES);
}

function freePositions(
  pool: SimulatedPool,
  vm: string,
  field: string,
  cls: string,
  positionField: string,
  count: number,
): readonly string[] {
  const taken = new Set(
    setOf(pool.store.get('VM', vm), field).map((ref) => textOf(pool.store.get(cls, ref), positionField)),
  );
  return Array.from({ length: count }, (_, index) => String(index)).filter((position) => !taken.has(position));
}
