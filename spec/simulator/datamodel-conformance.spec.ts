import { expect } from 'chai';
import { type RunningPool } from '../../src/simulator/index.js';
import { type ValueType } from '../../src/simulator/datamodel/value-type.js';
import { type Json, type RpcClient, startWithClient } from './support/rpc-client.js';
import { isObject, xmlRecords, type XmlValue } from './support/xml-records.js';

describe('records of the small pool', () => {
  let pool: RunningPool;
  let client: RpcClient;

  before(async () => {
    ({ pool, client } = await startWithClient());
  });
  after(() => pool.close());

  it('have every field of the datamodel with the type it says, in JSON and in XML', async () => {
    const { datamodel } = pool.pool;
    let checked = 0;
    const filled: string[] = [];
    for (const cls of datamodel.classes.values()) {
      if (cls.isRemoved || !cls.messages.has('get_all_records')) continue;
      const records = Object.entries(await client.call<Record<string, Json>>(`${cls.name}.get_all_records`));
      const xml = await xmlRecords(pool, client.session, `${cls.name}.get_all_records`);
      expect(xml.size, cls.name).to.equal(records.length);
      if (records.length > 0) filled.push(cls.name);
      for (const [ref, record] of records) {
        expect(Object.keys(record), cls.name).to.deep.equal([...cls.fields.keys()]);
        for (const field of cls.fields.values()) {
          const place = `${cls.name}.${field.name}`;
          expect(fitsJson(record[field.name], field.type), `${place} in JSON`).to.equal(true);
          expect(fitsXml(xml.get(ref)?.get(field.name), field.type), `${place} in XML`).to.equal(true);
          checked += 1;
        }
      }
    }
    expect(filled).to.include.members([
      'pool',
      'host',
      'VM',
      'VBD',
      'VIF',
      'VDI',
      'SR',
      'PBD',
      'PIF',
      'network',
      'SM',
      'Certificate',
    ]);
    expect(checked).to.be.greaterThan(1500);
  });

  it('can be asked for in every class, filled or not', async () => {
    const answers = await Promise.all(
      [...pool.pool.datamodel.classes.values()]
        .filter((cls) => cls.messages.has('get_all_records'))
        .map(async (cls) => {
          const answer = await client.post({
            jsonrpc: '2.0',
            id: 1,
            method: `${cls.name}.get_all_records`,
            params: [client.session],
          });
          return cls.isRemoved
            ? (answer.error as Json | undefined)?.message === 'MESSAGE_REMOVED'
            : typeof answer.result === 'object';
        }),
    );
    expect(answers).to.have.length.greaterThan(50);
    expect(answers.every(Boolean)).to.equal(true);
  });

  it('let only fields be set that have a setter', async () => {
    const [vm] = await client.call<string[]>('VM.get_all');
    expect(await client.error('VM.set_power_state', vm, 'Running')).to.deep.equal([
      'MESSAGE_METHOD_UNKNOWN',
      'VM.set_power_state',
    ]);
    expect(await client.error('VM.set_uuid', vm, 'x')).to.deep.equal(['MESSAGE_METHOD_UNKNOWN', 'VM.set_uuid']);
    expect(await client.error('VM.set_tags', vm, ['a'])).to.deep.equal(['no error', '""']);
  });
});

describe('an older release', () => {
  it('lacks what came later', async () => {
    const { pool, client } = await startWithClient({ release: '8.0' });
    try {
      const [vm] = await client.call<string[]>('VM.get_by_name_label', 'db-01');
      const record = await client.call<Json>('VM.get_record', vm);
      expect(record).to.have.property('NVRAM').and.not.have.property('groups');
      expect(await client.error('Certificate.get_all')).to.deep.equal([
        'MESSAGE_METHOD_UNKNOWN',
        'Certificate.get_all',
      ]);
      expect(await client.error('VM.snapshot', vm, 'x', [], 'extra')).to.deep.equal([
        'MESSAGE_PARAMETER_COUNT_MISMATCH',
        'VM.snapshot',
        '2',
        '4',
      ]);
    } finally {
      await pool.close();
    }
  });
});

function fitsJson(value: unknown, type: ValueType): boolean {
  switch (type.kind) {
    case 'int':
      return Number.isInteger(value);
    case 'float':
      return typeof value === 'number';
    case 'bool':
      return typeof value === 'boolean';
    case 'datetime':
      return typeof value === 'string' && /^\d{8}T\d\d:\d\d:\d\dZ$/.test(value);
    case 'set':
      return Array.isArray(value) && value.every((item) => fitsJson(item, type.of));
    case 'map':
      return isObject(value) && Object.values(value).every((item) => fitsJson(item, type.value));
    case 'ref':
      return typeof value === 'string' && (value === '' || value.startsWith('OpaqueRef:'));
    case 'string':
    case 'enum':
      return typeof value === 'string';
    case 'record':
    case 'option':
    case 'void':
    case 'any':
      return true;
  }
}

function fitsXml(value: XmlValue | undefined, type: ValueType): boolean {
  const tag = isObject(value) ? Object.keys(value)[0] : undefined;
  switch (type.kind) {
    case 'int':
      return typeof value === 'string' && /^-?\d+$/.test(value);
    case 'float':
      return tag === 'double';
    case 'bool':
      return tag === 'boolean';
    case 'datetime':
      return tag === 'dateTime.iso8601';
    case 'set':
      return tag === 'array';
    case 'map':
      return tag === 'struct';
    case 'string':
    case 'enum':
    case 'ref':
      return typeof value === 'string';
    case 'record':
    case 'option':
    case 'void':
    case 'any':
      return true;
  }
}
