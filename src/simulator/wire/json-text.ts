import { floatText, type RpcValue } from './rpc-value.js';

/** The JSON spelling of a value: floats always show that they are (`1.0`), dates are strings. */
export function toJsonText(value: RpcValue): string {
  switch (value.tag) {
    case 'nil':
      return 'null';
    case 'bool':
      return String(value.value);
    case 'int64':
    case 'int32':
      return String(value.value);
    case 'float': {
      const text = floatText(value.value);
      return /^-?\d+$/.test(text) ? `${text}.0` : text;
    }
    case 'string':
    case 'date':
      return JSON.stringify(value.value);
    case 'list':
      return `[${value.items.map(toJsonText).join(',')}]`;
    case 'struct':
      return `{${value.members.map(([name, item]) => `${JSON.stringify(name)}:${toJsonText(item)}`).join(',')}}`;
  }
}

/** A parsed JSON value as a wire value. Whole numbers are integers. */
export function fromJson(value: unknown): RpcValue {
  if (typeof value === 'string') return { tag: 'string', value };
  if (typeof value === 'boolean') return { tag: 'bool', value };
  if (typeof value === 'number') return Number.isInteger(value) ? { tag: 'int64', value } : { tag: 'float', value };
  if (Array.isArray(value)) return { tag: 'list', items: value.map(fromJson) };
  if (typeof value === 'object' && value !== null) {
    return { tag: 'struct', members: Object.entries(value).map(([name, item]) => [name, fromJson(item)]) };
  }
  return { tag: 'nil' };
}
