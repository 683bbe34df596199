import { expect } from 'chai';
import fc from 'fast-check';
import { FormatError } from '../../src/format/format-error.js';
import {
  isStruct,
  parseXmlRpcValue,
  serialiseXmlRpcValue,
  XmlRpcScalar,
  type XmlRpcStruct,
  type XmlRpcValue,
} from '../../src/format/xml-rpc-value.js';

const xmlText = fc
  .string({ unit: 'binary' })
  // What XML has no way to write.
  .filter((text) => !/(?![\t\n\r\u007f-\u009f])\p{Cc}|[\ufffe\uffff]|\p{Cs}/u.test(text));

const { value: anyValue } = fc.letrec<{ value: XmlRpcValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    xmlText,
    fc.boolean(),
    fc.bigInt().map((number) => new XmlRpcScalar('int', String(number))),
    fc.double().map((number) => new XmlRpcScalar('double', String(number))),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(xmlText, tie('value'), { maxKeys: 4, noNullPrototype: false }) as fc.Arbitrary<XmlRpcStruct>,
  ),
}));

const nested = (levels: number): string =>
  '<value><array><data>'.repeat(levels) + '<value>x</value>' + '</data></array></value>'.repeat(levels);

describe('XmlRpcValue', () => {
  describe('parseXmlRpcValue', () => {
    it('gives back what serialiseXmlRpcValue wrote', () => {
      fc.assert(
        fc.property(anyValue, (value) => {
          const written = serialiseXmlRpcValue(value);
          const read = parseXmlRpcValue(written);
          expect(serialiseXmlRpcValue(read)).to.equal(written);
          expect(plain(read)).to.deep.equal(plain(value));
        }),
      );
    });

    const readings: readonly (readonly [string, XmlRpcValue])[] = [
      ['<value>12582912</value>', '12582912'],
      ['<value></value>', ''],
      ['<value/>', ''],
      ['<value> </value>', ' '],
      ['<value><string> a </string></value>', ' a '],
      ['<value>&lt;a b=&quot;c&quot;&gt; &amp;amp; &apos;</value>', `<a b="c"> &amp; '`],
      ['<value>&#65;&#x42;&#13;</value>', 'AB\r'],
      ['<?xml version="1.0"?>\n<value>x</value>\n', 'x'],
      ['<value>\n <boolean>1</boolean>\n</value>', true],
      ['<value><boolean>0</boolean></value>', false],
      ['<value><i8>9223372036854775807</i8></value>', new XmlRpcScalar('i8', '9223372036854775807')],
      ['<value><nil/></value>', new XmlRpcScalar('nil', '')],
      ['<value><array><data></data></array></value>', []],
    ];
    for (const [text, value] of readings) {
      it(`reads ${JSON.stringify(text)}`, () => {
        expect(parseXmlRpcValue(text)).to.deep.equal(value);
      });
    }

    it('keeps member names that JavaScript objects are touchy about', () => {
      const struct = parseXmlRpcValue(
        '<value><struct><member><name>__proto__</name><value>a</value></member>' +
          '<member><name>constructor</name><value>b</value></member></struct></value>',
      );
      expect(isStruct(struct) && Object.entries(struct)).to.deep.equal([
        ['__proto__', 'a'],
        ['constructor', 'b'],
      ]);
      expect({}).not.to.have.property('a');
    });

    const refusals: readonly (readonly [string, string])[] = [
      ['nothing', ''],
      ['plain text', 'abc'],
      ['text before', 'x<value>a</value>'],
      ['text after', '<value>a</value>x'],
      ['text between', '<value>a</value>x<value>b</value>'],
      ['two values', '<value>a</value><value>b</value>'],
      ['another root', '<data></data>'],
      ['an open element', '<value>a'],
      ['an element left open', '<value><struct></value>'],
      ['a closing tag of another name', '<value>a</valuf>'],
      ['a closing tag too many', '<value>a</value></value>'],
      ['crossed tags', '<value><array><data></array></data></value>'],
      ['a stray bracket', '<value>a < b</value>'],
      ['an attribute', '<value a="b">c</value>'],
      ['a comment', '<value><!-- x -->a</value>'],
      ['CDATA', '<value><![CDATA[x]]></value>'],
      ['a document type', '<!DOCTYPE value [<!ENTITY a "b">]><value>a</value>'],
      ['an unknown entity', '<value>&nbsp;</value>'],
      ['an entity without an end', '<value>a & b</value>'],
      ['a character number beyond Unicode', '<value>&#x110000;</value>'],
      ['a character number without digits', '<value>&#;</value>'],
      ['an unknown type', '<value><float>1</float></value>'],
      ['two types', '<value><string>a</string><string>b</string></value>'],
      ['text beside a type', '<value>a<boolean>1</boolean></value>'],
      ['an element inside a scalar', '<value><string><b>a</b></string></value>'],
      ['a boolean of two', '<value><boolean>2</boolean></value>'],
      ['a member without value', '<value><struct><member><name>a</name></member></struct></value>'],
      ['a member without name', '<value><struct><member><value>a</value></member></struct></value>'],
      ['a member under another name', '<value><struct><field><name>a</name><value>b</value></field></struct></value>'],
      [
        'a member twice',
        `<value><struct>${'<member><name>a</name><value>b</value></member>'.repeat(2)}</struct></value>`,
      ],
      [
        'a member with two values',
        '<value><struct><member><name>a</name><value>b</value><value>c</value></member></struct></value>',
      ],
      ['an array without data', '<value><array></array></value>'],
      ['an array with two data', '<value><array><data></data><data></data></array></value>'],
      ['an array of something else', '<value><array><data><name>a</name></data></array></value>'],
      ['65 levels', nested(65)],
      ['thousands of levels', nested(5000)],
    ];
    for (const [what, text] of refusals) {
      it(`refuses ${what}`, () => {
        expect(() => parseXmlRpcValue(text)).to.throw(FormatError);
      });
    }

    it('reads 60 levels', () => {
      expect(serialiseXmlRpcValue(parseXmlRpcValue(nested(60)))).to.equal(nested(60));
    });

    it('refuses text that is too long before it looks at it', () => {
      expect(() => parseXmlRpcValue('<value>abc</value>', 17)).to.throw(FormatError, 'too long');
      expect(parseXmlRpcValue('<value>abc</value>', 18)).to.equal('abc');
    });

    it('throws FormatError and nothing else for any text', () => {
      const pieces = fc.constantFrom(
        '<value>',
        '</value>',
        '<struct>',
        '</struct>',
        '<array>',
        '<data>',
        'a',
        '&',
        ';',
        '<',
        '/>',
        '#text',
      );
      fc.assert(
        fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
          try {
            parseXmlRpcValue(parts.join(''));
          } catch (error) {
            expect(error).to.be.instanceOf(FormatError);
          }
        }),
      );
    });
  });

  describe('serialiseXmlRpcValue', () => {
    it('refuses a character that XML cannot carry', () => {
      for (const text of ['a\u0000', '\u001f', '\ufffe', '\ud800x']) {
        expect(() => serialiseXmlRpcValue(text)).to.throw(FormatError, 'cannot carry');
      }
    });
  });
});

/** Without prototypes, which deep equality looks at. */
function plain(value: XmlRpcValue): unknown {
  if (Array.isArray(value)) return value.map(plain);
  return isStruct(value)
    ? Object.entries(value)
        .map(([name, member]) => [name, plain(member)])
        .sort()
    : value;
}
