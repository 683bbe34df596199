import { expect } from 'chai';
import { chainOf, newestOf, readHistory, rootOf } from '../../src/backup/saveset-history.js';
import { type SavesetRecord } from '../../src/contract/index.js';
import { chainRecord, SUBJECT } from './support/chain-records.js';

const members = (records: readonly SavesetRecord[]): string[] =>
  readHistory(records, SUBJECT).members.map(({ record }) => record.savesetId);

describe('saveset-history', () => {
  it('lists what can be built upon, oldest first, whatever the order it comes in', () => {
    const full = chainRecord('f');
    const first = chainRecord('i1', { ancestors: ['f'] });
    const second = chainRecord('i2', { ancestors: ['f', 'i1'] });
    expect(members([second, full, first])).to.deep.equal(['f', 'i1', 'i2']);
  });

  it('finds the full that a chain begins with, and a full is its own', () => {
    const history = readHistory([chainRecord('f'), chainRecord('i', { ancestors: ['f'] })], SUBJECT);
    expect(history.members.map((member) => rootOf(member, history)?.record.savesetId)).to.deep.equal(['f', 'f']);
  });

  const foreign: readonly (readonly [what: string, record: SavesetRecord])[] = [
    ['of another machine', chainRecord('x', { source: { id: 'other' } })],
    ['of another kind', chainRecord('x', { source: { kind: 'template' } })],
    ['from another pool', chainRecord('x', { source: { originId: 'other' } })],
    ['of another provider', chainRecord('x', { providerId: 'memory' })],
  ];
  for (const [what, record] of foreign) {
    it(`leaves out a saveset ${what}`, () => {
      const history = readHistory([record], SUBJECT);
      expect(history).to.deep.include({ hasChain: false, members: [] });
      expect(history.ids.size).to.equal(0);
    });
  }

  it('builds on no copy and on no archive, but knows of both', () => {
    const history = readHistory([chainRecord('c', { level: 'copy' }), chainRecord('x', { form: 'xva' })], SUBJECT);
    expect(history).to.deep.include({ hasChain: false, members: [] });
    expect([...history.ids]).to.deep.equal(['c', 'x']);
  });

  it('goes on where it was after a clock was wrong for one backup', () => {
    const ahead = { ...chainRecord('i1', { ancestors: ['f'] }), createdAt: '2030-01-01T00:00:00.000Z' };
    const right = chainRecord('i2', { ancestors: ['f', 'i1'], supersedes: ['i1'] });
    for (const full of [chainRecord('f'), { ...chainRecord('f'), createdAt: '2031-01-01T00:00:00.000Z' }]) {
      const history = readHistory([full, ahead, right], SUBJECT);
      expect(newestOf(history)?.record.savesetId).to.equal('i2');
    }
  });

  it('names no more savesets than a record can hold, and among them what may still have a base', () => {
    const full = chainRecord('f');
    const nightly = Array.from({ length: 5000 }, (_, night) => chainRecord(`d${night}`, { ancestors: ['f'] }));
    const ids = [...readHistory([full, ...nightly], SUBJECT).ids];
    expect(chainOf(chainRecord('n', { ancestors: ['f'], supersedes: ids }))?.supersedes).to.deep.equal(ids);
    expect(ids).to.include.members(['f', 'd4999', 'd4500']);
  });

  it('does not build on a chain with a member missing, nor on one that does not hang together', () => {
    const full = chainRecord('f');
    const lost = chainRecord('i2', { ancestors: ['f', 'i1'] });
    const crooked = { ...chainRecord('i3', { ancestors: ['f'] }), parentSavesetId: 'elsewhere' };
    const history = readHistory([full, lost, crooked], SUBJECT);
    expect(history.members.map(({ record }) => record.savesetId)).to.deep.equal(['f']);
    expect(history.hasChain).to.equal(true);
  });

  it('takes a record whose details it does not understand for no chain', () => {
    expect(members([{ ...chainRecord('f'), details: { version: 9 } }])).to.deep.equal([]);
  });
});
