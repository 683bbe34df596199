/**
 * What went wrong on the way to the pool:
 * - `unreachable`: no connection came about; nothing was sent, so the request may be repeated.
 * - `untrusted`: the other end's certificate was refused; nothing was sent.
 * - `interrupted`: the connection broke after something was sent; whether it took effect is unknown.
 * - `timeout`: no answer in time; whether it took effect is unknown.
 * - `http-status`: an HTTP answer that is not a XAPI answer.
 * - `protocol`: an answer that cannot be understood.
 */
export type TransportErrorKind = 'unreachable' | 'untrusted' | 'interrupted' | 'timeout' | 'http-status' | 'protocol';

export interface TransportErrorOptions {
  readonly cause?: unknown;
  /** `host:port` that was spoken to. */
  readonly address?: string;
  readonly httpStatus?: number;
  /** SHA-256 of the certificate that was presented, `AB:CD:...`. */
  readonly fingerprint?: string;
  /** Code of the system or library error below: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, ... */
  readonly systemCode?: string;
  /** The method that was called; undefined for transfers. */
  readonly call?: string;
}

/** A failure of the connection, not an answer of the pool. The message never holds a URL's query. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly kind: TransportErrorKind;
  readonly address: string | undefined;
  readonly httpStatus: number | undefined;
  readonly fingerprint: string | undefined;
  readonly systemCode: string | undefined;
  readonly call: string | undefined;

  constructor(kind: TransportErrorKind, message: string, options: TransportErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.address = options.address;
    this.httpStatus = options.httpStatus;
    this.fingerprint = options.fingerprint;
    this.systemCode = options.systemCode;
    this.call = options.call;
  }

  /** The same error with the method whose call it ended. */
  duringCall(call: string): TransportError {
    const { kind, message, cause = this, address, httpStatus, fingerprint, systemCode } = this;
    const known = Object.entries({ address, httpStatus, fingerprint, systemCode }).filter(
      ([, value]) => value !== undefined,
    );
    return new TransportError(kind, message, { ...Object.fromEntries(known), cause, call });
  }
}

export function isTransportError(value: unknown, ...kinds: readonly TransportErrorKind[]): value is TransportError {
  return value instanceof TransportError && (kinds.length === 0 || kinds.includes(value.kind));
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const TIMEOUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);
const INTERRUPTED = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_SOCKET', 'UND_ERR_ABORTED']);
const PROTOCOL = /^(HPE_|UND_ERR_)/;

/**
 * Any error of a socket, of TLS or of the HTTP library as a `TransportError`. `syscall` of a reset tells a connection
 * that never was from one that broke. Errors that are none of those come back unchanged.
 */
export function toTransportError(error: unknown, address?: string): unknown {
  if (!(error instanceof Error) || error instanceof TransportError) return error;
  // undici reports several addresses of one name as an AggregateError, and a broken body as "terminated" with a cause.
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : (error.cause ?? error);
  const { code, syscall } = (codeOf(error) === undefined ? inner : error) as { code?: unknown; syscall?: unknown };
  if (inner instanceof TransportError) return inner;
  if (typeof code !== 'string') return error;
  const at = address ?? 'the pool';
  const options = { cause: error, systemCode: code, ...(address === undefined ? {} : { address }) };
  if (UNREACHABLE.has(code) || (code === 'ETIMEDOUT' && syscall === 'connect')) {
    return new TransportError('unreachable', `No connection to ${at}: ${code}.`, options);
  }
  if (TIMEOUT.has(code)) return new TransportError('timeout', `No answer from ${at} in time.`, options);
  if (INTERRUPTED.has(code))
    return new TransportError('interrupted', `The connection to ${at} broke: ${code}.`, options);
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) {
    return new TransportError('unreachable', `No TLS connection to ${at}: ${code}.`, options);
  }
  if (PROTOCOL.test(code)) {
    return new TransportError('protocol', `The answer of ${at} is not understandable: ${code}.`, options);
  }
  return error;
}

function codeOf(error: Error): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
