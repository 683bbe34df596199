import { expect } from 'chai';
import fc from 'fast-check';
import {
  type BaseDisk,
  type DiskNow,
  fallbackSentence,
  fallbacksOf,
  type LevelFacts,
  type LevelWish,
  planLevels,
  refuseFallbacks,
  withFull,
} from '../../src/backup/level-plan.js';
import { readHistory } from '../../src/backup/saveset-history.js';
import { type BackupError, type SavesetRecord } from '../../src/contract/index.js';
import { LEVEL_REASONS, type LevelReason } from '../../src/format/level-reason.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { baseId, chainRecord, type ChainRecordFields, diskId, SUBJECT } from './support/chain-records.js';

const WISH: LevelWish = { level: 'auto', form: 'disks', maxChain: 14 };

const disk = (fields: Partial<DiskNow> = {}): DiskNow => {
  const position = fields.position ?? '0';
  return {
    id: diskId(position),
    ref: `ref-${position}`,
    name: `disk ${position}`,
    position,
    sizeBytes: 1024,
    isTracked: true,
    canBeTracked: true,
    ...fields,
  };
};
const base = (fields: Partial<BaseDisk> = {}): BaseDisk => ({
  type: 'cbt_metadata',
  cbt_enabled: true,
  snapshot_of: 'ref-0' as RefOf<'VDI'>,
  snapshot_time: '20260101T00:00:00Z',
  ...fields,
});
const facts = (records: readonly SavesetRecord[], fields: Partial<LevelFacts> = {}): LevelFacts => ({
  disks: [disk()],
  history: readHistory(records, SUBJECT),
  bases: new Map([[baseId('f', '0'), base()]]),
  isTrackingLicensed: true,
  hasNbd: true,
  ...fields,
});
const chain = (...ids: string[]): SavesetRecord[] =>
  ids.map((id, index) => chainRecord(id, { ancestors: ids.slice(0, index) }));
const failureOf = (work: () => unknown): BackupError => {
  try {
    work();
  } catch (error) {
    return error as BackupError;
  }
  return expect.fail('nothing was refused');
};

