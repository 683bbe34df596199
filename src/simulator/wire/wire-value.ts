/** A value as a record holds it: refs, enums and dates (`20261122T14:53:21Z`) are strings; ints and floats are numbers. */
export type WireValue = string | number | boolean | readonly WireValue[] | WireMap;
export interface WireMap {
  readonly [key: string]: WireValue;
}

/** One object of the pool: field name to value, every field of its class present. */
export type XapiRecord = WireMap;

export const NULL_REF = 'OpaqueRef:NULL';
/** What XAPI puts where a date means "never". */
export const EPOCH = '19700101T00:00:00Z';

/** A string field; `''` when it is absent. */
export function textOf(record: XapiRecord, field: string): string {
  const value = record[field];
  return typeof value === 'string' ? value : '';
}

/** An int or float field; 0 when it is absent. */
export function numberOf(record: XapiRecord, field: string): number {
  const value = record[field];
  return typeof value === 'number' ? value : 0;
}

export function flagOf(record: XapiRecord, field: string): boolean {
  return record[field] === true;
}

/** A set of strings or refs; `[]` when it is absent. */
export function setOf(record: XapiRecord, field: string): readonly string[] {
  const value = record[field];
  return isList(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** A map field; `{}` when it is absent. */
export function mapOf(record: XapiRecord, field: string): Readonly<Record<string, string>> {
  const value = record[field];
  if (!isMap(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, scalarText(item)]));
}

export function isList(value: WireValue | undefined): value is readonly WireValue[] {
  return Array.isArray(value);
}

export function isMap(value: WireValue | undefined): value is WireMap {
  return typeof value === 'object' && !Array.isArray(value);
}

/** `a` and `b` mean the same; sets and maps are compared by content, sets in order. */
export function sameValue(a: WireValue | undefined, b: WireValue | undefined): boolean {
  if (a === b) return true;
  if (isList(a) && isList(b)) return a.length === b.length && a.every((item, index) => sameValue(item, b[index]));
  if (isMap(a) && isMap(b)) {
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => sameValue(a[key], b[key]));
  }
  return false;
}

/** A date of the wire from milliseconds since the epoch: `20261122T14:53:21Z`. */
export function wireDate(timeMs: number): string {
  return new Date(timeMs)
    .toISOString()
    .replace(/[-]/g, '')
    .replace(/\.\d+Z$/, 'Z');
}

function scalarText(value: WireValue): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
