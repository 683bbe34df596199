import { isDeepStrictEqual } from 'node:util';
import { type DeviceState, type FieldValue, type InterfaceState, type MachineState } from './machine-state.js';

/** One change that brings a machine nearer to a state. */
export type StateStep =
  | { readonly action: 'remove-device'; readonly position: string }
  | { readonly action: 'add-device'; readonly device: DeviceState }
  | { readonly action: 'remove-interface'; readonly position: string }
  | { readonly action: 'add-interface'; readonly networkInterface: InterfaceState }
  | { readonly action: 'call'; readonly method: string; readonly args: readonly unknown[] };

/**
 * What must be done to a halted machine in state `now` so that it comes to state `wanted`, in an order that the pool
 * accepts. Empty when nothing differs. Applying the steps and asking again gives none.
 */
export function stepsBetween(now: MachineState, wanted: MachineState): readonly StateStep[] {
  return [
    ...deviceSteps(now.devices, wanted.devices),
    ...interfaceSteps(now.interfaces, wanted.interfaces),
    ...memorySteps(now, wanted),
    ...vcpuSteps(now, wanted),
    ...otherConfigSteps(now.otherConfig, wanted.otherConfig),
    ...fieldSteps(now.fields, wanted.fields),
  ];
}

/** What must be done to the network interfaces alone. */
export function interfaceSteps(
  now: readonly InterfaceState[],
  wanted: readonly InterfaceState[],
): readonly StateStep[] {
  const { surplus, missing } = compare(now, wanted);
  return [
    ...surplus.map(({ position }): StateStep => ({ action: 'remove-interface', position })),
    ...missing.map((networkInterface): StateStep => ({ action: 'add-interface', networkInterface })),
  ];
}

function deviceSteps(now: readonly DeviceState[], wanted: readonly DeviceState[]): readonly StateStep[] {
  const { surplus, missing } = compare(now, wanted);
  const removals = new Map(
    surplus.map(({ position }) => [position, { action: 'remove-device', position } satisfies StateStep]),
  );
  // Each place is emptied just before it is filled: at no moment does the machine lack more than one disk.
  const swaps = missing.flatMap((device): StateStep[] => {
    const removal = removals.get(device.position);
    removals.delete(device.position);
    return [...(removal === undefined ? [] : [removal]), { action: 'add-device', device }];
  });
  return [...swaps, ...removals.values()];
}

function compare<Placed extends { readonly position: string }>(
  now: readonly Placed[],
  wanted: readonly Placed[],
): { surplus: readonly Placed[]; missing: readonly Placed[] } {
  const isIn = (list: readonly Placed[], one: Placed): boolean => list.some((other) => isDeepStrictEqual(one, other));
  return { surplus: now.filter((one) => !isIn(wanted, one)), missing: wanted.filter((one) => !isIn(now, one)) };
}

function memorySteps(now: MachineState, wanted: MachineState): readonly StateStep[] {
  if (isDeepStrictEqual(now.memory, wanted.memory)) return [];
  return [{ action: 'call', method: 'VM.set_memory_limits', args: wanted.memory }];
}

/** The number at start may never be above the maximum, so the one that gives way goes first. */
function vcpuSteps({ vcpus: now }: MachineState, { vcpus: wanted }: MachineState): readonly StateStep[] {
  const maximum: StateStep = { action: 'call', method: 'VM.set_VCPUs_max', args: [wanted.max] };
  const atStartup: StateStep = { action: 'call', method: 'VM.set_VCPUs_at_startup', args: [wanted.atStartup] };
  const steps = wanted.max >= now.max ? [maximum, atStartup] : [atStartup, maximum];
  return steps.filter((step) => (step === maximum ? wanted.max !== now.max : wanted.atStartup !== now.atStartup));
}

/** Key by key, because the journal of the overwrite lives in the same map. */
function otherConfigSteps(
  now: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): readonly StateStep[] {
  const remove = (key: string): StateStep => ({ action: 'call', method: 'VM.remove_from_other_config', args: [key] });
  const add = (key: string, value: string): StateStep => ({
    action: 'call',
    method: 'VM.add_to_other_config',
    args: [key, value],
  });
  return [
    ...Object.keys(now)
      .filter((key) => wanted[key] !== now[key])
      .map(remove),
    ...Object.entries(wanted)
      .filter(([key, value]) => now[key] !== value)
      .map(([key, value]) => add(key, value)),
  ];
}

function fieldSteps(
  now: Readonly<Record<string, FieldValue>>,
  wanted: Readonly<Record<string, FieldValue>>,
): readonly StateStep[] {
  return Object.entries(wanted)
    .filter(([field, value]) => !isDeepStrictEqual(comparable(now[field]), comparable(value)))
    .map(([field, value]) => ({ action: 'call', method: `VM.set_${field}`, args: [value] }));
}

/** Sets have no order. */
function comparable(value: FieldValue | undefined): unknown {
  return Array.isArray(value) ? [...value].sort() : value;
}
