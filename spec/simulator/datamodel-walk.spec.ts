import { expect } from 'chai';
import { type ClassModel, Datamodel, type MessageModel } from '../../src/simulator/datamodel/datamodel.js';
import { type ValueType } from '../../src/simulator/datamodel/value-type.js';
import { type RunningPool } from '../../src/simulator/index.js';
import { type Json, type RpcClient, startWithClient } from './support/rpc-client.js';

const CLASSES = [
  'pool',
  'host',
  'host_metrics',
  'VM',
  'VM_metrics',
  'VM_guest_metrics',
  'VBD',
  'VIF',
  'VDI',
  'SR',
  'PBD',
  'PIF',
  'Bond',
  'network',
  'VTPM',
  'task',
  'session',
  'message',
  'Certificate',
];
const BOGUS = 'OpaqueRef:bogus';
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** What was asked, to be sure that a walk was one. */
interface Counts {
  classes: number;
  getters: number;
  setters: number;
  mismatches: number;
  wrongRefs: number;
  wrongTypes: number;
  absent: number;
}

describe('the datamodel, walked through', () => {
  for (const [release, least, isWhole] of [
    ['7.1', { classes: 15, getters: 330, absent: 100 }, true],
    ['8.0', { classes: 16, getters: 340, absent: 80 }, false],
    ['8.2', { classes: 17, getters: 350, absent: 60 }, false],
    ['8.3', { classes: 19, getters: 400, absent: 0 }, true],
  ] as const) {
    it(`has every generic call of ${release}, with the right errors, and nothing that came later`, async () => {
      const { pool, client } = await startWithClient({ release });
      const counts: Counts = {
        classes: 0,
        getters: 0,
        setters: 0,
        mismatches: 0,
        wrongRefs: 0,
        wrongTypes: 0,
        absent: 0,
      };
      const newest = new Datamodel('9.0');
      try {
        await fill(pool, client);
        for (const name of CLASSES) {
          const cls = pool.pool.datamodel.classes.get(name);
          await walkAbsent(client, name, cls, newest, counts);
          if (cls === undefined || cls.isRemoved) continue;
          counts.classes += 1;
          await walkReads(pool, client, cls, counts);
          if (!isWhole) continue;
          await walkWrites(pool, client, cls, counts);
          await walkErrors(client, cls, counts);
        }
      } finally {
        await pool.close();
      }
      expect(counts.classes, 'classes').to.be.at.least(least.classes);
      expect(counts.getters, 'getters').to.be.at.least(least.getters);
      expect(counts.absent, 'absent').to.be.at.least(least.absent);
      if (!isWhole) return;
      expect(counts.setters, 'setters').to.be.at.least(70);
      expect(counts.mismatches, 'counts of arguments').to.be.at.least(500);
      expect(counts.wrongRefs, 'wrong references').to.be.at.least(300);
      expect(counts.wrongTypes, 'wrong types').to.be.at.least(20);
    }).timeout(60_000);
  }
});

/** One object at least of each class. */
async function fill({ pool }: RunningPool, client: RpcClient): Promise<void> {
  const [vm] = await client.call<string[]>('VM.get_by_name_label', 'db-01');
  await client.call('task.create', 'walk', '');
  await client.call('message.create', 'WALK', 3, 'VM', await client.call('VM.get_uuid', vm), 'body');
  for (const cls of CLASSES) {
    if (pool.datamodel.classes.has(cls) && pool.store.count(cls) === 0) pool.store.create(cls);
  }
}

/** An object of the class that no other part of the pool depends on, if there is one. */
function sample({ pool }: RunningPool, cls: string): string {
  const refs = pool.store.all(cls).map(([ref]) => ref);
  return (
    (cls === 'VM' ? pool.store.all('VM').find(([, record]) => record.name_label === 'db-01')?.[0] : refs.at(-1)) ?? ''
  );
}

function hasCall(cls: ClassModel, verb: string): boolean {
  const message = cls.messages.get(verb);
  return message !== undefined && !message.isRemoved;
}

