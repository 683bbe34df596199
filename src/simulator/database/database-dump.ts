import { SCHEMA_MAJOR } from '../datamodel/release.js';
import { type Row } from '../record-store.js';
import { databaseText } from '../rpc/query.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { databaseFieldName } from './field-names.js';

/** Tables that the database has and no class is behind, or none of this release's. */
const MORE_TABLES = ['Diagnostics', 'auth', 'data_source', 'event'];
/** Objects that do not outlive a restart: their tables are there, without rows. */
const NOT_PERSISTENT = new Set([
  'session',
  'task',
  'auth',
  'message',
  'event',
  'data_source',
  'role',
  'VBD_metrics',
  'VIF_metrics',
]);
/** What a pool gives out while it is being upgraded: no more than an old host needs to be content (facts 6.1). */
const TABLES_DURING_UPGRADE =
  'SR pool VBD_metrics console host VIF_metrics user PBD pool_patch host_metrics VLAN Bond VTPM event VBD VM_guest_metrics VDI VM_metrics task VM crashdump network PIF host_patch host_crashdump SM host_cpu VIF session PIF_metrics';

/** The pool's database as XML, piece by piece, in the form in which XAPI writes it out. */
export function* databaseDump(pool: SimulatedPool): Generator<string> {
  yield '<?xml version="1.0" encoding="UTF-8"?>\n<database>';
  yield manifest(pool.datamodel.release.schemaMinor, pool.store.generation);
  for (const name of tableNames(pool)) {
    const rows = NOT_PERSISTENT.has(name) ? [] : [...pool.store.rows(name)].sort((a, b) => (a.ref < b.ref ? -1 : 1));
    if (rows.length === 0) {
      yield `<table name="${name}"/>`;
      continue;
    }
    yield `<table name="${name}">`;
    for (const row of rows) yield rowText(row);
    yield '</table>';
  }
  yield '</database>';
}

/** The dump of a pool in the middle of a rolling upgrade: tables, and nothing in them. */
export function databaseDuringUpgrade(): string {
  const tables = TABLES_DURING_UPGRADE.split(' ').map((name) => `<table name="${name}"/>`);
  return `<database>${manifest(35, 103)}${tables.join('')}</database>`;
}

function manifest(schemaMinor: number, generation: number): string {
  const pair = (key: string, value: number): string => `<pair key="${key}" value="${value}"/>`;
  return `<manifest>${pair('schema_major_vsn', SCHEMA_MAJOR)}${pair('schema_minor_vsn', schemaMinor)}${pair('generation_count', generation)}</manifest>`;
}

function tableNames(pool: SimulatedPool): readonly string[] {
  return [...new Set([...pool.datamodel.classes.keys(), ...MORE_TABLES])].sort();
}

function rowText({ cls, ref, record, createdAt, modifiedAt }: Row): string {
  const fields = Object.entries({ ...record, _ref: ref })
    .map(([name, value]) => [databaseFieldName(cls, name), databaseText(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const attributes = [
    ['ref', ref] as const,
    ['__ctime', String(createdAt)] as const,
    ['__mtime', String(modifiedAt)] as const,
    ...fields,
  ];
  return `<row ${attributes.map(([name, value]) => `${name}="${escape(value)}"`).join(' ')}/>`;
}

const SPACES: Readonly<Record<string, string>> = { '%': '%%', ' ': '%.', '\t': '%t', '\n': '%n', '\r': '%r' };
const MARKUP: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** White space is written so that no parser of attributes changes it: a space as `%.`. */
function escape(text: string): string {
  return text
    .replace(/[% \t\n\r]/g, (character) => SPACES[character] ?? character)
    .replace(/[&<>"]/g, (character) => MARKUP[character] ?? character);
}
