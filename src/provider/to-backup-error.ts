import { BackupError, type BackupErrorCode, type ErrorContext, isBackupError } from '../contract/backup-error.js';
import { FormatError } from '../format/format-error.js';
import { isTransportError, toTransportError, type TransportError } from '../xapi/transport-error.js';
import { XapiError } from '../xapi/xapi-error.js';
import { type ErrorMeaning, XAPI_ERRORS, XAPI_LOG } from './error-table.js';

export interface ToBackupErrorOptions {
  /** Code for a pool's error that has no row of its own: `SNAPSHOT_FAILED`, `RESTORE_FAILED`. Default SOURCE_FAILED. */
  readonly fallback?: BackupErrorCode;
  /** What was being done, as the beginning of a sentence: `Exporting the machine failed`. */
  readonly doing?: string;
  /** More facts; ids, names, phase. Never a secret. */
  readonly context?: ErrorContext;
}

/** A parameter may be a whole log; a context is for facts. */
const MAX_PARAM_LENGTH = 512;

/**
 * The one boundary: whatever was thrown below becomes a `BackupError`. A `BackupError` passes as it is.
 */
export function toBackupError(error: unknown, options: ToBackupErrorOptions = {}): BackupError {
  if (isBackupError(error)) return error;
  if (error instanceof XapiError) return fromXapi(error, options);
  if (error instanceof FormatError) return fromFormat(error, options);
  if (isAbort(error)) return make({ code: 'CANCELLED', message: 'It was cancelled.' }, error, options, {});
  const known = toTransportError(error);
  if (isTransportError(known)) return fromTransport(known, options);
  return fromSystem(error, options);
}

function fromXapi(error: XapiError, options: ToBackupErrorOptions): BackupError {
  const meaning: ErrorMeaning = XAPI_ERRORS[error.code] ?? {
    code: options.fallback ?? 'SOURCE_FAILED',
    message: `The pool answered ${error.code}.`,
    hint: 'The parameters may say why.',
    log: XAPI_LOG,
  };
  const context = {
    xapiCode: error.code,
    xapiParams: error.params.map((param) => param.slice(0, MAX_PARAM_LENGTH)),
    ...(error.call === undefined ? {} : { xapiCall: error.call }),
    ...(error.taskUuid === undefined ? {} : { taskUuid: error.taskUuid }),
    ...(meaning.log === undefined ? {} : { log: meaning.log }),
    ...windowOf(error),
  };
  const message = messageOf(meaning, context.xapiParams);
  return make({ ...meaning, message, ...hintOf(meaning, error) }, error, options, context);
}

function messageOf({ message, shows }: ErrorMeaning, params: readonly string[]): string {
  const shown = shows === undefined ? '' : (params[shows] ?? '');
  return shown === '' ? message : `${message.replace(/\.$/, '')}: ${shown}.`;
}

/** When to look, as the logs write times (UTC). */
function windowOf({ window }: XapiError): { readonly from?: string; readonly to?: string } {
  if (window === undefined) return {};
  return { from: new Date(window.fromMs).toISOString(), to: new Date(window.toMs).toISOString() };
}

/** The remedy, and where the rest of the story is: which log, which task, from when to when. */
function hintOf({ hint = '', log }: ErrorMeaning, error: XapiError): { readonly hint?: string } {
  if (log === undefined) return hint === '' ? {} : { hint };
  const { from, to } = windowOf(error);
  const task = error.taskUuid === undefined ? '' : `, task ${error.taskUuid}`;
  const times = from === undefined ? '' : `, from ${from} to ${to ?? from}`;
  return { hint: `${hint}${hint === '' ? '' : ' '}Details: ${log}${task}${times}.` };
}

function fromFormat(error: FormatError, options: ToBackupErrorOptions): BackupError {
  const { xapiError, offsetBytes, expected, found } = error;
  if (xapiError !== undefined) {
    return fromXapi(new XapiError(xapiError.code, xapiError.params, { cause: error }), options);
  }
  const meaning: ErrorMeaning = {
    code: 'DATA_DAMAGED',
    message: `The data is damaged: ${error.message}.`,
    hint: "While backing up: try again, and look at the pool's storage. While restoring: use another backup.",
  };
  return make(meaning, error, options, { offsetBytes, expected, found });
}