describe('level-plan', () => {
  describe('the saveset', () => {
    const cases: readonly (readonly [
      what: string,
      wish: Partial<LevelWish>,
      records: readonly SavesetRecord[],
      expected: { form: string; level: string; parent?: string; reason: LevelReason },
    ])[] = [
      ['auto without history', { form: undefined }, [], { form: 'xva', level: 'full', reason: 'POLICY' }],
      ['auto as disks, for the first time', {}, [], { form: 'disks', level: 'full', reason: 'POLICY' }],
      [
        'auto goes on with archives',
        { form: undefined },
        [chainRecord('x', { form: 'xva' })],
        { form: 'xva', level: 'full', reason: 'POLICY' },
      ],
      [
        'auto goes on with disks',
        { form: undefined },
        chain('f'),
        { form: 'disks', level: 'incremental', parent: 'f', reason: 'CBT_OK' },
      ],
      [
        'auto goes on with disks after an archive in between',
        { form: undefined },
        [...chain('f'), chainRecord('x', { form: 'xva' })],
        { form: 'disks', level: 'incremental', parent: 'f', reason: 'CBT_OK' },
      ],
      ['auto as an archive', { form: 'xva' }, chain('f'), { form: 'xva', level: 'full', reason: 'POLICY' }],
      [
        'a full as an archive',
        { level: 'full', form: undefined },
        chain('f'),
        { form: 'xva', level: 'full', reason: 'POLICY' },
      ],
      ['a full as disks', { level: 'full' }, chain('f'), { form: 'disks', level: 'full', reason: 'POLICY' }],
      ['a copy', { level: 'copy' }, chain('f'), { form: 'disks', level: 'copy', reason: 'POLICY' }],
      [
        'an incremental without format',
        { level: 'incremental', form: undefined },
        chain('f'),
        { form: 'disks', level: 'incremental', parent: 'f', reason: 'CBT_OK' },
      ],
      [
        'an incremental with nothing to build on',
        { level: 'incremental' },
        [],
        { form: 'disks', level: 'full', reason: 'BASE_MISSING' },
      ],
      [
        'a differential on the full of the chain',
        { level: 'differential' },
        chain('f', 'i'),
        { form: 'disks', level: 'differential', parent: 'f', reason: 'CBT_OK' },
      ],
      [
        'a chain that is as long as may be',
        { maxChain: 2 },
        chain('f', 'i'),
        { form: 'disks', level: 'full', reason: 'POLICY' },
      ],
      [
        'a chain with room for one more',
        { maxChain: 2 },
        chain('f'),
        { form: 'disks', level: 'incremental', parent: 'f', reason: 'CBT_OK' },
      ],
      [
        'a chain with a member missing',
        {},
        [chainRecord('i', { ancestors: ['f'] })],
        { form: 'disks', level: 'full', reason: 'BASE_MISSING' },
      ],
      [
        'nothing but copies',
        {},
        [chainRecord('c', { level: 'copy' })],
        { form: 'disks', level: 'full', reason: 'POLICY' },
      ],
    ];
    for (const [what, wish, records, expected] of cases) {
      it(`${what}: ${expected.level}, ${expected.reason}`, () => {
        const plan = planLevels({ ...WISH, ...wish }, facts(records));
        expect({ form: plan.form, level: plan.level, reason: plan.disks[0]?.reason }).to.deep.equal({
          form: expected.form,
          level: expected.level,
          reason: expected.reason,
        });
        expect(plan.parent?.record.savesetId).to.equal(expected.parent);
        expect(plan.ancestors.at(-1)).to.equal(expected.parent);
      });
    }

    it('refuses an increment in an archive', () => {
      const failure = failureOf(() => planLevels({ ...WISH, level: 'differential', form: 'xva' }, facts([])));
      expect(failure).to.include({ code: 'REQUEST_INVALID' });
      expect(failure.message).to.include('format=disks');
    });
  });

  describe('a disk', () => {
    const saved = (fields: ChainRecordFields): SavesetRecord[] => [chainRecord('f', fields)];
    const withBase = (fields: Partial<BaseDisk>): Partial<LevelFacts> => ({
      bases: new Map([[baseId('f', '0'), base(fields)]]),
    });
    const untracked = { disks: [disk({ isTracked: false })] };
    const cases: readonly (readonly [
      what: string,
      reason: LevelReason,
      more: Partial<LevelFacts>,
      records?: readonly SavesetRecord[],
    ])[] = [
      ['whose bitmap is whole', 'CBT_OK', {}],
      ['whose whole snapshot was kept', 'CBT_OK', withBase({ type: 'user' })],
      ['that was tracked before the licence ran out', 'CBT_OK', { isTrackingLicensed: false }],
      ['whose base the pool has not', 'BASE_MISSING', { bases: new Map() }],
      ['that left no base', 'BASE_MISSING', {}, saved({ disks: [{ baseId: 'nobody' }] })],
      ['that is tracked no more', 'CBT_DISABLED', untracked],
      ['whose tracking the pool gave up', 'CBT_INVALID', { disks: [disk({ isTracked: false, hasLostTrack: true })] }],
      ['whose base lost its bitmap', 'CBT_INVALID', withBase({ cbt_enabled: false })],
      ['that the saveset does not have', 'DISK_NEW', { disks: [disk({ position: '7' })] }],
      [
        'that is another one of another size in the same place',
        'DISK_NEW',
        { disks: [disk({ id: 'x', sizeBytes: 5 })] },
      ],
      ['that is another one like it in the same place', 'DISK_REVERTED', { disks: [disk({ id: 'x' })] }],
      ['that grew', 'DISK_RESIZED', { disks: [disk({ sizeBytes: 2048 })] }],
      ['whose base is of another disk', 'DISK_REVERTED', withBase({ snapshot_of: 'other' as RefOf<'VDI'> })],
      ['without a licence to track', 'NO_LICENCE', { ...untracked, isTrackingLicensed: false }],
      [
        'on a storage that can not track',
        'SR_WITHOUT_CBT',
        { disks: [disk({ isTracked: false, canBeTracked: false })] },
      ],
      ['with a bitmap and no NBD', 'NBD_UNAVAILABLE', { hasNbd: false }],
      ['with a whole snapshot and no NBD', 'SNAPSHOT_DIFFERENCE', { hasNbd: false, ...withBase({ type: 'user' }) }],
      [
        'with a whole snapshot and no licence',
        'SNAPSHOT_DIFFERENCE',
        { ...untracked, ...withBase({ type: 'user', cbt_enabled: false }) },
      ],
    ];
    for (const [what, reason, more, records = chain('f')] of cases) {
      it(`${what}: ${reason}`, () => {
        const [planned] = planLevels(WISH, facts(records, more)).disks;
        const isIncrement = reason === 'CBT_OK' || reason === 'SNAPSHOT_DIFFERENCE';
        expect(planned).to.include({ reason, level: isIncrement ? 'incremental' : 'full' });
        expect(planned?.parent?.baseId).to.equal(isIncrement ? baseId('f', '0') : undefined);
      });
    }

    it('goes full alone when its base is bad; the saveset stays an increment', () => {
      const two = [disk(), disk({ position: '1' })];
      const plan = planLevels(WISH, facts(saved({ disks: [{}, {}] }), { disks: two }));
      expect(plan.level).to.equal('incremental');
      expect(plan.disks.map(({ level, reason }) => [level, reason])).to.deep.equal([
        ['incremental', 'CBT_OK'],
        ['full', 'BASE_MISSING'],
      ]);
    });
  });

  describe('withFull', () => {
    it('turns one disk into a full, and the saveset when it was the last', () => {
      const plan = withFull(planLevels(WISH, facts(chain('f'))), '0', 'CBT_INVALID');
      expect(plan).to.deep.include({ level: 'full', parent: undefined, ancestors: [] });
      expect(plan.disks[0]).to.include({ level: 'full', reason: 'CBT_INVALID' });
    });

    it('leaves the others what they are', () => {
      const records = [chainRecord('f', { disks: [{}, {}] })];
      const bases = new Map([
        [baseId('f', '0'), base()],
        [baseId('f', '1'), base({ snapshot_of: 'ref-1' as RefOf<'VDI'> })],
      ]);
      const two = facts(records, { disks: [disk(), disk({ position: '1' })], bases });
      const plan = withFull(planLevels(WISH, two), '1', 'CBT_INVALID');
      expect(plan.level).to.equal('incremental');
      expect(plan.disks.map(({ level }) => level)).to.deep.equal(['incremental', 'full']);
    });
  });

  describe('fallbacks', () => {
    it('are named with disk and reason', () => {
      const plan = planLevels(WISH, facts(chain('f'), { bases: new Map() }));
      const [fallback] = fallbacksOf(plan);
      expect(fallbackSentence(fallback!)).to.include('"disk 0" (0)').and.include('BASE_MISSING');
      const failure = failureOf(() => refuseFallbacks('web', fallbacksOf(plan)));
      expect(failure).to.include({ code: 'LEVEL_UNAVAILABLE' });
      expect(failure.message).to.include('"disk 0" (0)').and.include('BASE_MISSING');
    });

    it('are not what was asked for, and not what is new', () => {
      expect(fallbacksOf(planLevels({ ...WISH, level: 'full' }, facts(chain('f'))))).to.deep.equal([]);
      expect(fallbacksOf(planLevels(WISH, facts(chain('f'), { disks: [disk({ position: '9' })] })))).to.deep.equal([]);
    });
  });

  it('never builds on what is not sound, and never falls back in silence (property)', () => {
    const wishes = fc.record({
      level: fc.constantFrom('full', 'copy', 'incremental', 'differential', 'auto'),
      form: fc.constantFrom('disks', undefined),
      maxChain: fc.integer({ min: 1, max: 4 }),
    });
    const disks = fc.uniqueArray(
      fc.record({
        position: fc.constantFrom('0', '1', '2'),
        isTracked: fc.boolean(),
        canBeTracked: fc.boolean(),
        sizeBytes: fc.constantFrom(1024, 2048),
      }),
      { selector: ({ position }) => position },
    );
    const baseOf = fc.option(
      fc.record({
        type: fc.constantFrom('cbt_metadata', 'user'),
        cbt_enabled: fc.boolean(),
        isOfDisk: fc.boolean(),
      }),
    );
    const length = fc.integer({ min: 0, max: 3 });
    fc.assert(
      fc.property(
        wishes,
        disks,
        fc.array(baseOf, { minLength: 3, maxLength: 3 }),
        length,
        fc.boolean(),
        fc.boolean(),
        (wish, some, found, count, isTrackingLicensed, hasNbd) => {
          const ids = ['f', 'i', 'j'].slice(0, count);
          const records = ids.map((id, index) =>
            chainRecord(id, { ancestors: ids.slice(0, index), disks: [{}, {}, {}] }),
          );
          const bases = new Map<string, BaseDisk>();
          for (const id of ids) {
            found.forEach((one, index) => {
              if (one === null) return;
              const snapshot_of = `ref-${one.isOfDisk ? index : 9}` as RefOf<'VDI'>;
              bases.set(baseId(id, String(index)), base({ ...one, snapshot_of }));
            });
          }
          const now = some.map((fields) => disk(fields));
          const plan = planLevels(wish, facts(records, { disks: now, bases, isTrackingLicensed, hasNbd }));
          expect(plan.disks.map(({ disk: { position } }) => position)).to.deep.equal(
            now.map(({ position }) => position),
          );
          expect(plan.ancestors.length + 1).to.be.at.most(Math.max(1, wish.maxChain));
          for (const { disk: one, level, reason, parent } of plan.disks) {
            expect(LEVEL_REASONS).to.include(reason);
            expect(parent === undefined).to.equal(level === 'full' || level === 'copy');
            if (parent === undefined) continue;
            const used = bases.get(parent.baseId);
            expect(used?.snapshot_of).to.equal(one.ref);
            expect(one.sizeBytes).to.equal(1024);
            expect(parent.savesetId).to.equal(plan.ancestors.at(-1));
            if (reason === 'CBT_OK') expect(hasNbd && one.isTracked && used?.cbt_enabled).to.equal(true);
            else expect(used?.type).to.equal('user');
          }
          expect(plan.level === 'incremental' || plan.level === 'differential').to.equal(
            plan.disks.some(({ parent }) => parent !== undefined),
          );
        },
      ),
    );
  });
});
