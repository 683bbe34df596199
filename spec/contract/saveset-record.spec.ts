import { expect } from 'chai';
import fc from 'fast-check';
import { isBackupError, parseSavesetRecord, type SavesetRecord } from '../../src/contract/index.js';
import { savesetRecord } from './support/saveset-record.js';

function outcomeOf(value: unknown): string {
  try {
    parseSavesetRecord(value);
    return 'accepted';
  } catch (error) {
    if (!isBackupError(error)) throw error;
    return error.code;
  }
}

describe('parseSavesetRecord', () => {
  it('reads its own JSON back, word for word', () => {
    const record = savesetRecord();
    expect(parseSavesetRecord(JSON.stringify(record))).to.deep.equal(record);
    expect(parseSavesetRecord(record)).to.deep.equal(record);
  });

  const [item] = savesetRecord().items;
  const wrong: Readonly<Record<string, object>> = {
    'a later version': { version: 2 },
    'an id that leaves its folder': { savesetId: '../up' },
    'an id that starts with a dot': { savesetId: '.hidden' },
    'an item name with a slash': { items: [{ ...item, name: 'a/b' }] },
    'an item name that starts with a dot': { items: [{ ...item, name: '..' }] },
    'a digest in capitals': { items: [{ ...item, sha256: 'A'.repeat(64) }] },
    'a negative size': { items: [{ ...item, bytes: -1 }] },
    'a size that is not exact': { items: [{ ...item, bytes: 2 ** 60 }] },
    'a date that is none': { createdAt: 'yesterday' },
    'a key that nobody knows': { extra: 1 },
  };
  for (const [what, change] of Object.entries(wrong)) {
    it(`refuses ${what}`, () => {
      expect(outcomeOf({ ...savesetRecord(), ...change })).to.equal('SAVESET_INVALID');
    });
  }

  it('never throws anything but SAVESET_INVALID', () => {
    fc.assert(fc.property(fc.anything(), (value) => ['accepted', 'SAVESET_INVALID'].includes(outcomeOf(value))));
    fc.assert(fc.property(fc.string(), (text) => outcomeOf(text) === 'SAVESET_INVALID'));
    const text = JSON.stringify(savesetRecord());
    fc.assert(fc.property(fc.nat(text.length - 1), (at) => outcomeOf(text.slice(0, at)) === 'SAVESET_INVALID'));
    const fields = Object.keys(savesetRecord()) as (keyof SavesetRecord)[];
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.anything(), (field, value) =>
        ['accepted', 'SAVESET_INVALID'].includes(outcomeOf({ ...savesetRecord(), [field]: value })),
      ),
    );
  });
});
