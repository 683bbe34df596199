import { type ValueType } from '../datamodel/value-type.js';
import { isList, isMap, type WireValue } from './wire-value.js';

/** A value with the type it has on the wire. XML-RPC and JSON-RPC are two spellings of this. */
export type RpcValue =
  | { readonly tag: 'nil' }
  | { readonly tag: 'bool'; readonly value: boolean }
  /** A 64-bit integer: untyped decimal text in XML, a number in JSON. */
  | { readonly tag: 'int64'; readonly value: number }
  /** A 32-bit integer: `<i4>` in XML, a number in JSON. */
  | { readonly tag: 'int32'; readonly value: number }
  | { readonly tag: 'float'; readonly value: number }
  | { readonly tag: 'string'; readonly value: string }
  | { readonly tag: 'date'; readonly value: string }
  | { readonly tag: 'list'; readonly items: readonly RpcValue[] }
  | { readonly tag: 'struct'; readonly members: readonly (readonly [name: string, value: RpcValue])[] };

/** What the fields of a class are, for the types of a record's members. */
export interface RecordShapes {
  fieldType(cls: string, field: string): ValueType | undefined;
}

export const VOID: RpcValue = { tag: 'string', value: '' };

export function rpcString(value: string): RpcValue {
  return { tag: 'string', value };
}

export function rpcStrings(values: readonly string[]): RpcValue {
  return { tag: 'list', items: values.map(rpcString) };
}

export function rpcStruct(members: Readonly<Record<string, RpcValue>>): RpcValue {
  return { tag: 'struct', members: Object.entries(members) };
}

/** Gives a plain value the wire type that the datamodel says it has. */
export function toRpc(value: WireValue, type: ValueType, shapes: RecordShapes): RpcValue {
  switch (type.kind) {
    case 'int':
      return { tag: 'int64', value: Number(value) };
    case 'float':
      return { tag: 'float', value: Number(value) };
    case 'bool':
      return { tag: 'bool', value: value === true };
    case 'datetime':
      return { tag: 'date', value: textOfScalar(value) };
    case 'set':
      return { tag: 'list', items: (isList(value) ? value : []).map((item) => toRpc(item, type.of, shapes)) };
    case 'map':
      return { tag: 'struct', members: entriesOf(value).map(([key, item]) => [key, toRpc(item, type.value, shapes)]) };
    case 'record':
      return {
        tag: 'struct',
        members: entriesOf(value).flatMap(([name, item]) => {
          const fieldType = shapes.fieldType(type.cls, name);
          // A field that only the database has.
          return fieldType === undefined ? [] : [[name, toRpc(item, fieldType, shapes)] as const];
        }),
      };
    case 'option':
      return value === '' ? { tag: 'list', items: [] } : { tag: 'list', items: [toRpc(value, type.of, shapes)] };
    case 'void':
      return VOID;
    case 'string':
    case 'ref':
    case 'enum':
    case 'any':
      return guess(value);
  }
}

/** OCaml's way of printing a wire value; it turns up in error texts such as `Expected bool, got 'S(yes)'`. */
export function printRpc(value: RpcValue): string {
  switch (value.tag) {
    case 'nil':
      return 'N';
    case 'bool':
      return `B(${value.value})`;
    case 'int64':
      return `I(${value.value})`;
    case 'int32':
      return `I32(${value.value})`;
    case 'float':
      return `F(${floatText(value.value)})`;
    case 'string':
      return `S(${value.value})`;
    case 'date':
      return `D(${value.value})`;
    case 'list':
      return `[${value.items.map(printRpc).join(';')}]`;
    case 'struct':
      return `{${value.members.map(([name, item]) => `${name}:${printRpc(item)}`).join(';')}}`;
  }
}

/** A float in at most 16 significant digits, as C's `%.16g` prints it: `1`, `0.125`, `60.1`. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  return String(Number(value.toPrecision(16)));
}

function textOfScalar(value: WireValue): string {
  return typeof value === 'string' ? value : '';
}

function entriesOf(value: WireValue): readonly (readonly [string, WireValue])[] {
  return isMap(value) ? Object.entries(value) : [];
}

function guess(value: WireValue): RpcValue {
  if (typeof value === 'string') return { tag: 'string', value };
  if (typeof value === 'boolean') return { tag: 'bool', value };
  if (typeof value === 'number') return Number.isInteger(value) ? { tag: 'int64', value } : { tag: 'float', value };
  if (isList(value)) return { tag: 'list', items: value.map(guess) };
  return { tag: 'struct', members: entriesOf(value).map(([name, item]) => [name, guess(item)]) };
}
