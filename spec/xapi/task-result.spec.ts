import { expect } from 'chai';
import { taskResultValues } from '../../src/xapi/task-result.js';

describe('taskResultValues', () => {
  const rows: readonly (readonly [result: string, values: readonly string[]])[] = [
    ['', []],
    ['<value></value>', []],
    ['<value>OpaqueRef:1</value>', ['OpaqueRef:1']],
    ['<value><string>a &amp; b</string></value>', ['a & b']],
    [
      '<value><array><data><value>OpaqueRef:1</value><value>OpaqueRef:2</value></data></array></value>',
      ['OpaqueRef:1', 'OpaqueRef:2'],
    ],
    ['<value><array><data></data></array></value>', []],
    ['OpaqueRef:1', ['OpaqueRef:1']],
  ];
  for (const [result, values] of rows) {
    it(`gives ${JSON.stringify(values)} for ${JSON.stringify(result)}`, () => {
      expect(taskResultValues(result)).to.deep.equal(values);
    });
  }
});
