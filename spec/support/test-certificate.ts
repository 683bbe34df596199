import { X509Certificate } from 'node:crypto';
import { generate } from 'selfsigned';

export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
  readonly fingerprint: string;
}

/** A self-signed certificate for a name and for the given addresses; it can also serve as its own CA. */
export async function testCertificate(addresses: readonly string[] = ['127.0.0.1']): Promise<TestCertificate> {
  const altNames = [{ type: 2 as const, value: 'pool.test' }, ...addresses.map((ip) => ({ type: 7 as const, ip }))];
  const pems = await generate([{ name: 'commonName', value: 'pool.test' }], {
    keySize: 2048,
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames },
    ],
  });
  return { key: pems.private, cert: pems.cert, fingerprint: new X509Certificate(pems.cert).fingerprint256 };
}
