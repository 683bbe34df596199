import { XMLParser } from 'fast-xml-parser';
import { z } from 'zod';
import { SimulatedFailure } from '../simulated-failure.js';

/** A row: the database's names of fields to their text, with `%.` and its like turned back. */
export type DatabaseRow = Readonly<Record<string, string>>;

/** A dump that was read back. */
export interface DatabaseContent {
  readonly schemaMajor: number;
  readonly schemaMinor: number;
  readonly generation: number;
  readonly tables: ReadonlyMap<string, readonly DatabaseRow[]>;
}

const attributes = z.record(z.string(), z.string());
const documentSchema = z.object({
  database: z.object({
    manifest: z.object({ pair: z.array(z.object({ key: z.string(), value: z.string() })) }),
    table: z.array(z.object({ name: z.string(), row: z.array(attributes).default([]) })).default([]),
  }),
});
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseAttributeValue: false,
  parseTagValue: false,
  ignoreDeclaration: true,
  isArray: (name) => name === 'pair' || name === 'table' || name === 'row',
});
const SPACES: Readonly<Record<string, string>> = { '%%': '%', '%.': ' ', '%t': '\t', '%n': '\n', '%r': '\r' };

/** Reads a dump. Throws INTERNAL_ERROR with what XAPI's parser would say. */
export function readDatabase(text: string): DatabaseContent {
  if (!isWellFormed(text)) throw malformed(text);
  const parsed: unknown = parser.parse(text);
  const root = z.record(z.string(), z.unknown()).safeParse(parsed);
  const [tag = ''] = Object.keys(root.data ?? {});
  if (tag !== 'database') throw unreadable(`Unexpected tag: ${tag}`);
  const document = documentSchema.safeParse(parsed);
  if (!document.success) throw unreadable('Unexpected content');
  const { manifest, table } = document.data.database;
  const number = (key: string): number => {
    const value = manifest.pair.find((pair) => pair.key === key)?.value ?? '';
    if (!/^\d+$/.test(value)) throw new SimulatedFailure('INTERNAL_ERROR', ['Not_found']);
    return Number(value);
  };
  return {
    schemaMajor: number('schema_major_vsn'),
    schemaMinor: number('schema_minor_vsn'),
    generation: number('generation_count'),
    tables: new Map(table.map(({ name, row }) => [name, row.map(unprotect)])),
  };
}

/** One element around everything, and every tag closed: what the lenient parser does not look at. */
function isWellFormed(text: string): boolean {
  const open: string[] = [];
  let roots = 0;
  const body = text.replace(/^\s*<\?xml[^>]*\?>/, '');
  const token = /[^<]*(?:<(\/?)([\w:-]+)((?:\s+[\w:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|$)/y;
  while (token.lastIndex < body.length) {
    const match = token.exec(body);
    if (match === null) return false;
    const [, closing, name, , empty] = match;
    if (name === undefined) break;
    if (closing === '/') {
      if (open.pop() !== name) return false;
    } else {
      if (open.length === 0) roots += 1;
      if (empty !== '/') open.push(name);
    }
  }
  return open.length === 0 && roots === 1;
}

function unprotect(row: DatabaseRow): DatabaseRow {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, value.replace(/%[%.tnr]/g, (pair) => SPACES[pair] ?? pair)]),
  );
}

/** Told by the place where the text ends, which is where a dump cut short goes wrong. */
function malformed(text: string): SimulatedFailure {
  const lines = text.split('\n');
  const place = `${lines.length}:${(lines.at(-1) ?? '').length + 1}`;
  const isCut = !text.trimEnd().endsWith('</database>');
  const what = isCut ? 'unexpected end of input' : 'malformed character stream';
  return new SimulatedFailure('INTERNAL_ERROR', [`Xmlm.Error(${place}, "${what}")`]);
}

function unreadable(what: string): SimulatedFailure {
  return new SimulatedFailure('INTERNAL_ERROR', [`Xapi_database.Db_xml.Unmarshall_error("${what}")`]);
}
