import { z } from 'zod';
import { BackupError } from './backup-error.js';

/** The version of this contract: `major.minor`. A plugin runs on a host with the same major and the same or a later minor. */
export const CONTRACT_API_VERSION = '1.0';

const contribution = z.strictObject({ id: z.string().min(1).max(128), displayName: z.string().min(1).max(256) });

const manifestSchema = z.strictObject({
  $schema: z.string().optional(),
  id: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,127}$/, 'must be lower-case letters, digits, dot and dash'),
  displayName: z.string().min(1).max(256),
  version: z.string().regex(/^\d+\.\d+\.\d+/, 'must be a version such as 1.2.3'),
  apiVersion: z.string().regex(/^\d{1,4}\.\d{1,4}$/, 'must be a contract version such as 1.0'),
  /** The module to import, relative to the manifest; it may not leave the manifest's folder. */
  main: z.string().min(1).max(1024),
  contributes: z.strictObject({
    sources: z.array(contribution).max(64).default([]),
    browsers: z.array(contribution).max(64).default([]),
    restoreHandlers: z
      .array(contribution.extend({ kinds: z.array(z.string()).min(1) }))
      .max(64)
      .default([]),
  }),
  /** JSON Schema of `ClientConfig.settings`. */
  configSchema: z.record(z.string(), z.unknown()).default({}),
});

/** What a host knows of a plugin before any of its code runs. */
export type PluginManifest = z.infer<typeof manifestSchema>;

/**
 * Checks a manifest and that this host's contract fits it.
 * @throws {BackupError} MANIFEST_INVALID, API_VERSION_UNSUPPORTED
 */
export function parsePluginManifest(value: unknown, hostApiVersion: string = CONTRACT_API_VERSION): PluginManifest {
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    throw new BackupError('MANIFEST_INVALID', `The plugin manifest is not valid: ${z.prettifyError(parsed.error)}`, {
      hint: 'This is a fault of the plugin; report it to its author.',
    });
  }
  const [major = 0, minor = 0] = parsed.data.apiVersion.split('.').map(Number);
  const [hostMajor = 0, hostMinor = 0] = hostApiVersion.split('.').map(Number);
  if (major !== hostMajor || minor > hostMinor) {
    throw new BackupError(
      'API_VERSION_UNSUPPORTED',
      `The plugin ${parsed.data.id} was made for contract ${parsed.data.apiVersion}; this host speaks ${hostApiVersion}.`,
      { hint: 'Install a version of the plugin that fits this host, or update the host.' },
    );
  }
  return parsed.data;
}
