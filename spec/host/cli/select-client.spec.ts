import { expect } from 'chai';
import { type HostConfig } from '../../../src/host/config-file.js';
import { parseProviderOption, providerOptions } from '../../../src/host/cli/common-options.js';
import { EXIT, exitCodeOf, worstOf } from '../../../src/host/cli/exit-code.js';
import { selectClient } from '../../../src/host/cli/select-client.js';
import { BACKUP_ERROR_CODES, isBackupError } from '../../../src/contract/index.js';

const client = { settings: { url: 'https://a' }, backupOptions: {}, restoreOptions: {} };
const config = (names: readonly string[], defaultClient?: string): HostConfig => ({
  plugins: ['p'],
  clients: Object.fromEntries(names.map((name) => [name, client])),
  ...(defaultClient === undefined ? {} : { defaultClient }),
});
const credentials = { XEN_BACKUP_USERNAME: 'root', XEN_BACKUP_PASSWORD: 'hunter22' };

function hintOf(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    if (!isBackupError(error)) throw error;
    expect(error.code).to.equal('CONFIG_INVALID');
    return error.hint ?? '';
  }
}

describe('selectClient', () => {
  it('takes the one that is named, the default, or the only one', () => {
    expect(selectClient(config(['a', 'b']), { client: 'b' }, {}).name).to.equal('b');
    expect(selectClient(config(['a', 'b'], 'a'), {}, {}).name).to.equal('a');
    expect(selectClient(config(['a']), {}, {})).to.deep.equal({ name: 'a', ...client });
  });

  it('refuses to guess, and says what there is', () => {
    expect(hintOf(() => selectClient(config(['a', 'b']), {}, {}))).to.contain('a, b');
    expect(hintOf(() => selectClient(config(['a']), { client: 'x' }, {}))).to.contain('a');
    expect(hintOf(() => selectClient(config([]), { client: 'x' }, {}))).to.contain('none');
    expect(hintOf(() => selectClient(config([]), {}, {}))).to.contain('--url');
  });

  it('makes a client of an address, with the password by reference only', () => {
    const made = selectClient(config([]), { url: 'https://xen1.example:8443/x' }, credentials);
    expect(made).to.deep.equal({
      name: 'xen1.example:8443',
      settings: { url: 'https://xen1.example:8443/x', username: 'root', password: 'env:XEN_BACKUP_PASSWORD' },
      backupOptions: {},
      restoreOptions: {},
    });
    expect(selectClient(config(['a']), {}, { ...credentials, XEN_BACKUP_URL: 'xen2' }).name).to.equal('xen2');
    expect(selectClient(config(['a']), { client: 'a' }, { ...credentials, XEN_BACKUP_URL: 'xen2' }).name).to.equal('a');
    expect(selectClient(config(['a']), {}, { XEN_BACKUP_URL: '' }).name).to.equal('a');
  });

  it('takes trust from options before the environment', () => {
    const trust = (options: object, environment: object = {}): unknown =>
      selectClient(config([]), { url: 'x', ...options }, { ...credentials, ...environment }).settings.trust;
    expect(trust({})).to.equal(undefined);
    expect(trust({ caFile: '/ca.pem' })).to.deep.equal({ caFile: '/ca.pem' });
    expect(trust({ fingerprint: ['AA', 'BB'] })).to.deep.equal({ fingerprints: ['AA', 'BB'] });
    expect(trust({}, { XEN_BACKUP_FINGERPRINT: 'AA,BB CC' })).to.deep.equal({ fingerprints: ['AA', 'BB', 'CC'] });
    expect(trust({}, { XEN_BACKUP_CA_FILE: '/ca.pem' })).to.deep.equal({ caFile: '/ca.pem' });
    expect(trust({ caFile: '/ca.pem' }, { XEN_BACKUP_FINGERPRINT: 'AA' })).to.deep.equal({ caFile: '/ca.pem' });
    expect(hintOf(() => trust({ caFile: '/ca.pem', fingerprint: ['AA'] }))).to.contain('one');
  });

  it('asks for user and password', () => {
    for (const environment of [
      {},
      { XEN_BACKUP_USERNAME: 'root' },
      { XEN_BACKUP_PASSWORD: 'x' },
      { ...credentials, XEN_BACKUP_PASSWORD: '' },
    ]) {
      expect(hintOf(() => selectClient(config([]), { url: 'x' }, environment))).to.contain('XEN_BACKUP_USERNAME');
    }
  });
});

describe('provider options', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['a=true', { a: true }],
    ['a=12', { a: 12 }],
    ['a=-3', { a: -3 }],
    ['a=012', { a: '012' }],
    ['a=1.5', { a: '1.5' }],
    ['a=', { a: '' }],
    ['a=b=c', { a: 'b=c' }],
    ['a="12"', { a: '12' }],
    ['a=["x",1]', { a: ['x', 1] }],
    ['a=12345678901234567890', { a: '12345678901234567890' }],
    ['http=https', { http: 'https' }],
  ];
  for (const [text, value] of cases) {
    it(`reads ${text}`, () => {
      expect(parseProviderOption(text)).to.deep.equal(value);
    });
  }

  it('of the call stand over those of the configuration', () => {
    expect(providerOptions({ a: 1, b: 1 }, { option: { a: 2 }, taskOption: { a: 3, c: 3 } })).to.deep.equal({
      a: 2,
      b: 1,
      c: 3,
    });
    expect(providerOptions({ a: 1 }, {})).to.deep.equal({ a: 1 });
  });
});

describe('exit codes', () => {
  it('tell wrong calls, failures and cancellations apart, for every error code', () => {
    const codes = Object.fromEntries(BACKUP_ERROR_CODES.map((code) => [code, exitCodeOf(code)]));
    expect(codes).to.include({
      CONFIG_INVALID: 2,
      CREDENTIALS_UNAVAILABLE: 2,
      CANCELLED: 130,
      MEDIUM_FULL: 1,
      INTERNAL: 1,
    });
    expect(new Set(Object.values(codes))).to.deep.equal(new Set([1, 2, 130]));
  });

  it('of several outcomes are the worst', () => {
    expect(worstOf([])).to.equal(EXIT.done);
    expect(worstOf([0, 3, 0])).to.equal(3);
    expect(worstOf([3, 1, 2])).to.equal(1);
    expect(worstOf([1, 130, 3])).to.equal(130);
  });
});
