import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { normaliseFingerprint, resolveTrust } from '../../src/session/trust.js';
import { failureOf } from '../support/failure-of.js';
import { testCertificate } from '../support/test-certificate.js';

const COLONS = Array(32).fill('AB').join(':');

describe('trust', () => {
  describe('normaliseFingerprint', () => {
    it('takes colons or none, any case, and what openssl prints', () => {
      for (const given of [
        COLONS,
        COLONS.toLowerCase(),
        'ab'.repeat(32),
        `SHA256 Fingerprint=${COLONS}`,
        ` ${COLONS} `,
      ]) {
        expect(normaliseFingerprint(given), given).to.equal(COLONS);
      }
    });

    it('refuses what is no SHA-256', () => {
      for (const given of ['', 'AB', 'AB'.repeat(20), 'XY'.repeat(32), `${COLONS}:AB`]) {
        expect(normaliseFingerprint(given), given).to.equal(undefined);
      }
    });
  });

  describe('resolveTrust', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'trust-'));
    });
    after(async () => {
      await rm(folder, { recursive: true });
    });

    it('takes the system as it is, and fingerprints in one form', async () => {
      expect(await resolveTrust({ mode: 'system' })).to.deep.equal({ mode: 'system' });
      expect(await resolveTrust({ fingerprints: ['ab'.repeat(32)] })).to.deep.equal({
        mode: 'pinned',
        fingerprints: [COLONS],
      });
      expect(await failureOf(resolveTrust({ fingerprints: ['x'] }))).to.include({ code: 'CONFIG_INVALID' });
    });

    it('reads a CA file', async () => {
      const { cert } = await testCertificate();
      await writeFile(join(folder, 'ca.pem'), cert);
      expect(await resolveTrust({ caFile: join(folder, 'ca.pem') })).to.deep.equal({ mode: 'ca', pem: cert });
    });

    it('refuses a file that is not there or holds no certificate', async () => {
      await writeFile(join(folder, 'no.pem'), 'hello');
      for (const caFile of [join(folder, 'absent.pem'), join(folder, 'no.pem')]) {
        expect(await failureOf(resolveTrust({ caFile }))).to.include({ code: 'CONFIG_INVALID' });
      }
    });
  });
});
