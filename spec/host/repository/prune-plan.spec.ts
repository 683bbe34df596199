import { expect } from 'chai';
import fc from 'fast-check';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { planPrune } from '../../../src/host/repository/prune-plan.js';
import { savesetRecord } from '../../contract/support/saveset-record.js';

const record = (savesetId: string, day: number, sourceId = 'm1', parentSavesetId?: string): SavesetRecord => ({
  ...savesetRecord({ savesetId, createdAt: new Date(Date.UTC(2026, 0, day)).toISOString() }),
  source: { ...savesetRecord().source, id: sourceId },
  ...(parentSavesetId === undefined ? {} : { parentSavesetId }),
});

const ids = (records: readonly SavesetRecord[]): string[] => records.map(({ savesetId }) => savesetId);

describe('planPrune', () => {
  it('keeps the newest of each source', () => {
    const plan = planPrune([record('a3', 3), record('a1', 1), record('b1', 1, 'm2'), record('a2', 2)], {
      last: 2,
    });
    expect(ids(plan.keep)).to.deep.equal(['b1', 'a2', 'a3']);
    expect(ids(plan.remove)).to.deep.equal(['a1']);
  });

  it('keeps what a kept one builds on, over several steps', () => {
    const chain = [
      record('full', 1),
      record('i1', 2, 'm1', 'full'),
      record('i2', 3, 'm1', 'i1'),
      record('other', 2, 'm1'),
    ];
    const plan = planPrune(chain, { last: 1 });
    expect(ids(plan.keep)).to.deep.equal(['full', 'i1', 'i2']);
    expect(ids(plan.remove)).to.deep.equal(['other']);
  });

  it('keeps the newest of each of so many days, weeks and months that have one, by UTC', () => {
    // 2026-01-01 was a Thursday; day 32 is the first of February, a Sunday.
    const all = [1, 4, 5, 11, 12, 31, 32, 33].map((day) => record(`d${day}`, day));
    expect(ids(planPrune(all, { daily: 2 }).keep)).to.deep.equal(['d32', 'd33']);
    expect(ids(planPrune(all, { weekly: 3 }).keep)).to.deep.equal(['d12', 'd32', 'd33']);
    expect(ids(planPrune(all, { monthly: 5 }).keep)).to.deep.equal(['d31', 'd33']);
    expect(ids(planPrune(all, { last: 1, weekly: 5, monthly: 2 }).keep)).to.deep.equal([
      'd4',
      'd11',
      'd12',
      'd31',
      'd32',
      'd33',
    ]);
  });

  it('counts only the newest saveset of a day', () => {
    const morning = record('morning', 1);
    const evening = { ...record('evening', 1), createdAt: '2026-01-01T23:59:59.999Z' };
    expect(ids(planPrune([evening, morning], { daily: 1 }).keep)).to.deep.equal(['evening']);
  });

  it('keeps all that is older than a kept one whose parent can not be read now: nobody knows what that builds on', () => {
    const chain = [
      record('full', 1),
      record('other', 1, 'm2'),
      record('i2', 3, 'm1', 'i1'),
      record('other-2', 2, 'm2'),
    ];
    const plan = planPrune(chain, { last: 1 }, new Set(['i1']));
    expect(ids(plan.keep)).to.deep.equal(['full', 'other-2', 'i2']);
    expect(ids(plan.remove)).to.deep.equal(['other']);
  });

  it('keeps everything by no rule', () => {
    expect(ids(planPrune([record('a', 1)], { last: 0 }).remove)).to.deep.equal([]);
  });

  it('ends even when records name each other as parents', () => {
    const plan = planPrune([record('a', 1, 'm1', 'b'), record('b', 2, 'm1', 'a')], { last: 1 });
    expect(ids(plan.remove)).to.deep.equal([]);
  });

  it('decides by id between savesets of one instant', () => {
    expect(ids(planPrune([record('b', 1), record('a', 1)], { last: 1 }).remove)).to.deep.equal(['a']);
  });

  it('never removes a parent of what it keeps, and loses none', () => {
    const list = fc
      .uniqueArray(fc.nat(30), { maxLength: 20 })
      .map((days) =>
        days.map((day, index) =>
          record(`s${day}`, day, `m${day % 3}`, index > 0 && day % 2 === 1 ? `s${days[index - 1]}` : undefined),
        ),
      );
    fc.assert(
      fc.property(list, fc.record({ last: fc.nat(4), daily: fc.nat(4), weekly: fc.nat(2) }), (records, rules) => {
        const { keep, remove } = planPrune(records, rules);
        const removed = new Set(ids(remove));
        return (
          keep.length + remove.length === records.length &&
          keep.every(({ parentSavesetId }) => !removed.has(parentSavesetId ?? ''))
        );
      }),
    );
  });
});
