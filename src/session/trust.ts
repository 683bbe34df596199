import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BackupError } from '../contract/backup-error.js';
import { type TlsTrust } from '../xapi/tls-trust.js';

export type { TlsTrust } from '../xapi/tls-trust.js';

/** Trust as a configuration says it. */
export type TrustSetting =
  { readonly mode: 'system' } | { readonly caFile: string } | { readonly fingerprints: readonly string[] };

const HEX = /^[0-9A-F]{64}$/;

/**
 * A SHA-256 fingerprint in the one form we compare: `AB:CD:...`. Takes it with or without colons, in any case, with
 * openssl's `SHA256 Fingerprint=` before it. Undefined when it is no such thing.
 */
export function normaliseFingerprint(fingerprint: string): string | undefined {
  const hex = fingerprint.replace(/^.*=/, '').replace(/[:\s]/g, '').toUpperCase();
  return HEX.test(hex) ? hex.replace(/..(?!$)/g, '$&:') : undefined;
}

/**
 * Reads what a trust setting points to.
 * @throws {BackupError} CONFIG_INVALID when the CA file cannot be read or holds no certificate, or a fingerprint is none.
 */
export async function resolveTrust(setting: TrustSetting): Promise<TlsTrust> {
  if ('caFile' in setting) return { mode: 'ca', pem: await readCaFile(setting.caFile) };
  if (!('fingerprints' in setting)) return { mode: 'system' };
  const fingerprints = setting.fingerprints.map((given) => {
    const fingerprint = normaliseFingerprint(given);
    if (fingerprint === undefined) {
      throw new BackupError('CONFIG_INVALID', `'${given}' is not a SHA-256 fingerprint.`, {
        hint: 'Give the 64 hex digits of the certificate, with or without colons.',
      });
    }
    return fingerprint;
  });
  return { mode: 'pinned', fingerprints };
}

async function readCaFile(path: string): Promise<string> {
  try {
    const pem = await readFile(path, 'utf8');
    // Throws when there is no certificate in it: better now than as an unexplained refusal later.
    new X509Certificate(pem);
    return pem;
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', `The CA file ${path} cannot be used.`, {
      hint: 'Give a readable file with one or more certificates in PEM form.',
      cause,
    });
  }
}
