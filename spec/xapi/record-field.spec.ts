import { expect } from 'chai';
import fc from 'fast-check';
import {
  count,
  flag,
  isNullRef,
  NULL_REF,
  ref,
  refSet,
  text,
  textMap,
  textSet,
  word,
  xapiDateMs,
} from '../../src/xapi/record-field.js';

describe('record-field', () => {
  describe('text', () => {
    it('takes text as it is, and dates in the form that XAPI writes', () => {
      expect(text('a')).to.equal('a');
      expect(text(new Date('2026-08-21T02:00:23.000Z'))).to.equal('20260821T02:00:23Z');
    });

    it('gives numbers and booleans as text, and nothing for what is missing', () => {
      expect([text(1), text(true), text(undefined), text(null), text({})]).to.deep.equal(['1', 'true', '', '', '']);
    });
  });

  describe('count', () => {
    it('reads an integer the same from a number and from decimal text', () => {
      fc.assert(
        fc.property(fc.maxSafeInteger(), (value) => {
          expect(count(value)).to.equal(value);
          expect(count(String(value))).to.equal(value);
        }),
      );
    });

    it('gives 0 for what is no number', () => {
      expect([count(''), count('x'), count(undefined), count(Number.NaN)]).to.deep.equal([0, 0, 0, 0]);
    });
  });

  describe('flag', () => {
    it('knows every way of saying true, and takes everything else for false', () => {
      expect([true, 'true', '1', 1].map(flag)).to.deep.equal([true, true, true, true]);
      expect([false, 'false', '0', 0, '', undefined].map(flag)).to.deep.equal(Array(6).fill(false));
    });
  });

  describe('sets and maps', () => {
    it('are empty when missing or of another kind', () => {
      expect([textSet(undefined), textSet('x'), textMap([]), textMap(null), textMap('x')]).to.deep.equal([
        [],
        [],
        {},
        {},
        {},
      ]);
    });

    it('keep their entries', () => {
      expect(textSet(['a', 1])).to.deep.equal(['a', '1']);
      expect(textMap({ a: 'b', c: 2 })).to.deep.equal({ a: 'b', c: '2' });
      expect(refSet()(['OpaqueRef:1'])).to.deep.equal(['OpaqueRef:1']);
    });
  });

  describe('ref', () => {
    it('gives the null reference for every way of pointing to nothing', () => {
      expect([ref()(''), ref()(undefined), ref()(NULL_REF)]).to.deep.equal([NULL_REF, NULL_REF, NULL_REF]);
      expect(ref()('OpaqueRef:1')).to.equal('OpaqueRef:1');
      expect([isNullRef(NULL_REF), isNullRef(''), isNullRef('OpaqueRef:1')]).to.deep.equal([true, true, false]);
    });
  });

  describe('word', () => {
    it('lets words of later releases pass and falls back only when there is none', () => {
      expect([word<string>('a')('b'), word<string>('a')(undefined)]).to.deep.equal(['b', 'a']);
    });
  });

  describe('xapiDateMs', () => {
    it('reads both forms of a date, and 0 for no date', () => {
      const ms = Date.UTC(2026, 7, 21, 2, 0, 23);
      expect([xapiDateMs('20260821T02:00:23Z'), xapiDateMs('2026-08-21T02:00:23Z')]).to.deep.equal([ms, ms]);
      expect([xapiDateMs(''), xapiDateMs('19700101T00:00:00Z')]).to.deep.equal([0, 0]);
    });
  });
});
