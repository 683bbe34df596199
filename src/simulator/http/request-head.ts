/** The request line and headers of a request. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Without `?`. */
  readonly rawQuery: string;
  readonly httpVersion: '1.0' | '1.1';
  /** By lower-case name; the first of several. */
  readonly headers: ReadonlyMap<string, string>;
}

/** The longest head XAPI takes, from the request line to the empty line. */
export const MAX_HEAD_BYTES = 1006;

/** Reads a head without its empty line; undefined when it is none. */
export function parseRequestHead(text: string): RequestHead | undefined {
  const [requestLine = '', ...lines] = text.split('\r\n');
  const match = /^([A-Z]+) (\S+) HTTP\/(1\.[01])$/.exec(requestLine);
  if (match === null) return undefined;
  const [, method = '', target = '', version] = match;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) return undefined;
    const name = line.slice(0, colon).trim().toLowerCase();
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  const mark = target.indexOf('?');
  return {
    method,
    path: decodePath(mark < 0 ? target : target.slice(0, mark)),
    rawQuery: mark < 0 ? '' : target.slice(mark + 1),
    httpVersion: version === '1.0' ? '1.0' : '1.1',
    headers,
  };
}

/** `keep-alive` or `close`, from the version's default and the client's wish. */
export function wantsKeepAlive(head: RequestHead): boolean {
  const wish = head.headers.get('connection')?.toLowerCase();
  return head.httpVersion === '1.1' ? wish !== 'close' : wish === 'keep-alive';
}

/** Cookies in both spellings that XAPI takes: `a=b; c=d` and the old `a=b&c=d`. */
export function cookiesOf(head: Pick<RequestHead, 'headers'>): ReadonlyMap<string, string> {
  const pairs = (head.headers.get('cookie') ?? '').split(/[;&]/).map((pair) => {
    const equals = pair.indexOf('=');
    return [pair.slice(0, Math.max(0, equals)).trim(), pair.slice(equals + 1).trim()] as const;
  });
  return new Map(pairs.filter(([name]) => name !== ''));
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
