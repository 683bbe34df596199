import { expect } from 'chai';
import { tableLines, textWidth } from '../../../src/host/cli/text-table.js';

const plain = (rows: readonly (readonly string[])[]): { readonly text: string }[][] =>
  rows.map((row) => row.map((text) => ({ text })));

describe('text table', () => {
  describe('tableLines', () => {
    it('puts columns below each other, numbers to the right, and leaves no space at the end of a line', () => {
      const rows = plain([
        ['NAME', 'SIZE', 'FACTS'],
        ['web-01', '5 B', ''],
        ['db', '500 B', 'halted'],
      ]);
      expect(tableLines(rows, [1])).to.deep.equal(['NAME     SIZE  FACTS', 'web-01    5 B', 'db      500 B  halted']);
    });

    it('measures the text and not its paint', () => {
      const paint = (text: string): string => `<${text}>`;
      expect(
        tableLines([
          [{ text: 'a', paint }, { text: 'b' }],
          [{ text: 'long' }, { text: 'c' }],
        ]),
      ).to.deep.equal(['<a>     b', 'long  c']);
    });

    it('lays out as many rows as a large pool has', () => {
      const many = Array.from({ length: 200_000 }, (_, row) => [`machine ${row}`, 'vm']);
      const lines = tableLines(plain(many));
      expect(lines).to.have.length(200_000);
      expect(lines[0]).to.equal('machine 0       vm');
      expect(lines.at(-1)).to.equal('machine 199999  vm');
    });

    it('has rows that are shorter than others', () => {
      expect(tableLines(plain([['a', 'b'], ['long']]))).to.deep.equal(['a     b', 'long']);
      expect(tableLines([])).to.deep.equal([]);
    });
  });

  describe('textWidth', () => {
    it('counts places of a terminal', () => {
      const widths = { '': 0, abc: 3, Zürich: 6, 'Zu\u0308rich': 6, 数据库: 6, '🙂 ok': 5, 'a\u200db': 2, '…': 1 };
      for (const [text, width] of Object.entries(widths)) expect(textWidth(text), text).to.equal(width);
    });
  });
});