async function walkReads(pool: RunningPool, client: RpcClient, cls: ClassModel, counts: Counts): Promise<void> {
  const ref = sample(pool, cls.name);
  const record = await client.call<Json>(`${cls.name}.get_record`, ref);
  expect(Object.keys(record).sort(), cls.name).to.deep.equal([...cls.fields.keys()].sort());
  expect(await client.call(`${cls.name}_get_record`, ref), `${cls.name}_get_record`).to.deep.equal(record);
  if (hasCall(cls, 'get_all')) expect(await client.call(`${cls.name}.get_all`), cls.name).to.include(ref);
  if (hasCall(cls, 'get_all_records')) {
    const all = await client.call<Json>(`${cls.name}.get_all_records`);
    expect(all[ref], cls.name).to.deep.equal(record);
  }
  if (hasCall(cls, 'get_by_uuid')) {
    expect(await client.call(`${cls.name}.get_by_uuid`, record.uuid), cls.name).to.equal(ref);
    expect(await client.error(`${cls.name}.get_by_uuid`, NO_UUID)).to.deep.equal(['UUID_INVALID', cls.name, NO_UUID]);
  }
  if (hasCall(cls, 'get_by_name_label')) {
    expect(await client.call(`${cls.name}.get_by_name_label`, record.name_label), cls.name).to.include(ref);
    expect(await client.call(`${cls.name}.get_by_name_label`, 'nobody'), cls.name).to.deep.equal([]);
  }
  await Promise.all(
    [...cls.fields.keys()].map(async (field) => {
      if (!hasCall(cls, `get_${field}`)) return;
      const [value, bogus] = await Promise.all([
        client.call(`${cls.name}.get_${field}`, ref),
        client.error(`${cls.name}.get_${field}`, BOGUS),
      ]);
      expect(value, `${cls.name}.get_${field}`).to.deep.equal(record[field]);
      expect(bogus).to.deep.equal(['HANDLE_INVALID', cls.name, BOGUS]);
      counts.getters += 1;
    }),
  );
}

/** Setters by rule: what they take is what the field then has. The session that calls is left alone. */
async function walkWrites(pool: RunningPool, client: RpcClient, cls: ClassModel, counts: Counts): Promise<void> {
  const ref = sample(pool, cls.name);
  for (const message of implicit(cls, /^(set|add_to|remove_from|add|remove)_/)) {
    const [, kind = '', field = ''] = /^(set|add_to|remove_from|add|remove)_(.*)$/.exec(message.verb) ?? [];
    const model = cls.fields.get(field);
    if (model === undefined) continue;
    const read = (): Promise<unknown> => client.call(`${cls.name}.get_${field}`, ref);
    counts.setters += 1;
    const place = `${cls.name}.${message.verb}`;
    if (kind === 'set') {
      const value = valueFor(model.type, pool.pool.datamodel);
      expect(await client.error(place, ref, value), place).to.deep.equal(['no error', '""']);
      expect(await read(), place).to.deep.equal(value);
      expect((await client.error(place, ref, { not: { a: 'value' } }))[0], place).to.equal(
        model.type.kind === 'map' ? 'INTERNAL_ERROR' : 'INTERNAL_ERROR',
      );
      counts.wrongTypes += 1;
    } else if (kind === 'add_to') {
      const key = model.type.kind === 'map' ? valueFor(model.type.key, pool.pool.datamodel) : '';
      const item = model.type.kind === 'map' ? valueFor(model.type.value, pool.pool.datamodel) : '';
      await client.call(`${cls.name}.remove_from_${field}`, ref, key);
      await client.call(place, ref, key, item);
      expect(await read(), place).to.have.property(String(key), item);
      expect(await client.error(place, ref, key, item)).to.deep.equal([
        'MAP_DUPLICATE_KEY',
        cls.name,
        field,
        ref,
        String(key),
      ]);
    } else if (kind === 'remove_from') {
      expect(await client.error(place, ref, absentKey(model.type, pool.pool.datamodel)), place).to.deep.equal([
        'no error',
        '""',
      ]);
    } else if (model.type.kind === 'set') {
      const item = valueFor(model.type.of, pool.pool.datamodel);
      await client.call(place, ref, item);
      const now = (await read()) as unknown[];
      expect(
        now.filter((one) => one === item),
        place,
      ).to.have.length(kind === 'add' ? 1 : 0);
    }
    expect(
      await client.error(place, BOGUS, ...argumentsOf(message, pool.pool.datamodel).slice(1)),
      place,
    ).to.deep.equal(['HANDLE_INVALID', cls.name, BOGUS]);
  }
}

