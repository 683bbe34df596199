import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { BackupError } from '../contract/index.js';
import { systemCode } from './to-host-error.js';

export interface SecretSources {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where a relative `file:` path starts. */
  readonly folder: string;
}

/**
 * Turns `env:NAME` or `file:/path` into the secret. One line break at the end of a file does not belong to it.
 * @throws {BackupError} CREDENTIALS_UNAVAILABLE; the message names the reference, never what it holds.
 */
export async function resolveSecretReference(reference: string, sources: SecretSources): Promise<string> {
  const [, scheme, rest = ''] = /^(env|file):(.+)$/s.exec(reference) ?? [];
  if (scheme === 'env') {
    const value = sources.environment[rest];
    if (value !== undefined && value !== '') return value;
    throw unavailable(`The environment variable ${rest} is not set.`, `Set ${rest}, or name a file with file:/path.`);
  }
  if (scheme === 'file') return readSecretFile(resolve(sources.folder, rest));
  throw unavailable('A secret reference must be env:NAME or file:/path.', 'Correct it in the configuration file.');
}

async function readSecretFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = systemCode(error) ?? 'unknown reason';
    throw unavailable(
      `The secret file ${path} cannot be read (${reason}).`,
      'Check path and rights of the file.',
      error,
    );
  }
  const secret = text.replace(/\r?\n$/, '');
  if (secret !== '') return secret;
  throw unavailable(`The secret file ${path} is empty.`, 'Write the secret into it.');
}

function unavailable(message: string, hint: string, cause?: unknown): BackupError {
  return new BackupError('CREDENTIALS_UNAVAILABLE', message, { hint, cause });
}
