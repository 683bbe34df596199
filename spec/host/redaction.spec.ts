import { expect } from 'chai';
import { Redactor } from '../../src/host/redaction.js';

describe('Redactor', () => {
  it('takes out every secret that it was told, wherever it is', () => {
    const redactor = new Redactor();
    redactor.add('hunter22');
    expect(redactor.text('pw=hunter22, again hunter22.')).to.equal('pw=***, again ***.');
    expect(redactor.value({ a: ['hunter22'], error: new TypeError('hunter22 is wrong') })).to.deep.equal({
      a: ['***'],
      error: '*** is wrong',
    });
  });

  it('does not tear words up for a secret that is very short', () => {
    const redactor = new Redactor();
    redactor.add('a');
    expect(redactor.text('a cat')).to.equal('a cat');
  });

  const texts: readonly (readonly [string, string])[] = [
    ['GET /export?session_id=OpaqueRef:12-34&ref=x', 'GET /export?session_id=***&ref=x'],
    ['Authorization: Basic cm9vdDpw', 'Authorization: Basic ***'],
    ['https://root:secret@host/path', 'https://root:***@host/path'],
    ['"url":"https://h:443","mail":"a@b"', '"url":"https://h:443","mail":"a@b"'],
    ['nothing to hide', 'nothing to hide'],
  ];
  for (const [text, shown] of texts) {
    it(`shows "${text}" as "${shown}"`, () => {
      expect(new Redactor().text(text)).to.equal(shown);
    });
  }

  it('hides the value of a key that names a secret, whatever it is', () => {
    const shown = new Redactor().value({
      password: 'x',
      sessionRef: 1,
      token: undefined,
      nested: { apiSecret: { a: 1 } },
      user: 'root',
      bytes: 5n,
      none: null,
    });
    expect(shown).to.deep.equal({
      password: '***',
      sessionRef: '***',
      token: undefined,
      nested: { apiSecret: '***' },
      user: 'root',
      bytes: '5',
      none: null,
    });
  });

  it('comes to an end with values that hold themselves', () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    expect(JSON.stringify(new Redactor().value(loop))).to.contain('...');
  });
});