async function walkErrors(client: RpcClient, cls: ClassModel, counts: Counts): Promise<void> {
  expect(await client.error(`${cls.name}.nosuch`)).to.deep.equal(['MESSAGE_METHOD_UNKNOWN', `${cls.name}.nosuch`]);
  await Promise.all(
    [...cls.messages.values()].map(async (message) => {
      if (message.isRemoved) {
        expect(await client.error(message.name), message.name).to.deep.equal(['MESSAGE_REMOVED']);
        return;
      }
      const required = message.params.filter(({ isOptional }) => !isOptional).length;
      if (!message.needsSession) return;
      const mismatch = (given: number): readonly string[] => [
        'MESSAGE_PARAMETER_COUNT_MISMATCH',
        message.name,
        String(required),
        String(given),
      ];
      if (required > 0) {
        expect(await client.error(message.name), message.name).to.deep.equal(mismatch(0));
        counts.mismatches += 1;
      }
      if (required === message.params.length) {
        const given = Array.from({ length: required + 1 }, () => 'x');
        expect(await client.error(message.name, ...given), message.name).to.deep.equal(mismatch(required + 1));
        counts.mismatches += 1;
      }
      const [self] = message.params;
      if (message.verb.startsWith('get_') && self?.type.kind === 'ref' && self.name === 'self' && required === 1) {
        const answer = await client.error(message.name, BOGUS);
        expect(answer, message.name).to.deep.equal(['HANDLE_INVALID', cls.name, BOGUS]);
        counts.wrongRefs += 1;
      }
    }),
  );
}

/** What later releases brought is unknown, and not in the records. */
async function walkAbsent(
  client: RpcClient,
  name: string,
  cls: ClassModel | undefined,
  newest: Datamodel,
  counts: Counts,
): Promise<void> {
  for (const message of newest.classes.get(name)?.messages.values() ?? []) {
    if (cls?.messages.has(message.verb) === true || !message.verb.startsWith('get_')) continue;
    expect(await client.error(message.name), message.name).to.deep.equal(['MESSAGE_METHOD_UNKNOWN', message.name]);
    counts.absent += 1;
  }
}

function implicit(cls: ClassModel, pattern: RegExp): readonly MessageModel[] {
  return [...cls.messages.values()].filter(
    ({ verb, isImplicit, isRemoved }) => isImplicit && !isRemoved && pattern.test(verb),
  );
}

function argumentsOf(message: MessageModel, datamodel: Datamodel): readonly unknown[] {
  return message.params.map(({ type }) => valueFor(type, datamodel));
}

/** A value of the type that differs from the defaults. */
function valueFor(type: ValueType, datamodel: Datamodel): unknown {
  switch (type.kind) {
    case 'int':
      return 7;
    case 'float':
      return 1.5;
    case 'bool':
      return true;
    case 'datetime':
      return '20260102T03:04:05Z';
    case 'ref':
      return 'OpaqueRef:NULL';
    case 'enum':
      return datamodel.enums[type.name]?.[0] ?? '';
    case 'set':
      return [valueFor(type.of, datamodel)];
    case 'map':
      return { [String(valueFor(type.key, datamodel))]: valueFor(type.value, datamodel) };
    default:
      return 'walked';
  }
}

function absentKey(type: ValueType, datamodel: Datamodel): unknown {
  return type.kind === 'map' && type.key.kind !== 'string' ? valueFor(type.key, datamodel) : 'not there';
}
