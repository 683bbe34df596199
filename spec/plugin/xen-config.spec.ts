import { expect } from 'chai';
import { connectionSettings, parseEndpoint, parseXenConfig, xenConfigJsonSchema } from '../../src/plugin/xen-config.js';
import { Credentials } from '../../src/session/credentials.js';

const MINIMAL = { url: 'https://pool.example', username: 'root', password: 'env:XEN_PASSWORD' };

describe('xen-config', () => {
  describe('parseXenConfig', () => {
    it('fills in defaults', () => {
      expect(parseXenConfig(MINIMAL)).to.deep.equal({
        ...MINIMAL,
        trust: { mode: 'system' },
        dataTransport: 'https',
        httpPort: 80,
        callTimeoutMs: 600_000,
        firstByteTimeoutMs: 300_000,
        idleTimeoutMs: 300_000,
        connectTimeoutMs: 10_000,
        reconnectTimeoutMs: 90_000,
      });
    });

    it('takes every form of trust', () => {
      for (const trust of [{ mode: 'system' }, { caFile: '/etc/ca.pem' }, { fingerprints: ['AB'.repeat(32)] }]) {
        expect(parseXenConfig({ ...MINIMAL, trust }).trust).to.deep.equal(trust);
      }
    });

    const bad: readonly (readonly [what: string, settings: object])[] = [
      ['an unknown setting', { ...MINIMAL, allowUnauthorized: true }],
      ['a missing user', { url: MINIMAL.url, password: MINIMAL.password }],
      ['a password in place of a reference', { ...MINIMAL, password: 'hunter22' }],
      ['plain http', { ...MINIMAL, url: 'http://pool.example' }],
      ['credentials in the url', { ...MINIMAL, url: 'https://root:pw@pool.example' }],
      ['no trust at all', { ...MINIMAL, trust: { mode: 'none' } }],
      ['an empty list of pins', { ...MINIMAL, trust: { fingerprints: [] } }],
      ['a SHA-1 pin', { ...MINIMAL, trust: { fingerprints: ['AB'.repeat(20)] } }],
      ['two kinds of trust', { ...MINIMAL, trust: { mode: 'system', caFile: '/x' } }],
      ['a limit of nothing', { ...MINIMAL, callTimeoutMs: 0 }],
      ['a port that is none', { ...MINIMAL, httpPort: 65536 }],
    ];
    for (const [what, settings] of bad) {
      it(`refuses ${what}, without repeating a value`, () => {
        expect(() => parseXenConfig(settings))
          .to.throw(/settings are not valid/)
          .that.satisfies(
            (error: Error & { code: string }) => error.code === 'CONFIG_INVALID' && !error.message.includes('hunter22'),
          );
      });
    }
  });

  describe('parseEndpoint', () => {
    const rows: readonly (readonly [url: string, host: string, port: number])[] = [
      ['https://pool.example', 'pool.example', 443],
      ['https://pool.example:8443/', 'pool.example', 8443],
      ['pool.example', 'pool.example', 443],
      ['10.0.0.1:4443', '10.0.0.1', 4443],
      ['https://[fe80::1]:444', 'fe80::1', 444],
      ['[::1]', '::1', 443],
      ['::1', '::1', 443],
    ];
    for (const [url, host, port] of rows) {
      it(`reads ${url}`, () => {
        expect(parseEndpoint(url)).to.deep.equal({ protocol: 'https:', host, port });
      });
    }

    it('refuses paths, queries, other schemes and what is no url', () => {
      for (const url of ['https://a/b', 'https://a?x=1', 'https://a#x', 'ftp://a', 'a b', 'https://', ':::x']) {
        expect(parseEndpoint(url), url).to.equal(undefined);
      }
    });
  });

  describe('xenConfigJsonSchema', () => {
    it('requires only what has no default, refuses other settings, and describes each', () => {
      const schema = xenConfigJsonSchema() as {
        required: string[];
        additionalProperties: boolean;
        properties: Record<string, { description?: string }>;
      };
      expect(schema.required).to.have.members(['url', 'username', 'password']);
      expect(schema.additionalProperties).to.equal(false);
      for (const [name, { description }] of Object.entries(schema.properties))
        expect(description, name).to.be.a('string');
    });
  });

  describe('connectionSettings', () => {
    it('hands on what was configured', () => {
      const credentials = new Credentials('root', 'x');
      const settings = connectionSettings(parseXenConfig({ ...MINIMAL, idleTimeoutMs: 5 }), credentials, {
        mode: 'system',
      });
      expect(settings).to.deep.include({
        endpoint: { protocol: 'https:', host: 'pool.example', port: 443 },
        credentials,
        trust: { mode: 'system' },
        idleTimeoutMs: 5,
        reconnectTimeoutMs: 90_000,
      });
    });

    it('refuses a url that was not checked before', () => {
      const config = { ...parseXenConfig(MINIMAL), url: 'ftp://x' };
      expect(() => connectionSettings(config, new Credentials('a', 'b'), { mode: 'system' }))
        .to.throw()
        .with.property('code', 'CONFIG_INVALID');
    });
  });
});
