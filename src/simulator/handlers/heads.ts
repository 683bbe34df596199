/** The status lines and headers of the data handlers, byte for byte as captured from XAPI 24.19.2. */
const CLOSE = ['Connection: close', 'Cache-Control: no-cache, no-store'];
const CONTENT_TYPE = 'content-type: application/octet-stream';

/** Of an export: HTTP/1.0 whatever the client said; without a length it ends with the connection. */
export function exportHead(task: string, contentLength?: number): readonly string[] {
  return [
    'HTTP/1.0 200 OK',
    ...CLOSE,
    `task-id: ${task}`,
    'Server: xapi/0.0',
    CONTENT_TYPE,
    ...(contentLength === undefined ? [] : [`Content-Length: ${contentLength}`]),
    'Content-Disposition: attachment; filename="export.xva"',
  ];
}

/** Of an import, sent before the body is read. There is no space behind `task-id:`. */
export function importHead(task: string): readonly string[] {
  return ['HTTP/1.1 200 OK', ...CLOSE, `task-id:${task}`, CONTENT_TYPE];
}

/** Of a disk: HTTP/1.1, and no length either; no space behind the first two names. */
export function rawExportHead(task: string, fileName: string, contentType: string): readonly string[] {
  return [
    'HTTP/1.1 200 OK',
    ...CLOSE,
    `task-id:${task}`,
    `content-type:${contentType}`,
    `content-disposition: attachment; filename="${fileName}"`,
  ];
}

/** A refusal. */
export function refusalHead(
  status: '400 Bad Request' | '403 Forbidden' | '404 Not Found',
  httpVersion: '1.0' | '1.1' = '1.1',
): readonly string[] {
  return [`HTTP/${httpVersion} ${status}`, ...CLOSE];
}

/** Of the pool's database and of control domains: nothing tells what follows, nor how much. */
export function bareHead(connection: 'close' | 'keep-alive' = 'close'): readonly string[] {
  return ['HTTP/1.1 200 OK', `Connection: ${connection}`, 'Cache-Control: no-cache, no-store'];
}
