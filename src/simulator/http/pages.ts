import { type SimulatedFailure } from '../simulated-failure.js';

/** The answers that XAPI's web server gives by itself, byte for byte. `version` is the request's. */
type Version = '1.0' | '1.1';

const NO_CACHE = 'cache-control: no-cache, no-store';

/** The 500 page; `information` is the exception as XAPI prints it. It always says HTTP/1.1 inside a body. */
export function errorPage(information: string, version: Version = '1.1'): Buffer {
  return page(version, '500 Internal Error', errorBody(information));
}

/** What the page says about an error of the API: `CODE: [ p1; p2 ]`. */
export function describeFailure(failure: SimulatedFailure): string {
  if (failure.code === 'INTERNAL_ERROR') return failure.params.join('; ');
  return `${failure.code}: [ ${failure.params.join('; ')} ]`;
}

export function unauthorisedPage(realm: string, version: Version): Buffer {
  return page(
    version,
    '401 Unauthorised',
    '<html><body><h1>HTTP 401 unauthorised</h1>Please check your credentials and retry.</body></html>',
    [`WWW-Authenticate: Basic realm="${realm}"`],
  );
}

export function forbiddenPage(version: Version): Buffer {
  return page(
    version,
    '403 Forbidden',
    '<html><body><h1>HTTP 403 forbidden</h1>Access to the requested resource is forbidden.</body></html>',
  );
}

export function headTooLargePage(): Buffer {
  return page(
    '1.1',
    '431 Request Header Fields Too Large',
    '<html><body><h1>HTTP 431 request header fields too large</h1>Exceeded the maximum header size.</body></html>',
  );
}

/** For a method that no path has a handler for. A HEAD gets no body, only its length. */
export function methodUnknownPage(method: string, version: Version): Buffer {
  const body = `<html><body><h1>HTTP 501 Method Not Implemented</h1><p>Unknown ${method} not supported.<br /></p></body></html>`;
  return page(version, '501 Method not implemented', body);
}

/** A bare status, for faults made on purpose. */
export function statusPage(status: number, version: Version): Buffer {
  return page(version, `${status} Fault`, '');
}

/** The preflight answer of browsers. */
export function optionsPage(version: Version): Buffer {
  const head = [
    `HTTP/${version} 200 OK`,
    'content-length: 0',
    'connection: keep-alive',
    NO_CACHE,
    'Access-Control-Allow-Origin: *',
    'Access-Control-Allow-Headers: X-Requested-With',
    'Access-Control-Allow-Methods: PUT',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n`);
}

/** The answer to a call. */
export function rpcPage(
  contentType: string,
  body: string,
  version: Version,
  isKeptAlive: boolean,
  extra: readonly string[],
): Buffer {
  const bytes = Buffer.from(body);
  const head = [
    `HTTP/${version} 200 OK`,
    `content-length: ${bytes.length}`,
    `connection: ${isKeptAlive ? 'keep-alive' : 'close'}`,
    NO_CACHE,
    `content-type: ${contentType}`,
    'Access-Control-Allow-Origin: *',
    'Access-Control-Allow-Headers: X-Requested-With',
    ...extra,
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes]);
}

function errorBody(information: string): string {
  const advice =
    'An unexpected error occurred; please wait a while and try again. If the problem persists, please contact your support representative.';
  return `<html><body><h1>HTTP 500 internal server error</h1>${advice}<h1> Additional information </h1>${escapeHtml(information)}</body></html>`;
}

function page(version: Version, status: string, body: string, extra: readonly string[] = []): Buffer {
  const head = [
    `HTTP/${version} ${status}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'content-type: text/html',
    'connection: close',
    NO_CACHE,
    ...extra,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
}
