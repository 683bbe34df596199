import { type ValueType } from '../datamodel/value-type.js';
import { type WireValue } from '../wire/wire-value.js';

type Expression = string | readonly Expression[];

/** The pairs of an s-expression such as `('uuid' '…') ('tags' '(…)')`, as `VM.snapshot_metadata` has them; undefined: it is none. */
export function readPairs(text: string): ReadonlyMap<string, string> | undefined {
  const expression = readExpression(text);
  if (typeof expression !== 'object') return undefined;
  const pairs = expression.flatMap((pair): readonly (readonly [string, string])[] => {
    const [name, value] = typeof pair === 'string' ? [] : pair;
    return typeof name === 'string' && typeof value === 'string' ? [[name, value]] : [];
  });
  return new Map(pairs);
}

/** What the database keeps as text, as a value of its type again. */
export function fromDatabaseText(type: ValueType, text: string): WireValue {
  switch (type.kind) {
    case 'int':
    case 'float':
      return Number(text);
    case 'bool':
      return text === 'true';
    case 'set': {
      const items = readExpression(text);
      const { of } = type;
      return typeof items === 'object'
        ? items.flatMap((item) => (typeof item === 'string' ? [fromDatabaseText(of, item)] : []))
        : [];
    }
    case 'map': {
      const { value } = type;
      const pairs = [...(readPairs(text) ?? [])].map(([key, item]) => [key, fromDatabaseText(value, item)] as const);
      return Object.fromEntries(pairs);
    }
    default:
      return text;
  }
}

function readExpression(text: string): Expression | undefined {
  const open: Expression[][] = [[]];
  for (const [token] of text.matchAll(/[()]|'(?:[^'\\]|\\.)*'|[^\s()']+/gs)) {
    const top = open.at(-1);
    if (token === '(') open.push([]);
    else if (token === ')') {
      if (top === undefined || open.length < 2) return undefined;
      open.pop();
      open.at(-1)?.push(top);
    } else top?.push(token.startsWith("'") ? token.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : token);
  }
  return open.length === 1 ? open[0]?.[0] : undefined;
}