const TRANSPORT: Readonly<Record<TransportError['kind'], Omit<ErrorMeaning, 'message'>>> = {
  unreachable: {
    code: 'SOURCE_UNREACHABLE',
    hint: 'Check the address, the port, the firewall, and that the toolstack runs.',
    isRetriable: true,
  },
  untrusted: {
    code: 'SOURCE_UNTRUSTED',
    hint: "Compare the fingerprint with the one on the host's console. If they are equal, pin it in the client's trust setting.",
  },
  interrupted: { code: 'TRANSFER_INTERRUPTED', hint: 'Try again.', isRetriable: true },
  timeout: {
    code: 'TRANSFER_STALLED',
    hint: 'Look at the load of pool and network. The limits are settings of the client.',
    isRetriable: true,
  },
  'http-status': { code: 'SOURCE_FAILED', hint: 'Look at /var/log/xensource.log on the host.', isRetriable: true },
  protocol: {
    code: 'SOURCE_FAILED',
    hint: 'Check that the address is a XenServer or XCP-ng host, and that no proxy stands between.',
  },
};

function fromTransport(error: TransportError, options: ToBackupErrorOptions): BackupError {
  const { address, httpStatus, fingerprint, systemCode, call } = error;
  const isRefusal = error.kind === 'http-status' && (httpStatus === 401 || httpStatus === 403);
  const row = TRANSPORT[error.kind];
  const meaning: ErrorMeaning = { ...row, message: error.message };
  const refused: ErrorMeaning = {
    code: 'SOURCE_PERMISSION_DENIED',
    message: error.message,
    hint: 'The pool did not accept the session for this transfer. The account needs at least the role VM admin.',
  };
  const isSilence = call !== undefined && (error.kind === 'timeout' || error.kind === 'interrupted');
  const silent: ErrorMeaning = { ...TRANSPORT.unreachable, message: error.message };
  const context = { address, httpStatus, fingerprint, systemCode, ...(call === undefined ? {} : { xapiCall: call }) };
  return make(isRefusal ? refused : isSilence ? silent : meaning, error, options, context);
}

function fromSystem(error: unknown, options: ToBackupErrorOptions): BackupError {
  const { code: systemCode, message = String(error) } = (error ?? {}) as { code?: unknown; message?: string };
  const context = typeof systemCode === 'string' ? { systemCode } : {};
  if (systemCode === 'ENOSPC' || systemCode === 'EDQUOT') {
    return make({ code: 'MEDIUM_FULL', message: 'The medium has no space left.' }, error, options, context);
  }
  if (typeof systemCode === 'string' && /^E[A-Z]+$/.test(systemCode)) {
    return make({ code: 'MEDIUM_FAILED', message: `The medium failed: ${systemCode}.` }, error, options, context);
  }
  const meaning: ErrorMeaning = {
    code: 'INTERNAL',
    message: `This software made a mistake: ${message}`,
    hint: 'Report it, with the log.',
  };
  return make(meaning, error, options, context);
}

function make(
  meaning: ErrorMeaning,
  cause: unknown,
  options: ToBackupErrorOptions,
  context: ErrorContext,
): BackupError {
  const { code, message, hint, isRetriable = false } = meaning;
  const facts = Object.entries({ ...options.context, ...context }).filter(([, value]) => value !== undefined);
  return new BackupError(code, options.doing === undefined ? message : `${options.doing}: ${lowerFirst(message)}`, {
    isRetriable,
    context: Object.fromEntries(facts),
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** "The pool ..." within a sentence; names such as XAPI stay as they are. */
function lowerFirst(message: string): string {
  return /^[A-Z][a-z]/.test(message) ? message.charAt(0).toLowerCase() + message.slice(1) : message;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || (error as { code?: unknown }).code === 'ABORT_ERR');
}
