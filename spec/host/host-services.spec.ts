import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HostServices } from '../../src/contract/index.js';
import { createHostServices, type LogLevel } from '../../src/host/host-services.js';
import { Redactor } from '../../src/host/redaction.js';
import { expectCode } from '../contract/support/run-operation.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

describe('createHostServices', () => {
  const folder = useTemporaryFolder();
  let lines: string[];

  const services = (logLevel: LogLevel = 'info'): HostServices => {
    lines = [];
    return createHostServices({
      hostId: 'host-1',
      logLevel,
      redactor: new Redactor(),
      environment: { PASSWORD: 'hunter22', EMPTY: '' },
      folder: folder(),
      writeLog: (line) => lines.push(line),
    });
  };

  describe('logger', () => {
    it('writes one line a message, with its fields', () => {
      const { logger } = services();
      logger.info('opened', { client: 'a' });
      logger.child({ part: 'browser' }).warn('slow');
      logger.debug('not at this level');
      expect(lines).to.have.length(2);
      expect(lines[0]).to.match(/^\d{4}-\d\d-\d\dT[\d:.]+Z info {2}opened \{"client":"a"\}$/);
      expect(lines[1]).to.match(/warn {2}slow \{"part":"browser"\}$/);
    });

    it('leaves out what the level does not want', () => {
      const { logger } = services('error');
      logger.warn('no');
      logger.error('yes');
      expect(lines.map((line) => line.split(' ').at(-1))).to.deep.equal(['yes']);
    });

    it('never shows a secret that was resolved, nor a field that names one', async () => {
      const host = services();
      const { logger } = host;
      expect(await host.resolveSecret('env:PASSWORD')).to.equal('hunter22');
      logger.info('logging in with hunter22', { sessionRef: 'OpaqueRef:1', deep: { note: 'hunter22' } });
      expect(lines[0]).to.not.contain('hunter22').and.not.contain('OpaqueRef');
    });
  });

  describe('resolveSecret', () => {
    it('reads a file, without the line break at its end', async () => {
      writeFileSync(join(folder(), 'secret'), ' two words \r\n');
      const host = services();
      expect(await host.resolveSecret('file:secret')).to.equal(' two words ');
      expect(await host.resolveSecret(`file:${join(folder(), 'secret')}`)).to.equal(' two words ');
    });

    for (const reference of [
      'env:NOTHING',
      'env:EMPTY',
      'file:/does/not/exist',
      'file:empty',
      'hunter22',
      'vault:x',
      'env:',
    ]) {
      it(`refuses ${reference}`, async () => {
        writeFileSync(join(folder(), 'empty'), '\n');
        const error = await expectCode(services().resolveSecret(reference), 'CREDENTIALS_UNAVAILABLE');
        expect(error.message).to.not.contain('hunter22');
      });
    }
  });
});
