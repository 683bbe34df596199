import { relationsFrom } from './relations.js';
import { SimulatedFailure } from './simulated-failure.js';
import { isList, NULL_REF, sameValue, textOf, type WireValue, type XapiRecord } from './wire/wire-value.js';

/** The records that the members have of a pool: class to reference to record. */
export type SyncedDatabase = ReadonlyMap<string, ReadonlyMap<string, XapiRecord>>;

export type Fields = Readonly<Record<string, WireValue>>;

/** An object and when it came and last changed, in generations of the store. */
export interface Row {
  readonly cls: string;
  readonly ref: string;
  readonly record: XapiRecord;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** An object that is gone. */
export interface Grave {
  readonly cls: string;
  readonly ref: string;
  readonly createdAt: number;
  readonly deletedAt: number;
}

/** What a store must know of a class to make a whole record: its fields' defaults. */
export interface ClassShape {
  /** Undefined when there is no such class at this release. */
  defaultsOf(cls: string): Fields | undefined;
}

/** How many graves are kept; a client whose token is older than the oldest one misses `del` events, as with XAPI. */
const MAX_GRAVES = 10_000;

/**
 * The pool's objects. Every change raises the generation, keeps the mirrored sets of {@link relationsFrom} right, and
 * wakes the listeners. Records are never changed in place: what `get` returned stays as it was.
 */
export class RecordStore {
  readonly #shape: ClassShape;
  readonly #newUuid: (cls: string) => string;
  readonly #tables = new Map<string, Map<string, Row>>();
  readonly #graves: Grave[] = [];
  readonly #listeners = new Set<() => void>();
  /** The newest change of each class. */
  readonly #newest = new Map<string, number>();
  /** While a pool is being loaded: the mirrored sets that are still open, and grow in place. */
  #openSets: WeakSet<object> | undefined;
  #generation = 1;

  constructor(shape: ClassShape, newUuid: (cls: string) => string) {
    this.#shape = shape;
    this.#newUuid = newUuid;
  }

  /** The number of the newest change. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Adds an object; absent fields take the datamodel's defaults, `uuid` is made up. Fields that this release does not
   * have are left out. Returns the reference, `OpaqueRef:<uuid>` of its own unless `ref` is given.
   */
  create(cls: string, fields: Fields = {}, ref = `OpaqueRef:${this.#newUuid(cls)}`): string {
    const defaults = this.#shape.defaultsOf(cls);
    if (defaults === undefined) throw new SimulatedFailure('MESSAGE_METHOD_UNKNOWN', [cls]);
    const record: Record<string, WireValue> = { ...defaults };
    if ('uuid' in record) record.uuid = this.#newUuid(cls);
    for (const [name, value] of Object.entries(fields)) if (name in record) record[name] = value;
    const generation = this.#nextGeneration(cls);
    this.#table(cls).set(ref, { cls, ref, record, createdAt: generation, modifiedAt: generation });
    this.#link(cls, ref, {}, record);
    this.#wake();
    return ref;
  }

  /** The record; throws HANDLE_INVALID [class, ref]. */
  get(cls: string, ref: string): XapiRecord {
    const row = this.#tables.get(cls)?.get(ref);
    if (row === undefined) throw new SimulatedFailure('HANDLE_INVALID', [cls, ref]);
    return row.record;
  }

  /** The record, or undefined when there is none. */
  find(cls: string, ref: string): XapiRecord | undefined {
    return this.#tables.get(cls)?.get(ref)?.record;
  }

  has(cls: string, ref: string): boolean {
    return this.#tables.get(cls)?.has(ref) === true;
  }

  /** The reference behind a uuid; throws UUID_INVALID [class, uuid]. */
  refByUuid(cls: string, uuid: string): string {
    for (const row of this.rows(cls)) if (textOf(row.record, 'uuid') === uuid) return row.ref;
    throw new SimulatedFailure('UUID_INVALID', [cls, uuid]);
  }

  /** The reference for what a query may carry: a reference or a uuid. Throws HANDLE_INVALID or UUID_INVALID. */
  refByRefOrUuid(cls: string, refOrUuid: string): string {
    return this.has(cls, refOrUuid) ? refOrUuid : this.refByUuid(cls, refOrUuid);
  }

  /** All objects of a class, oldest first, as [reference, record]. */
  all(cls: string): readonly (readonly [ref: string, record: XapiRecord])[] {
    return this.rows(cls).map((row) => [row.ref, row.record] as const);
  }

