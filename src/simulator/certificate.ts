import { createHash, X509Certificate } from 'node:crypto';
import { generate } from 'selfsigned';

/** A host's self-signed certificate. */
export interface HostCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
  /** Upper-case hex pairs joined by `:`, as XAPI and Node print them. */
  readonly fingerprint256: string;
  readonly fingerprint1: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const LIFETIME_MS = 10 * 365 * 24 * 60 * 60 * 1000;

/** Makes the certificate of one host, good for its name and its address. (A real host's key is RSA; this one is quick to make.) */
export async function makeCertificate(hostname: string, address: string): Promise<HostCertificate> {
  const now = Date.now();
  const pems = await generate([{ name: 'commonName', value: address }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - 60_000),
    notAfterDate: new Date(now + LIFETIME_MS),
    extensions: [
      { name: 'basicConstraints', cA: false },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: hostname },
          { type: 7, ip: address },
        ],
      },
    ],
  });
  const certificate = new X509Certificate(pems.cert);
  return {
    keyPem: pems.private,
    certificatePem: pems.cert,
    fingerprint256: certificate.fingerprint256,
    fingerprint1: pairs(createHash('sha1').update(certificate.raw).digest('hex')),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
  };
}

function pairs(hex: string): string {
  return (hex.toUpperCase().match(/../g) ?? []).join(':');
}
