import { SimulatedFailure } from '../simulated-failure.js';
import { isList, isMap, type WireValue, type XapiRecord } from '../wire/wire-value.js';

type Predicate = (record: XapiRecord) => boolean;

/**
 * The condition of `get_all_where`: `true`, `false`, `field "name__label" = "web"`, joined by `and`, `or`, `not` and
 * parentheses. Field names may be spelt with the database's double underscore. Throws INVALID_VALUE.
 */
export function parseQuery(text: string): Predicate {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\(|\)|=|[A-Za-z_]+|\S/g) ?? [];
  let next = 0;
  const bad = (): SimulatedFailure => new SimulatedFailure('INVALID_VALUE', [text, 'Failure("lexing: empty token")']);
  const take = (): string => {
    const token = tokens[next];
    next += 1;
    if (token === undefined) throw bad();
    return token;
  };

  const primary = (): Predicate => {
    const token = take();
    if (token === 'true') return () => true;
    if (token === 'false') return () => false;
    if (token === 'not') {
      const inner = primary();
      return (record) => !inner(record);
    }
    if (token === '(') {
      const inner = alternatives();
      if (take() !== ')') throw bad();
      return inner;
    }
    if (token !== 'field') throw bad();
    const name = unquote(take());
    if (take() !== '=') throw bad();
    const wanted = unquote(take());
    return (record) => databaseText(record[name] ?? record[name.replaceAll('__', '_')]) === wanted;
  };
  const conjunction = (): Predicate => {
    let left = primary();
    while (tokens[next] === 'and') {
      next += 1;
      const before = left;
      const right = primary();
      left = (record) => before(record) && right(record);
    }
    return left;
  };
  const alternatives = (): Predicate => {
    let left = conjunction();
    while (tokens[next] === 'or') {
      next += 1;
      const before = left;
      const right = conjunction();
      left = (record) => before(record) || right(record);
    }
    return left;
  };

  const predicate = alternatives();
  if (next !== tokens.length) throw bad();
  return predicate;
}

/** A value as the database keeps it: everything is text, sets and maps are s-expressions. */
export function databaseText(value: WireValue | undefined): string {
  if (value === undefined) return '';
  if (isList(value)) return `(${value.map((item) => quote(databaseText(item))).join(' ')})`;
  if (isMap(value)) {
    const pairs = Object.entries(value).map(([key, item]) => `(${quote(key)} ${quote(databaseText(item))})`);
    return `(${pairs.join(' ')})`;
  }
  return String(value);
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function unquote(token: string): string {
  return token.replace(/^["']|["']$/g, '').replace(/\\(.)/g, '$1');
}