  rows(cls: string): readonly Row[] {
    return [...(this.#tables.get(cls)?.values() ?? [])];
  }

  /** The objects of a class that came or changed after `generation`, oldest object first. */
  changedSince(cls: string, generation: number): readonly Row[] {
    const changed: Row[] = [];
    if ((this.#newest.get(cls) ?? 0) <= generation) return changed;
    for (const row of this.#tables.get(cls)?.values() ?? []) if (row.modifiedAt > generation) changed.push(row);
    return changed;
  }

  row(cls: string, ref: string): Row | undefined {
    return this.#tables.get(cls)?.get(ref);
  }

  count(cls: string): number {
    return this.#tables.get(cls)?.size ?? 0;
  }

  /** The objects destroyed since the store began, oldest first. */
  get graves(): readonly Grave[] {
    return this.#graves;
  }

  /** Sets fields. Values equal to the old ones are no change and wake nobody. Throws HANDLE_INVALID. */
  patch(cls: string, ref: string, fields: Fields): void {
    const before = this.get(cls, ref);
    const changed = Object.entries(fields).filter(([name, value]) => name in before && !sameValue(before[name], value));
    if (changed.length === 0) return;
    this.#replace(cls, ref, { ...before, ...Object.fromEntries(changed) });
    this.#link(cls, ref, before, this.get(cls, ref));
    this.#wake();
  }

  /** Marks an object as modified without changing it. */
  touch(cls: string, ref: string): void {
    this.#replace(cls, ref, this.get(cls, ref));
    this.#wake();
  }

  /** Removes an object and its mirrored references. Others that still name it keep a dangling reference. */
  destroy(cls: string, ref: string): void {
    const record = this.get(cls, ref);
    const row = this.#table(cls).get(ref);
    this.#link(cls, ref, record, {});
    this.#table(cls).delete(ref);
    this.#graves.push({ cls, ref, createdAt: row?.createdAt ?? 0, deletedAt: this.#nextGeneration(cls) });
    if (this.#graves.length > MAX_GRAVES) this.#graves.shift();
    this.#wake();
  }

  /**
   * Runs `work`, which makes many objects at once: mirrored sets grow in place, so that a thousand disks of one SR take no
   * longer than a thousand disks, and listeners are told once, at the end. Records read meanwhile must not be kept.
   */
  load(work: () => void): void {
    this.#openSets = new WeakSet();
    try {
      work();
    } finally {
      this.#openSets = undefined;
      this.#wake();
    }
  }

  /** Calls `listener` after every change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #table(cls: string): Map<string, Row> {
    let table = this.#tables.get(cls);
    if (table === undefined) this.#tables.set(cls, (table = new Map<string, Row>()));
    return table;
  }

  #nextGeneration(cls: string): number {
    this.#generation += 1;
    this.#newest.set(cls, this.#generation);
    return this.#generation;
  }

  #replace(cls: string, ref: string, record: XapiRecord): void {
    const row = this.#table(cls).get(ref);
    if (row !== undefined) this.#table(cls).set(ref, { ...row, record, modifiedAt: this.#nextGeneration(cls) });
  }

  #link(cls: string, ref: string, before: XapiRecord, after: XapiRecord): void {
    for (const relation of relationsFrom(cls)) {
      const old = refsIn(before[relation.field]);
      const now = refsIn(after[relation.field]);
      for (const target of old)
        if (!now.includes(target)) this.#mirror(relation.to, target, relation.backField, ref, false);
      for (const target of now)
        if (!old.includes(target)) this.#mirror(relation.to, target, relation.backField, ref, true);
    }
  }

  #mirror(cls: string, target: string, backField: string, ref: string, isPresent: boolean): void {
    const record = this.find(cls, target);
    if (record === undefined) return;
    if (this.#openSets !== undefined && isPresent) {
      this.#replace(cls, target, { ...record, [backField]: this.#grown(this.#openSets, record[backField], ref) });
      return;
    }
    const before = refsIn(record[backField]);
    const without = before.filter((item) => item !== ref);
    this.#replace(cls, target, { ...record, [backField]: isPresent ? [...without, ref] : without });
  }

  #grown(open: WeakSet<object>, value: WireValue | undefined, ref: string): WireValue {
    if (Array.isArray(value) && open.has(value)) {
      value.push(ref);
      return value as readonly string[];
    }
    const list = [...refsIn(value).filter((item) => item !== ref), ref];
    open.add(list);
    return list;
  }

  #wake(): void {
    if (this.#openSets !== undefined) return;
    for (const listener of [...this.#listeners]) listener();
  }
}

function refsIn(value: WireValue | undefined): readonly string[] {
  if (isList(value)) return value.filter((item) => typeof item === 'string');
  return typeof value === 'string' && value !== NULL_REF && value !== '' ? [value] : [];
}
