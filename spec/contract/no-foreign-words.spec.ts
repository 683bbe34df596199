import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';

const FOREIGN = /^(xen.*|xapi|xcp|vdis?|vbds?|vifs?|vhds?|xva|srs?|sruuid|pbds?|citrix|opaqueref)$/i;

/** The words of a text, names in camel case taken apart. */
function wordsOf(text: string): string[] {
  return (
    text
      .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
      .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
      .match(/[A-Za-z]+/g) ?? []
  );
}

describe('the contract', () => {
  const folder = join(packageRoot(), 'src', 'contract');
  const files = readdirSync(folder).filter((name) => name.endsWith('.ts'));

  it('has files to look at', () => {
    expect(files.length).to.be.at.least(10);
  });

  for (const file of files) {
    it(`knows no word of a particular source in ${file}`, () => {
      const words = wordsOf(readFileSync(join(folder, file), 'utf8'));
      expect(words.filter((word) => FOREIGN.test(word))).to.deep.equal([]);
    });
  }

  it('is looked at by a check that can fail', () => {
    const found = wordsOf('readVdiList of an SR; XapiClient, xenServer and vhd').filter((word) => FOREIGN.test(word));
    expect(found).to.deep.equal(['Vdi', 'SR', 'Xapi', 'xen', 'vhd']);
  });
});
