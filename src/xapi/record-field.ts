/** Classes whose references we handle; not all of them have records of ours. */
export type XapiClass =
  | 'pool'
  | 'host'
  | 'host_metrics'
  | 'VM'
  | 'VM_metrics'
  | 'VM_guest_metrics'
  | 'VM_appliance'
  | 'VBD'
  | 'VIF'
  | 'VDI'
  | 'VGPU'
  | 'VUSB'
  | 'VTPM'
  | 'VMSS'
  | 'SR'
  | 'PBD'
  | 'SM'
  | 'network'
  | 'PIF'
  | 'Bond'
  | 'VLAN'
  | 'task'
  | 'Certificate'
  | 'session'
  | 'subject'
  | 'role';

declare const classBrand: unique symbol;

/** A reference (`OpaqueRef:...`) to an object of one class. Only the pool makes them; never take one apart. */
export type RefOf<Class extends XapiClass> = string & { readonly [classBrand]: Class };

export const NULL_REF = 'OpaqueRef:NULL';

/** True for a reference that points to nothing: the null reference, or the empty text some releases send for it. */
export function isNullRef(ref: string): boolean {
  return ref === NULL_REF || ref === '';
}

/**
 * Reads one field off the wire. A field that the release does not have gives the kind's neutral value, and integers
 * are taken as numbers (JSON-RPC) or as decimal text (XML-RPC): whoever reads a record never sees the difference.
 */
export type FieldKind<T> = (wire: unknown) => T;

export const text: FieldKind<string> = (wire) => {
  if (typeof wire === 'string') return wire;
  if (wire instanceof Date) return wire.toISOString().replace(/-|\.\d+/g, '');
  return typeof wire === 'number' || typeof wire === 'boolean' ? String(wire) : '';
};

export const flag: FieldKind<boolean> = (wire) => wire === true || wire === 'true' || wire === '1' || wire === 1;

/** Integers and floats. Sizes of disks and memory stay far below 2^53. */
export const count: FieldKind<number> = (wire) => {
  const value = typeof wire === 'string' && wire !== '' ? Number(wire) : wire;
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
};

/** One for all that are empty: a large pool has a hundred thousand of them. */
const NO_TEXTS: readonly string[] = Object.freeze([]);
const NO_ENTRIES: Readonly<Record<string, string>> = Object.freeze({});

export const textSet: FieldKind<readonly string[]> = (wire) =>
  Array.isArray(wire) && wire.length > 0 ? wire.map(text) : NO_TEXTS;

export const textMap: FieldKind<Readonly<Record<string, string>>> = (wire) => {
  if (typeof wire !== 'object' || wire === null || Array.isArray(wire)) return NO_ENTRIES;
  const entries = Object.entries(wire);
  return entries.length === 0 ? NO_ENTRIES : Object.fromEntries(entries.map(([key, value]) => [key, text(value)]));
};

export function ref<Class extends XapiClass>(): FieldKind<RefOf<Class>> {
  return (wire) => {
    const value = text(wire);
    return (isNullRef(value) ? NULL_REF : value) as RefOf<Class>;
  };
}

export function refSet<Class extends XapiClass>(): FieldKind<readonly RefOf<Class>[]> {
  return (wire) => textSet(wire) as readonly RefOf<Class>[];
}

/** One of a few words. Words of later releases pass through: they must not break reading the rest. */
export function word<Word extends string>(fallback: Word): FieldKind<Word> {
  return (wire) => (text(wire) || fallback) as Word;
}

/** Milliseconds since the epoch of a XAPI date (`20260821T02:00:23Z`, `2026-08-21T02:00:23Z`); 0 for "never". */
export function xapiDateMs(date: string): number {
  const ms = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T/, '$1-$2-$3T'));
  return Number.isNaN(ms) ? 0 : ms;
}

/** A date as XAPI takes it, in whole seconds. */
export function xapiDate(ms: number): string {
  return new Date(ms).toISOString().replace(/-|\.\d+/g, '');
}
