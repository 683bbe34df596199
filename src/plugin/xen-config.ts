import { z } from 'zod';
import { schemaMistakes } from '../common/schema-mistakes.js';
import { BackupError } from '../contract/backup-error.js';
import { type JsonSchema } from '../contract/backup-source-provider.js';
import { type ConnectionSettings } from '../session/connection-settings.js';
import { type Credentials } from '../session/credentials.js';
import { normaliseFingerprint } from '../session/trust.js';
import { type Endpoint, type TlsTrust } from '../xapi/tls-trust.js';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

const limitMs = (what: string, defaultMs: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(DAY_MS).default(defaultMs).describe(`${what}, in milliseconds.`);

const port = z.int().min(1).max(65535);

const fingerprint = z
  .string()
  .refine((value) => normaliseFingerprint(value) !== undefined, 'must be a SHA-256 fingerprint: 64 hex digits')
  .describe('SHA-256 fingerprint of a certificate: 64 hex digits, colons allowed.');

const trust = z.union([
  z.strictObject({ mode: z.literal('system').describe("This machine's certificate authorities.") }),
  z.strictObject({ caFile: z.string().min(1).max(4096).describe('Path of a file with CA certificates in PEM form.') }),
  z.strictObject({ fingerprints: z.array(fingerprint).min(1).max(64) }),
]);

/** The settings of one client. Its JSON Schema is `configSchema` of the manifest. */
const xenConfigSchema = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(1024)
    .refine((value) => parseEndpoint(value) !== undefined, 'must be https://host[:port] or a bare host name')
    .describe('Any member of the pool: https://host[:port], or a bare host name or address.'),
  username: z.string().min(1).max(256).describe('User of the pool, such as root.'),
  password: z
    .string()
    .max(4096)
    .regex(/^[a-z][a-z0-9+.-]*:./i, 'must be a reference such as env:NAME or file:/path, never the password itself')
    .describe("Where the password is: env:NAME, file:/path, or a reference into the host's own store."),
  trust: trust.default({ mode: 'system' }).describe('Whose certificates are accepted.'),
  dataTransport: z
    .enum(['https', 'http'])
    .default('https')
    .describe('How bulk data travels. With http a session reference crosses the network in clear text.'),
  httpPort: port.default(80).describe('Port of the members for bulk data over http.'),
  callTimeoutMs: limitMs('Limit of one call to the pool', 10 * MINUTE_MS),
  firstByteTimeoutMs: limitMs('Limit of the wait for the first byte of a transfer', 5 * MINUTE_MS),
  idleTimeoutMs: limitMs('Limit of silence in the middle of a transfer', 5 * MINUTE_MS),
  connectTimeoutMs: limitMs('Limit of one connection attempt', 10 * SECOND_MS),
  reconnectTimeoutMs: limitMs('How long to look for a coordinator when it went away', 90 * SECOND_MS),
  dataMover: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe('Name of the machine that moves the data, as recorded in savesets. Default: the name of this machine.'),
});

export type XenConfig = z.infer<typeof xenConfigSchema>;

/** The JSON Schema of the settings, as a form wants it: what has a default is optional. */
export function xenConfigJsonSchema(): JsonSchema {
  return z.toJSONSchema(xenConfigSchema, { io: 'input' });
}

/**
 * Checks the settings of a client and fills in defaults. The message names fields and rules, never a value.
 * @throws {BackupError} CONFIG_INVALID
 */
export function parseXenConfig(settings: unknown): XenConfig {
  const parsed = xenConfigSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  throw new BackupError('CONFIG_INVALID', `The client's settings are not valid: ${schemaMistakes(parsed.error)}.`, {
    hint: 'Correct the named settings. The documentation lists all of them with their defaults.',
  });
}

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/** Host and port of a configured url; undefined when it is none, or has a user, a path, or a scheme other than https. */
export function parseEndpoint(url: string): Endpoint | undefined {
  const bare = url.trim();
  // A bare IPv6 address has no brackets of its own.
  const isIpv6 = /^[0-9a-f]*(:[0-9a-f]*){2,}$/i.test(bare);
  const full = SCHEME.test(bare) ? bare : `https://${isIpv6 ? `[${bare}]` : bare}`;
  if (!URL.canParse(full)) return undefined;
  const parsed = new URL(full);
  const isPlain = parsed.username === '' && parsed.password === '' && parsed.search === '' && parsed.hash === '';
  if (parsed.protocol !== 'https:' || parsed.hostname === '' || parsed.pathname !== '/' || !isPlain) return undefined;
  return {
    protocol: 'https:',
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? 443 : Number(parsed.port),
  };
}

/** What a `PoolConnection` is made of, from the checked settings and what they refer to. */
export function connectionSettings(config: XenConfig, credentials: Credentials, trusted: TlsTrust): ConnectionSettings {
  const endpoint = parseEndpoint(config.url);
  if (endpoint === undefined) throw new BackupError('CONFIG_INVALID', 'The url of the client is not valid.');
  const { dataTransport, httpPort, connectTimeoutMs, callTimeoutMs } = config;
  const { firstByteTimeoutMs, idleTimeoutMs, reconnectTimeoutMs } = config;
  const limits = { connectTimeoutMs, callTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, reconnectTimeoutMs };
  return { endpoint, credentials, trust: trusted, dataTransport, httpPort, ...limits };
}
