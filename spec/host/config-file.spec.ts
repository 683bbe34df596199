import { expect } from 'chai';
import fc from 'fast-check';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';
import { isBackupError } from '../../src/contract/index.js';
import { defaultConfig, readConfigFile } from '../../src/host/config-file.js';
import { locateInJson, positionAt, syntaxErrorPosition } from '../../src/host/json-locator.js';
import { expectCode } from '../contract/support/run-operation.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

describe('readConfigFile', () => {
  const folder = useTemporaryFolder();
  const path = (): string => join(folder(), 'xen-backup.config.json');
  const write = (text: string): string => {
    writeFileSync(path(), text);
    return path();
  };

  it('fills in defaults and makes paths absolute', async () => {
    const config = await readConfigFile(
      write(
        '{ "repository": "savesets", "plugins": ["xen-backup-source", "p/plugin.manifest.json"], "clients": { "a": { "settings": {} } } }',
      ),
    );
    expect(config.repository).to.equal(join(folder(), 'savesets'));
    expect(config.plugins).to.deep.equal([
      join(packageRoot(), 'plugin.manifest.json'),
      join(folder(), 'p', 'plugin.manifest.json'),
    ]);
    expect(config.clients.a).to.deep.equal({ settings: {}, backupOptions: {}, restoreOptions: {} });
  });

  it('has our own plugin and no client by default', () => {
    expect(defaultConfig()).to.deep.equal({ plugins: [join(packageRoot(), 'plugin.manifest.json')], clients: {} });
  });

  const wrong: readonly (readonly [what: string, text: string, message: RegExp])[] = [
    ['a comma too many', '{\n  "clients": {},\n}', /config\.json:3:1: this is not JSON/],
    ['a text that ends too early', '{\n  "clients": {', /config\.json:2:\d+: this is not JSON/],
    [
      'an unknown key',
      '{\n  "clients": {\n    "a": {\n      "settings": {},\n      "pasword": "hunter22"\n    }\n  }\n}',
      /:5: clients\.a has a key that is not known: pasword/,
    ],
    ['a missing key', '{\n  "clients": {\n    "a": {\n    }\n  }\n}', /:3: clients\.a\.settings must be an object/],
    ['a wrong type', '{\n  "repository": 5 }', /:2: repository must be string/],
    ['an empty list', '{\n\n  "plugins": [] }', /:3: plugins: /],
    ['a list instead of the whole', '[]', /:1: the file must be object/],
    [
      'a default client that is not there',
      '{\n  "clients": {},\n  "defaultClient": "x"\n}',
      /:3: defaultClient is "x"/,
    ],
  ];
  for (const [what, text, message] of wrong) {
    it(`names file and line of ${what}`, async () => {
      const error = await expectCode(readConfigFile(write(text)), 'CONFIG_INVALID');
      expect(error.message).to.match(message).and.not.contain('hunter22');
    });
  }

  it('says that the file is not there, or not a file', async () => {
    const missing = await expectCode(readConfigFile(path()), 'CONFIG_INVALID');
    expect(missing.hint).to.contain('--config');
    const unreadable = await expectCode(readConfigFile(folder()), 'CONFIG_INVALID');
    expect(unreadable.hint).to.contain('rights');
  });

  it('never fails with anything but CONFIG_INVALID', async () => {
    const outcome = (text: string): Promise<string> =>
      readConfigFile(write(text)).then(
        () => 'accepted',
        (error: unknown) => (isBackupError(error) ? error.code : 'a foreign error'),
      );
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) =>
        ['accepted', 'CONFIG_INVALID'].includes(await outcome(text)),
      ),
      { numRuns: 60 },
    );
  });
});

describe('locateInJson', () => {
  const text = '{\n  "a": [\n    1,\n    { "b\\"c": true }\n  ],\n  "d": {},\n  "a,": "x:{"\n}';
  const cases: readonly (readonly [path: PropertyKey[], line: number])[] = [
    [[], 1],
    [['a'], 2],
    [['a', 0], 3],
    [['a', 1], 4],
    [['a', 1, 'b"c'], 4],
    [['d'], 6],
    [['d', 'missing', 'deeper'], 6],
    [['a,'], 7],
    [['missing'], 1],
  ];
  for (const [path, line] of cases) {
    it(`finds ${JSON.stringify(path)} in line ${line}`, () => {
      expect(locateInJson(text, path).line).to.equal(line);
    });
  }

  it('finds every path of every JSON value in a line that holds it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), fc.string(), (value, key) => {
        const json = JSON.stringify({ before: value, [key]: 'the one' }, undefined, 1);
        const { line } = locateInJson(json, [key]);
        return (json.split('\n')[line - 1] ?? '').includes(JSON.stringify(key));
      }),
    );
  });

  it('survives a text that is no JSON at all', () => {
    expect(locateInJson('', ['a'])).to.deep.equal({ line: 1, column: 1 });
    expect(locateInJson('{"a"', ['a', 'b']).line).to.equal(1);
  });

  it('counts lines and columns from one', () => {
    expect(positionAt('ab\ncd', 4)).to.deep.equal({ line: 2, column: 2 });
  });

  it('says nothing about a syntax error that names no place', () => {
    expect(syntaxErrorPosition('x', new SyntaxError('odd'))).to.equal(undefined);
    expect(syntaxErrorPosition('x', 'odd')).to.equal(undefined);
  });
});
