import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { z } from 'zod';
import { MIB } from '../../common/byte-size.js';
import { type CleanupStack } from '../../common/cleanup-stack.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type ControlledPool } from './operation.js';
import { ControlFailure, perform } from './perform.js';
import { OPERATIONS } from './operations.js';

const ADDRESS = '127.0.0.1';
const MAX_BODY_BYTES = 24 * MIB;
const LOOPBACK_NAMES = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?$/i;

/**
 * Lets other processes work on a pool: POST `/<operation>` with JSON, GET `/` for the list. On loopback only, and deaf to web
 * pages: whatever carries an Origin or another name in Host is refused. Returns its address; `port` 0 takes a free one.
 */
export async function startControlServer(target: ControlledPool, port: number, cleanup: CleanupStack): Promise<string> {
  const server = createServer((request, response) => {
    void answer(target, request, response);
  });
  server.requestTimeout = 60_000;
  await listen(server, port);
  cleanup.add('the control port', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://${ADDRESS}:${(server.address() as AddressInfo).port}`;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new SimulatedFailure('INTERNAL_ERROR', [`cannot listen: ${error.message}`]));
    });
    server.listen(port, ADDRESS, resolve);
  });
}

async function answer(target: ControlledPool, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let status = 200;
  let body: unknown;
  try {
    refuseWebPages(request);
    body = await bodyFor(target, request);
  } catch (thrown) {
    const failure = ControlFailure.from(thrown);
    status = failure.status;
    body = { error: { code: failure.code, message: failure.message, hint: failure.hint } };
  }
  const text = Buffer.from(`${JSON.stringify(body ?? {})}\n`);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': text.length,
    'cache-control': 'no-store',
    ...(status === 413 ? { connection: 'close' } : {}),
  });
  response.end(text);
}

async function bodyFor(target: ControlledPool, request: IncomingMessage): Promise<unknown> {
  const name = new URL(request.url ?? '/', 'http://control').pathname.slice(1);
  if (request.method === 'GET' && name === '') return operationList();
  if (request.method !== 'POST') {
    throw new ControlFailure(405, 'METHOD_NOT_ALLOWED', 'An operation is a POST.', 'GET / lists the operations.');
  }
  const text = await readBody(request);
  return perform(target, name, text.trim() === '' ? {} : parse(text));
}

/** A web page can reach loopback, too: it must not get anything done here, not even blindly. */
function refuseWebPages({ headers }: IncomingMessage): void {
  const isForeign = headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
  if (isForeign || !LOOPBACK_NAMES.test(headers.host ?? '')) {
    throw new ControlFailure(
      403,
      'FORBIDDEN',
      'The control port is for programs on this machine, not for web pages.',
      'Leave out Origin and Sec-Fetch-Site, and use 127.0.0.1 as the name of the host.',
    );
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    sizeBytes += piece.length;
    if (sizeBytes > MAX_BODY_BYTES) {
      throw new ControlFailure(
        413,
        'TOO_LARGE',
        'The request is too large.',
        'Write a disk in pieces of 16 MiB at most.',
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ControlFailure(400, 'INVALID_VALUE', `The request is no JSON: ${reason}`, 'Send one JSON object.');
  }
}

/** What there is, with the JSON Schema of each input. */
function operationList(): object {
  return {
    operations: Object.entries(OPERATIONS).map(([name, { summary, input }]) => ({
      name,
      summary,
      input: z.toJSONSchema(input, { unrepresentable: 'any', io: 'input' }),
    })),
  };
}
