import { expect } from 'chai';
import { startWithClient } from '../support/rpc-client.js';
import { xmlRecords } from '../support/xml-records.js';
import { capturedJson } from './captured-fixtures.js';
import { notReplayed } from './known-differences.js';

interface Captured {
  readonly result?: Records;
  readonly error?: { readonly message: string; readonly data: readonly string[] };
}

type Records = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

describe('records', () => {
  it('have the fields and wire types that those of a real XAPI 24.19.2 have, in JSON and in XML', async () => {
    const { pool, client } = await startWithClient({ release: '8.3' });
    const json = capturedJson('records-jsonrpc') as Readonly<Record<string, Captured>>;
    const xml = capturedJson('records-xmlrpc') as Readonly<Record<string, Records>>;
    const checked = { asked: 0, classes: 0, fields: 0 };
    await client.call('task.create', 'one', '');
    await client.call('secret.create', { value: 'x', other_config: {} });
    try {
      for (const [cls, { result, error }] of Object.entries(json)) {
        checked.asked += 1;
        const answer = await client.error(`${cls}.get_all_records`);
        const code = error === undefined ? 'no error' : error.message;
        expect(answer[0], `${cls}.get_all_records`).to.equal(code);
        const [captured] = Object.values(result ?? {});
        const [fromXml] = Object.values(xml[cls] ?? {});
        if (captured === undefined || notReplayed('records').includes(cls)) continue;
        const own = await client.call<Records>(`${cls}.get_all_records`);
        const [record = {}] = Object.values(own);
        checked.classes += 1;
        expect(Object.keys(record).sort(), cls).to.deep.equal(Object.keys(captured).sort());
        const ownXml = (await xmlRecords(pool, client.session, `${cls}.get_all_records`)).values().next().value;
        for (const [field, value] of Object.entries(captured)) {
          expect(formOf(record[field]), `${cls}.${field} in JSON`).to.equal(formOf(value));
          const form = xmlFormOf(ownXml?.get(field));
          expect(form, `${cls}.${field} in XML`).to.equal(parsedXmlFormOf(fromXml?.[field]));
          checked.fields += 1;
        }
      }
    } finally {
      await pool.close();
    }
    expect(checked.asked).to.equal(62);
    expect(checked.classes).to.equal(20 - notReplayed('records').length);
    expect(checked.fields).to.be.greaterThan(400);
  });
});

/** What kind of value it is on the wire; a reference is one even when it points nowhere. */
function formOf(value: unknown): string {
  if (Array.isArray(value)) return 'set';
  if (typeof value === 'string' && /^\d{8}T\d\d:\d\d:\d\dZ$/.test(value)) return 'date';
  if (typeof value === 'string' && value.startsWith('OpaqueRef:')) return 'ref';
  return typeof value;
}

function xmlFormOf(value: unknown): string {
  if (typeof value === 'string') return 'text';
  const [tag = ''] = Object.keys(value ?? {});
  return tag;
}

/** The same from what a Python client made of it. */
function parsedXmlFormOf(value: unknown): string {
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return 'double';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'object' && value !== null && '$dateTime' in value ? 'dateTime.iso8601' : 'struct';
}
