import { type CallOptions, type PoolConnection } from '../session/pool-connection.js';
import {
  isNullRef,
  type NetworkRecord,
  type RecordClass,
  type RefOf,
  type SrRecord,
  type VbdRecord,
  type VdiRecord,
  type VifRecord,
  type VmRecord,
  type XapiRecordTypes,
} from '../xapi/xapi-records.js';

/** A place where a machine has a disk or a drive. */
export interface MachineDevice {
  readonly ref: RefOf<'VBD'>;
  readonly record: VbdRecord;
  readonly medium: { readonly ref: RefOf<'VDI'>; readonly record: VdiRecord } | undefined;
}

export interface MachineInterface {
  readonly ref: RefOf<'VIF'>;
  readonly record: VifRecord;
  readonly network: NetworkRecord | undefined;
  /** Tag of the network's VLAN; undefined for a network without one. */
  readonly vlan?: number | undefined;
}

/** A machine or template with all that hangs on it, as one picture of one moment. */
export interface Machine {
  readonly ref: RefOf<'VM'>;
  readonly record: VmRecord;
  /** Ordered by `userdevice` as numbers. */
  readonly devices: readonly MachineDevice[];
  /** Ordered by `device` as numbers. */
  readonly interfaces: readonly MachineInterface[];
  readonly storages: ReadonlyMap<RefOf<'SR'>, SrRecord>;
  readonly hasGuestTools: boolean;
}

/** A device with a disk of the machine's own in it: not a CD, not an empty drive. */
export interface MachineDisk extends MachineDevice {
  readonly medium: NonNullable<MachineDevice['medium']>;
}

export function disksOf(machine: Pick<Machine, 'devices'>): readonly MachineDisk[] {
  return machine.devices.filter(
    (device): device is MachineDisk => device.record.type === 'Disk' && device.medium !== undefined,
  );
}

/** What a PIF says of its VLAN when it has none. */
const UNTAGGED = -1;

type AnyRef = { readonly [Class in RecordClass]: { readonly cls: Class; readonly ref: RefOf<Class> } }[RecordClass];

/** Finds the records of a class among those of a mixed round trip. */
type Finder = <Class extends RecordClass>(cls: Class, ref: RefOf<Class>) => XapiRecordTypes[Class] | undefined;

async function fetchMixed(pool: PoolConnection, refs: readonly AnyRef[], options: CallOptions): Promise<Finder> {
  const wanted = refs.filter(({ ref }) => !isNullRef(ref));
  const found: ReadonlyMap<string, XapiRecordTypes[RecordClass]> =
    wanted.length === 0 ? new Map() : await pool.records<RecordClass>(wanted, options);
  return <Class extends RecordClass>(_cls: Class, ref: RefOf<Class>) =>
    found.get(ref) as XapiRecordTypes[Class] | undefined;
}

/** A machine's record, and what hangs on it when that was read in the same moment. */
export interface FoundMachine {
  readonly ref: RefOf<'VM'>;
  readonly record: VmRecord;
  readonly around?: Finder;
}

/** Where a machine was found: enough to read it again, with all that hangs on it, in one round trip. */
export interface MachinePlace {
  readonly ref: RefOf<'VM'>;
  readonly around: readonly AnyRef[];
}

export function placeOf({ ref, record }: FoundMachine): MachinePlace {
  return { ref, around: aroundOf(record) };
}

/** Reads a machine again that was found before; undefined when it is no longer there. */
export async function findAgain(
  pool: PoolConnection,
  { ref, around }: MachinePlace,
  options: CallOptions = {},
): Promise<FoundMachine | undefined> {
  const find = await fetchMixed(pool, [{ cls: 'VM', ref }, ...around], options);
  const record = find('VM', ref);
  if (record === undefined) return undefined;
  const asked = new Set<string>(around.map((one) => one.ref));
  // Something was plugged in since: it has to be asked for.
  const isAllThere = aroundOf(record).every((one) => asked.has(one.ref));
  return { ref, record, ...(isAllThere ? { around: find } : {}) };
}

function aroundOf(record: VmRecord): readonly AnyRef[] {
  return [
    ...record.VBDs.map((vbd) => ({ cls: 'VBD', ref: vbd }) as const),
    ...record.VIFs.map((vif) => ({ cls: 'VIF', ref: vif }) as const),
    { cls: 'VM_guest_metrics', ref: record.guest_metrics },
  ];
}

/**
 * Everything about one machine in three round trips, however many disks it has; in two, when what hangs on it is known.
 * Objects that vanish meanwhile are left out.
 */
export async function loadMachine(
  pool: PoolConnection,
  { ref, record, around }: FoundMachine,
  options: CallOptions = {},
): Promise<Machine> {
  const first = around ?? (await fetchMixed(pool, aroundOf(record), options));
  const vbds = present(record.VBDs, (vbd) => first('VBD', vbd));
  const vifs = present(record.VIFs, (vif) => first('VIF', vif));
  const second = await fetchMixed(
    pool,
    [
      ...vbds.map(([, vbd]) => ({ cls: 'VDI', ref: vbd.VDI }) as const),
      ...unique(vifs.map(([, vif]) => vif.network)).map((network) => ({ cls: 'network', ref: network }) as const),
    ],
    options,
  );
  const devices = vbds.map(([vbdRef, vbd]): MachineDevice => {
    const vdi = isNullRef(vbd.VDI) ? undefined : second('VDI', vbd.VDI);
    return { ref: vbdRef, record: vbd, medium: vdi === undefined ? undefined : { ref: vbd.VDI, record: vdi } };
  });
  const storageRefs = unique(devices.flatMap(({ medium }) => (medium === undefined ? [] : [medium.record.SR])));
  const cards = unique(vifs.flatMap(([, vif]) => second('network', vif.network)?.PIFs ?? []));
  const third = await fetchMixed(
    pool,
    [
      ...storageRefs.map((sr) => ({ cls: 'SR', ref: sr }) as const),
      ...cards.map((card) => ({ cls: 'PIF', ref: card }) as const),
    ],
    options,
  );
  return {
    ref,
    record,
    devices: devices.sort((a, b) => byNumber(a.record.userdevice, b.record.userdevice)),
    interfaces: vifs
      .map(([vifRef, vif]) => {
        const network = second('network', vif.network);
        const tags = (network?.PIFs ?? []).map((card) => third('PIF', card)?.VLAN ?? UNTAGGED);
        return { ref: vifRef, record: vif, network, vlan: tags.find((tag) => tag > UNTAGGED) };
      })
      .sort((a, b) => byNumber(a.record.device, b.record.device)),
    storages: new Map(present(storageRefs, (sr) => third('SR', sr))),
    hasGuestTools: first('VM_guest_metrics', record.guest_metrics)?.PV_drivers_detected ?? false,
  };
}

function present<Ref extends string, Found>(
  refs: readonly Ref[],
  find: (ref: Ref) => Found | undefined,
): [Ref, Found][] {
  return refs.flatMap((ref): [Ref, Found][] => {
    const found = find(ref);
    return found === undefined ? [] : [[ref, found]];
  });
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b);
}
