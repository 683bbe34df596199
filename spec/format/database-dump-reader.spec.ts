import { expect } from 'chai';
import fc from 'fast-check';
import { DatabaseDumpReader, type DatabaseDumpSummary } from '../../src/format/database-dump-reader.js';
import { FormatError } from '../../src/format/format-error.js';
import { captured } from '../support/captured.js';

const real = captured('pool-database.xml');
const MANIFEST =
  '<manifest><pair key="schema_major_vsn" value="5"/><pair key="schema_minor_vsn" value="779"/><pair key="generation_count" value="9"/></manifest>';
const SMALL = `<?xml version="1.0"?>\n<database>${MANIFEST}<table name="pool"><row ref="OpaqueRef:1" uuid="p" name_label="a > b &amp; ü"/></table><table name="host"><row ref='OpaqueRef:2' uuid='h'/></table><table name="task"/></database>`;
const PAGE =
  'HTTP/1.1 500 Internal Error\r\nconnection: close\r\n\r\n<html><body><h1>HTTP 500 internal server error</h1><h1>Additional information</h1>INTERNAL_ERROR: [ Db_gone ]</body></html>';

function read(bytes: Buffer, pieceBytes = bytes.length): DatabaseDumpSummary {
  const reader = new DatabaseDumpReader();
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return reader.end();
}

function damageOf(text: string): FormatError {
  try {
    read(Buffer.from(text));
  } catch (error) {
    expect(error).to.be.instanceOf(FormatError);
    return error as FormatError;
  }
  return expect.fail('the damage was not seen');
}

describe('DatabaseDumpReader', () => {
  it('reads the database of a real XAPI', () => {
    const summary = read(real);
    expect(summary).to.include({ bytes: real.length, schemaMajor: 5, schemaMinor: 779, generation: 3987 });
    expect([summary.poolIds.length, summary.hostIds.length]).to.deep.equal([1, 1]);
    expect(summary.rowCounts.get('session')).to.equal(undefined);
    expect(summary.rowCounts.get('VM')).to.be.greaterThan(1);
  });

  it('finds the same however the data is cut into pieces', () => {
    const expected = read(Buffer.from(SMALL));
    expect(expected).to.deep.include({ poolIds: ['p'], hostIds: ['h'], generation: 9 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: SMALL.length }), (pieceBytes) => {
        expect(read(Buffer.from(SMALL), pieceBytes)).to.deep.equal(expected);
      }),
    );
  });

  it('notices wherever a dump breaks off', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: real.length - 1 }), (length) => {
        expect(() => read(real.subarray(0, length), 8192)).to.throw(FormatError);
      }),
    );
  });

  it('finds the pool’s error page at the start, in the middle and behind the end', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SMALL.length }), fc.integer({ min: 1, max: 999 }), (at, pieceBytes) => {
        const text = Buffer.from(SMALL.slice(0, at) + PAGE);
        let found: unknown;
        try {
          read(text, pieceBytes);
        } catch (error) {
          found = error;
        }
        expect(found).to.be.instanceOf(FormatError);
        expect((found as FormatError).xapiError).to.deep.equal({ code: 'INTERNAL_ERROR', params: ['Db_gone'] });
      }),
    );
  });

  const damages: readonly (readonly [string, string])[] = [
    ['an empty answer', ''],
    ['another document', '<value>1</value>'],
    ['text between the elements', SMALL.replace('<table name="host">', 'x<table name="host">')],
    ['a row outside of a table', SMALL.replace('<table name="task"/>', '<row ref="a"/>')],
    ['an end that fits no beginning', SMALL.replace('</table>', '</row>')],
    ['an attribute without quotes', SMALL.replace('uuid="p"', 'uuid=p')],
    ['a tag within a value', SMALL.replace('uuid="p"', 'uuid="<p>"')],
    ['a row without a reference', SMALL.replace('ref="OpaqueRef:1" ', '')],
    ['a second document', SMALL + SMALL.slice(SMALL.indexOf('<database>'))],
    ['an entity declaration', SMALL.replace('<database>', '<!DOCTYPE x [<!ENTITY a "b">]><database>')],
    ['no generation', SMALL.replace('generation_count', 'other')],
  ];
  for (const [what, text] of damages) {
    it(`refuses ${what}`, () => {
      expect(damageOf(text).xapiError).to.equal(undefined);
    });
  }

  it('never repeats what a row holds', () => {
    const { message } = damageOf(SMALL.replace('uuid="p"', 'uuid=hunter2'));
    expect(message).not.to.include('hunter2');
  });

  it('gathers no endless tag', () => {
    const reader = new DatabaseDumpReader({ maxTagBytes: 1000 });
    const endless = Buffer.from(`<database>${MANIFEST}<table name="${'x'.repeat(2000)}`);
    expect(() => {
      reader.push(endless);
    }).to.throw(FormatError, /does not end/);
  });
});
