import { expect } from 'chai';
import fc from 'fast-check';
import { BackupError, isBackupError, parsePluginManifest } from '../../src/contract/index.js';

const valid = (more: object = {}): object => ({
  id: 'a-plugin',
  displayName: 'A plugin',
  version: '1.2.3',
  apiVersion: '1.0',
  main: './index.js',
  contributes: { sources: [{ id: 'a', displayName: 'A' }] },
  ...more,
});

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    if (!isBackupError(error)) throw error;
    return error.code;
  }
}

describe('parsePluginManifest', () => {
  it('fills in the lists that are left out', () => {
    const { contributes, configSchema } = parsePluginManifest(valid());
    expect(contributes).to.deep.equal({ sources: [{ id: 'a', displayName: 'A' }], browsers: [], restoreHandlers: [] });
    expect(configSchema).to.deep.equal({});
  });

  const versions: readonly (readonly [plugin: string, host: string, outcome: string])[] = [
    ['1.0', '1.0', 'accepted'],
    ['1.2', '1.3', 'accepted'],
    ['1.3', '1.2', 'API_VERSION_UNSUPPORTED'],
    ['1.10', '1.9', 'API_VERSION_UNSUPPORTED'],
    ['2.0', '1.9', 'API_VERSION_UNSUPPORTED'],
    ['1.0', '2.0', 'API_VERSION_UNSUPPORTED'],
  ];
  for (const [plugin, host, outcome] of versions) {
    it(`of a plugin for ${plugin} on a host with ${host}: ${outcome}`, () => {
      expect(codeOf(() => parsePluginManifest(valid({ apiVersion: plugin }), host))).to.equal(outcome);
    });
  }

  const wrong: Readonly<Record<string, object>> = {
    'an unknown key': { mian: './x.js' },
    'an id with a slash': { id: 'a/b' },
    'an id that climbs': { id: '../a' },
    'a version without numbers': { version: 'latest' },
    'an apiVersion with a patch level': { apiVersion: '1.0.0' },
    'a restore handler without kinds': { contributes: { restoreHandlers: [{ id: 'a', displayName: 'A', kinds: [] }] } },
    'no main': { main: '' },
  };
  for (const [what, change] of Object.entries(wrong)) {
    it(`refuses ${what}`, () => {
      expect(codeOf(() => parsePluginManifest(valid(change)))).to.equal('MANIFEST_INVALID');
    });
  }

  it('never throws anything but a BackupError', () => {
    fc.assert(
      fc.property(fc.anything(), (value) =>
        ['accepted', 'MANIFEST_INVALID'].includes(codeOf(() => parsePluginManifest(value))),
      ),
    );
    const fields = fc.constantFrom(
      'id',
      'displayName',
      'version',
      'apiVersion',
      'main',
      'contributes',
      'configSchema',
      'x',
    );
    fc.assert(
      fc.property(fields, fc.anything(), (field, value) => {
        const code = codeOf(() => parsePluginManifest(valid({ [field]: value })));
        return ['accepted', 'MANIFEST_INVALID', 'API_VERSION_UNSUPPORTED'].includes(code);
      }),
    );
  });
});

describe('BackupError', () => {
  it('tells itself as JSON without stack and cause', () => {
    const error = new BackupError('INTERNAL', 'It broke.', {
      hint: 'Try.',
      context: { a: 1 },
      cause: new TypeError('inner'),
    });
    expect(JSON.parse(JSON.stringify(error))).to.deep.equal({
      code: 'INTERNAL',
      message: 'It broke.',
      hint: 'Try.',
      isRetriable: false,
      context: { a: 1 },
    });
    expect(error.cause).to.be.instanceOf(TypeError);
  });

  it('is recognised by its brand, whichever copy made it', () => {
    const foreign = Object.assign(new Error('x'), { [Symbol.for('backup-host/v1/BackupError')]: true });
    expect([foreign, new BackupError('INTERNAL', 'x')].every(isBackupError)).to.equal(true);
    expect([new Error('x'), undefined, null, 'x', {}].some(isBackupError)).to.equal(false);
  });
});
