import { expect } from 'chai';
import { inspect } from 'node:util';
import { Credentials } from '../../src/session/credentials.js';

describe('Credentials', () => {
  const credentials = new Credentials('root', 'hunter22');

  it('gives the password only when asked for it', () => {
    expect(credentials.reveal()).to.equal('hunter22');
  });

  it('hides it everywhere else, and shows the user', () => {
    const shown = [
      JSON.stringify({ credentials }),
      inspect({ credentials }),
      String(credentials),
      Object.values(credentials).join(),
    ];
    expect(shown.join()).not.to.contain('hunter22');
    for (const one of shown) expect(one).to.contain('root');
  });
});
