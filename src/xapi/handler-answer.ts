import { errorFromPage, pageDetails, type XapiError } from './xapi-error.js';
import { TransportError } from './transport-error.js';

/** Largest head or error page that is read. Real ones have a few hundred bytes. */
export const MAX_PAGE_BYTES = 64 * 1024;

export interface AnswerHead {
  readonly status: number;
  /** By lower-case name; of repeated ones the last. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes of the head with its empty line. */
  readonly headBytes: number;
}

/**
 * Reads the head of an HTTP answer; undefined while it is not whole. XAPI writes names in any case, and some without a
 * space after the colon.
 * @throws {TransportError} `protocol` when it is no HTTP answer, or has no end.
 */
export function parseAnswerHead(bytes: Buffer): AnswerHead | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) {
    const start = bytes.toString('latin1', 0, 5);
    if (!'HTTP/'.startsWith(start.slice(0, 5)) || bytes.length > MAX_PAGE_BYTES) throw notHttp();
    return undefined;
  }
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1];
  if (status === undefined) throw notHttp();
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(status), headers, headBytes: end + 4 };
}

function notHttp(): TransportError {
  return new TransportError('protocol', 'The pool answered a transfer with something that is not HTTP.');
}

/** What a refusing answer means: XAPI's error when the page holds one, else the HTTP status with what the page says. */
export function refusalError(status: number, page: string): XapiError | TransportError {
  const details = pageDetails(page).slice(0, 512);
  return (
    errorFromPage(page) ??
    new TransportError(
      'http-status',
      `The pool refused the transfer with HTTP ${status}${details === '' ? '' : `: ${details}`}.`,
      { httpStatus: status },
    )
  );
}

/** True when bytes that should be data, or nothing, are the error answer that XAPI writes into an answer already begun. */
export function isErrorAnswer(bytes: Buffer): boolean {
  return /^HTTP\/1\.[01] [45]\d\d /.test(bytes.toString('latin1', 0, 16));
}

/** Path and query as they go into the request line. Percent-encoded throughout: XAPI decodes `+` and `%20` alike. */
export function requestTarget(path: string, query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`);
  return `${path}?${pairs.join('&')}`;
}
