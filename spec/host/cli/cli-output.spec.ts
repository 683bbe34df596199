import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { BackupError } from '../../../src/contract/index.js';
import { CliOutput, type TextStream } from '../../../src/host/cli/cli-output.js';
import { Redactor } from '../../../src/host/redaction.js';

function written(terminal: { readonly columns: number } | undefined, use: (output: CliOutput) => void): string[] {
  const stream = new PassThrough();
  const out: TextStream = Object.assign(stream, { isTTY: terminal !== undefined, columns: terminal?.columns ?? 0 });
  const environment = { NO_COLOR: '1' };
  use(new CliOutput({ out, err: stream, environment, isJson: false, isDebug: false, redactor: new Redactor() }));
  return String(stream.read()).trimEnd().split('\n');
}

describe('CliOutput', () => {
  describe('table', () => {
    const rows = [['web-01', 'powerState: running, disks: 2, host: host-a']];
    const table = (output: CliOutput): void => {
      output.table(['NAME', 'FACTS'], rows, { cutsLast: true });
    };

    it('ends the last column where the terminal ends', () => {
      expect(written({ columns: 40 }, table)).to.deep.equal([
        'NAME    FACTS',
        'web-01  powerState: running, disks: 2, …',
      ]);
      expect(written({ columns: 40 }, table)[1]).to.have.length(40);
    });

    it('cuts nothing in a pipe, on a wide terminal, on one that is hopelessly narrow, or when not asked to', () => {
      for (const terminal of [undefined, { columns: 200 }, { columns: 12 }]) {
        expect(written(terminal, table)[1]).to.equal(`web-01  ${rows[0]![1]!}`);
      }
      const whole = written({ columns: 40 }, (output) => {
        output.table(['NAME', 'FACTS'], rows);
      });
      expect(whole[1]).to.include('host: host-a');
    });

    it('aligns numbers to the right', () => {
      const lines = written(undefined, (output) => {
        output.table(
          ['NAME', 'SIZE', 'KIND'],
          [
            ['a', '5 B', 'disk'],
            ['b', '500 B', 'disk'],
          ],
          { right: [1] },
        );
      });
      expect(lines[1]).to.equal('a       5 B  disk');
    });
  });

  describe('failure', () => {
    it('says the code, the sentence, the hint, and the certificate that was refused', () => {
      const error = new BackupError('SOURCE_UNTRUSTED', 'Not trusted.', {
        hint: 'Compare.',
        context: { fingerprint: 'AB:CD' },
      });
      const lines = written(undefined, (output) => {
        output.failure(error);
      });
      expect(lines).to.deep.equal([
        'error SOURCE_UNTRUSTED: Not trusted.',
        'hint: Compare.',
        '  The server showed SHA-256 AB:CD',
      ]);
    });
  });
});
