import { EPOCH, NULL_REF, type WireValue } from '../wire/wire-value.js';

/** A type of the datamodel. */
export type ValueType =
  | { readonly kind: 'string' | 'int' | 'float' | 'bool' | 'datetime' | 'void' | 'any' }
  | { readonly kind: 'ref' | 'record'; readonly cls: string }
  | { readonly kind: 'enum'; readonly name: string }
  | { readonly kind: 'set' | 'option'; readonly of: ValueType }
  | { readonly kind: 'map'; readonly key: ValueType; readonly value: ValueType };

const PLAIN = new Set(['string', 'int', 'float', 'bool', 'datetime', 'void']);
const cache = new Map<string, ValueType>();

/** Reads the datamodel's own notation: `VM ref set`, `(string -> string) map`, `enum vbd_mode`, `VM record`. */
export function parseType(text: string): ValueType {
  let type = cache.get(text);
  if (type === undefined) cache.set(text, (type = parse(text)));
  return type;
}

function parse(text: string): ValueType {
  if (PLAIN.has(text)) return { kind: text as 'string' };
  if (text.startsWith('<') || text === 'an event batch') return { kind: 'any' };
  if (text.endsWith(' map')) {
    const inner = text.slice(1, -') map'.length);
    const arrow = inner.indexOf(' -> ');
    return { kind: 'map', key: parseType(inner.slice(0, arrow)), value: parseType(inner.slice(arrow + 4)) };
  }
  if (text.endsWith(' set')) return { kind: 'set', of: parseType(text.slice(0, -4)) };
  if (text.endsWith(' option')) return { kind: 'option', of: parseType(text.slice(0, -7)) };
  if (text.endsWith(' ref')) return { kind: 'ref', cls: text.slice(0, -4) };
  if (text.endsWith(' record')) return { kind: 'record', cls: text.slice(0, -7) };
  if (text.startsWith('enum ')) return { kind: 'enum', name: text.slice(5) };
  return { kind: 'any' };
}

/** The value of a type when none is given. */
export function zeroOf(type: ValueType): WireValue {
  switch (type.kind) {
    case 'int':
    case 'float':
      return 0;
    case 'bool':
      return false;
    case 'datetime':
      return EPOCH;
    case 'ref':
      return NULL_REF;
    case 'set':
      return [];
    case 'map':
    case 'record':
      return {};
    case 'string':
    case 'enum':
    case 'option':
    case 'void':
    case 'any':
      return '';
  }
}
