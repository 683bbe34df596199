import { inspect } from 'node:util';
import { expect } from 'chai';
import { BackupError } from '../../src/contract/index.js';
import { redactingLogger, Redactor } from '../../src/session/redact.js';
import { Credentials } from '../../src/session/credentials.js';
import { RecordingLogger } from '../support/recording-logger.js';

const SESSION = 'OpaqueRef:5e55-10n';

describe('Redactor', () => {
  const redactor = new Redactor();
  redactor.addSecret('hunter22');
  redactor.addSecret(SESSION);
  redactor.addSecret('abc');

  it('takes known secrets and session ids out of texts, plain and percent-encoded', () => {
    const text = redactor.text(
      `GET /export?session_id=OpaqueRef%3Aother&x=1 ${SESSION} ${encodeURIComponent(SESSION)} hunter22`,
    );
    expect(text).to.equal('GET /export?session_id=<hidden>&x=1 <hidden> <hidden> <hidden>');
  });

  it('leaves texts alone in which a very short secret appears', () => {
    expect(redactor.text('abcdef')).to.equal('abcdef');
  });

  it('hides fields by name and secrets by value, at every depth', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const fields = redactor.fields({
      password: 'anything',
      nested: { sessionId: 'x', list: [SESSION, 1, null], deeper: { cookie: 'x' } },
      error: Object.assign(new Error(`bad ${SESSION}`), { code: 'E' }),
      plainError: new Error('hunter22'),
      credentials: new Credentials('root', 'hunter22'),
      sessionCount: 3,
      cyclic,
    });
    const shown = JSON.stringify(fields);
    for (const secret of ['anything', 'hunter22', SESSION]) expect(shown).not.to.contain(secret);
    expect(fields.sessionCount).to.equal(3);
    expect(fields.nested).to.deep.equal({
      sessionId: '<hidden>',
      list: ['<hidden>', 1, null],
      deeper: { cookie: '<hidden>' },
    });
    expect(fields.error).to.deep.equal({ name: 'Error', message: 'bad <hidden>', code: 'E' });
    expect(fields.plainError).to.deep.equal({ name: 'Error', message: '<hidden>' });
  });

  describe('error', () => {
    const failed = (text: string, cause?: unknown): BackupError =>
      new BackupError('SOURCE_FAILED', `It said ${text}.`, {
        hint: `Look for ${text}.`,
        isRetriable: true,
        context: { xapiParams: ['a', text], xapiCode: 'INTERNAL_ERROR' },
        cause,
      });

    it('leaves an error without a secret as it is', () => {
      const error = failed('nothing', new TypeError('inner'));
      expect(redactor.error(error)).to.equal(error);
    });

    it('tells an error with a secret again, without it: message, hint, context and every cause', () => {
      const cause = new TypeError(`outer ${SESSION}`, { cause: new TypeError('inner hunter22') });
      const clean = redactor.error(failed(SESSION, cause));
      expect(inspect(clean, { depth: 10 }))
        .to.not.contain(SESSION)
        .and.not.contain('hunter22');
      expect(clean.toJSON()).to.deep.equal({
        code: 'SOURCE_FAILED',
        message: 'It said <hidden>.',
        hint: 'Look for <hidden>.',
        isRetriable: true,
        context: { xapiParams: ['a', '<hidden>'], xapiCode: 'INTERNAL_ERROR' },
      });
    });

    it('looks into causes even when the error itself is clean', () => {
      const clean = redactor.error(failed('nothing', new TypeError(SESSION)));
      expect(inspect(clean)).to.contain('TypeError').and.not.contain(SESSION);
    });
  });

  describe('redactingLogger', () => {
    it('redacts messages and fields on every level, and in children', () => {
      const host = new RecordingLogger();
      const logger = redactingLogger(host, redactor);
      logger.error('hunter22', { password: 'x' });
      logger.warn('hunter22');
      logger.info('a');
      logger.child({ part: 'p' }).debug(SESSION, { a: 1 });
      expect(host.lines).to.deep.equal([
        { level: 'error', message: '<hidden>', fields: { password: '<hidden>' } },
        { level: 'warn', message: '<hidden>', fields: undefined },
        { level: 'info', message: 'a', fields: undefined },
        { level: 'debug', message: '<hidden>', fields: { a: 1 } },
      ]);
    });
  });
});
