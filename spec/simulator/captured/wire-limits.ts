import { connect } from 'node:net';
import { type Comparison } from './comparison.js';
import { type CapturedConnection } from './wire-replay.js';

/** A limit that was found by halving: a size, and the status of a request of that size. */
const FOUND = /(\d+) -> (\d{3})/g;

/** Sends requests of the sizes next to each limit that the capturing client found. */
export async function compareLimits(
  url: string,
  connections: readonly CapturedConnection[],
  comparison: Comparison,
): Promise<void> {
  for (const { name, note = '' } of connections) {
    const sizes = [...note.matchAll(FOUND)].map(([, size, status]) => [Number(size), status] as const);
    if (sizes.length === 0) continue;
    comparison.steps += 1;
    for (const [size, status] of sizes) {
      comparison.answers += 1;
      const path = /accepted at (\S+)$/.exec(name)?.[1];
      const request = path === undefined ? headOf(size) : callOf(path, size);
      comparison.compare(`wire: ${name}: ${size}`, status, await statusOf(url, request));
    }
  }
}

/** A request for the preflight answer whose head has so many bytes. */
function headOf(sizeBytes: number): string {
  const [start, end] = ['OPTIONS / HTTP/1.1\r\nX: ', '\r\n\r\n'];
  return `${start}${'x'.repeat(sizeBytes - start.length - end.length)}${end}`;
}

/** A call with a body of so many bytes. */
function callOf(path: string, sizeBytes: number): string {
  const isJson = path === '/jsonrpc';
  const call = isJson
    ? JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'system.listMethods', params: [] })
    : '<?xml version="1.0"?><methodCall><methodName>system.listMethods</methodName><params/></methodCall>';
  const body = call.padEnd(sizeBytes, ' ');
  return `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${sizeBytes}\r\n\r\n${body}`;
}

function statusOf(url: string, request: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const { port, hostname } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.once('data', (chunk: Buffer) => {
      socket.destroy();
      resolve(/^HTTP\/1\.\d (\d{3})/.exec(chunk.toString('latin1'))?.[1]);
    });
    // The server closes what it does not want to read.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve(undefined);
    });
    socket.write(request);
  });
}
