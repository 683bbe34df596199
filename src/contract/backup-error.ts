/**
 * Every code a failure can carry. A code names the reader's problem, not the place in our code. Codes are stable:
 * hosts match on them. `docs/errors.md` has one row for each, and a spec keeps both equal.
 */
export const BACKUP_ERROR_CODES = [
  'CONFIG_INVALID',
  'REQUEST_INVALID',
  'MANIFEST_INVALID',
  'API_VERSION_UNSUPPORTED',
  'PLUGIN_LOAD_FAILED',
  'CREDENTIALS_UNAVAILABLE',
  'SOURCE_UNREACHABLE',
  'SOURCE_UNTRUSTED',
  'SOURCE_AUTH_REFUSED',
  'SOURCE_PERMISSION_DENIED',
  'SOURCE_BUSY',
  'SOURCE_UNSUPPORTED',
  'SOURCE_FAILED',
  'OBJECT_NOT_FOUND',
  'OBJECT_AMBIGUOUS',
  'OBJECT_NOT_SUPPORTED',
  'SNAPSHOT_FAILED',
  'TRANSFER_INTERRUPTED',
  'TRANSFER_STALLED',
  'DATA_DAMAGED',
  'SAVESET_INVALID',
  'SAVESET_NOT_FOUND',
  'CHAIN_BROKEN',
  'LEVEL_UNAVAILABLE',
  'STORAGE_NOT_FOUND',
  'STORAGE_FULL',
  'TARGET_EXISTS',
  'TARGET_RUNNING',
  'TARGET_NAME_REQUIRED',
  'RESTORE_FAILED',
  'MEDIUM_FULL',
  'MEDIUM_FAILED',
  'CANCELLED',
  'INTERNAL',
] as const;

export type BackupErrorCode = (typeof BACKUP_ERROR_CODES)[number];

/** Facts that help a person or a support engineer. Plain values only, and never a secret. */
export type ErrorContext = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface BackupErrorOptions {
  /** What a person should do next: one or two plain sentences. */
  readonly hint?: string;
  /** True when the same request may well succeed later, unchanged. Default false. */
  readonly isRetriable?: boolean;
  readonly context?: ErrorContext;
  readonly cause?: unknown;
}

const BRAND = Symbol.for('backup-host/v1/BackupError');

/**
 * The one error that crosses the contract. `message` is one plain sentence that may be shown to anybody; `code` is what
 * programs match on. Use `isBackupError`, not `instanceof`: host and plugin may hold two copies of this module.
 */
export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: BackupErrorCode;
  readonly hint: string | undefined;
  readonly isRetriable: boolean;
  readonly context: ErrorContext;
  readonly [BRAND] = true;

  constructor(code: BackupErrorCode, message: string, options: BackupErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.isRetriable = options.isRetriable ?? false;
    this.context = options.context ?? {};
  }

  /** What goes into a JSON event or log line: everything but stack and cause. */
  toJSON(): Record<string, unknown> {
    const { code, message, hint, isRetriable, context } = this;
    return { code, message, hint, isRetriable, context };
  }
}

/** True for a `BackupError` of any copy of this module. */
export function isBackupError(value: unknown): value is BackupError {
  return typeof value === 'object' && value !== null && (value as Partial<Record<symbol, unknown>>)[BRAND] === true;
}
