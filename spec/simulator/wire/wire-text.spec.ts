import { expect } from 'chai';
import fc from 'fast-check';
import { jsonAnswer, xmlAnswer } from '../../../src/simulator/wire/answers.js';
import { parseJsonCall } from '../../../src/simulator/wire/json-call.js';
import { toJsonText } from '../../../src/simulator/wire/json-text.js';
import { type RpcValue } from '../../../src/simulator/wire/rpc-value.js';
import { parseXmlCall } from '../../../src/simulator/wire/xml-call.js';
import { toXmlText } from '../../../src/simulator/wire/xml-text.js';

const CASES: readonly (readonly [name: string, value: RpcValue, xml: string, json: string])[] = [
  ['a string', { tag: 'string', value: 'a<b>&"é☃' }, '<value>a&lt;b&gt;&amp;&quot;é☃</value>', '"a<b>&\\"é☃"'],
  ['a 64-bit integer', { tag: 'int64', value: 1073741824 }, '<value>1073741824</value>', '1073741824'],
  ['a 32-bit integer', { tag: 'int32', value: 3 }, '<value><i4>3</i4></value>', '3'],
  ['a whole float', { tag: 'float', value: 1 }, '<value><double>1</double></value>', '1.0'],
  ['a float', { tag: 'float', value: 0.125 }, '<value><double>0.125</double></value>', '0.125'],
  ['a boolean', { tag: 'bool', value: false }, '<value><boolean>0</boolean></value>', 'false'],
  [
    'a date',
    { tag: 'date', value: '19700101T00:00:00Z' },
    '<value><dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601></value>',
    '"19700101T00:00:00Z"',
  ],
  ['an empty set', { tag: 'list', items: [] }, '<value><array><data></data></array></value>', '[]'],
  [
    'a map',
    { tag: 'struct', members: [['acpi', { tag: 'string', value: '1' }]] },
    '<value><struct><member><name>acpi</name><value>1</value></member></struct></value>',
    '{"acpi":"1"}',
  ],
];

describe('wire texts', () => {
  for (const [name, value, xml, json] of CASES) {
    it(`spells ${name} as XAPI does`, () => {
      expect([toXmlText(value), toJsonText(value)]).to.deep.equal([xml, json]);
    });
  }

  it('leaves out control characters that XML cannot carry', () => {
    expect(toXmlText({ tag: 'string', value: 'a\u0001\tb\n' })).to.equal('<value>a\tb\n</value>');
  });

  it('reads back any text it wrote into a call', () => {
    const isXmlText = (value: string): boolean =>
      Array.from(value).every(
        (one) => one === '\t' || one === '\n' || (one >= ' ' && !/[\p{Cs}\ufffe\uffff]/u.test(one)),
      );
    const text = fc.string({ unit: 'binary' }).filter(isXmlText);
    fc.assert(
      fc.property(text, (value) => {
        const body = `<methodCall><methodName>VM.x</methodName><params><param>${toXmlText({ tag: 'string', value })}</param></params></methodCall>`;
        expect(parseXmlCall(body)).to.deep.equal({ method: 'VM.x', params: [{ tag: 'string', value }] });
      }),
    );
  });
});

describe('parseXmlCall', () => {
  const withValue = (value: string): string =>
    `<?xml version='1.0'?>\n<methodCall>\n<methodName>VM.x</methodName>\n<params><param>\n${value}\n</param></params>\n</methodCall>\n`;

  it('takes typed and untyped values, as Python and XenCenter send them', () => {
    const read = (value: string): unknown => parseXmlCall(withValue(value)).params[0];
    expect(read('<value>  two </value>')).to.deep.equal({ tag: 'string', value: '  two ' });
    expect(read('<value><string></string></value>')).to.deep.equal({ tag: 'string', value: '' });
    expect(read('<value><i8>5</i8></value>')).to.deep.equal({ tag: 'int64', value: 5 });
    expect(read('<value><boolean>1</boolean></value>')).to.deep.equal({ tag: 'bool', value: true });
    expect(read('<value><nil/></value>')).to.deep.equal({ tag: 'nil' });
    expect(read('<value><array><data>\n<value><string>a</string></value>\n</data></array></value>')).to.deep.equal({
      tag: 'list',
      items: [{ tag: 'string', value: 'a' }],
    });
    expect(read('<value><struct><member><name>k</name><value>v</value></member></struct></value>')).to.deep.equal({
      tag: 'struct',
      members: [['k', { tag: 'string', value: 'v' }]],
    });
  });

  it('tells what is no XML from what is cut short', () => {
    expect(() => parseXmlCall('{"id":1}')).to.throw('expected root element');
    expect(() => parseXmlCall('<methodCall><methodName>VM.get_all</methodName>')).to.throw('unexpected end of input');
  });
});

describe('parseJsonCall', () => {
  it('refuses a call without an id, a batch and other versions in XAPI’s words', () => {
    expect(() => parseJsonCall('{"method":"VM.get_all","params":[]}')).to.throw("Invalid field 'id' in request body");
    expect(() => parseJsonCall('[]')).to.throw('Invalid request body');
    expect(() => parseJsonCall('{"jsonrpc":"1.0","id":1,"method":"x","params":[]}')).to.throw(
      "Invalid field 'jsonrpc'",
    );
    expect(() => parseJsonCall('')).to.throw('Blank input data');
  });
});

describe('answers', () => {
  const failure = { isSuccess: false, description: ['HANDLE_INVALID', 'VM', 'x'] } as const;

  it('carry errors as a list in JSON-RPC 1.0 and as an object in 2.0', () => {
    expect(jsonAnswer({ version: '1.0', id: 7 }, failure)).to.equal(
      '{"result":null,"error":["HANDLE_INVALID","VM","x"],"id":7}',
    );
    expect(jsonAnswer({ version: '2.0', id: 'a' }, failure)).to.equal(
      '{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","x"]},"id":"a"}',
    );
  });

  it('carry errors as a struct with Status in XML-RPC, never as a fault', () => {
    expect(xmlAnswer(failure)).to.equal(
      '<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name><value>Failure</value></member><member><name>ErrorDescription</name><value><array><data><value>HANDLE_INVALID</value><value>VM</value><value>x</value></data></array></value></member></struct></value></param></params></methodResponse>',
    );
  });
});
