import { type Socket } from 'node:net';
import { strike } from '../behaviour/fault-acts.js';
import { isHeadless, untilLed } from '../behaviour/headless.js';
import { assertRole } from '../rpc/access.js';
import { type Dispatcher } from '../rpc/dispatcher.js';
import { SimulatedFailure, toSimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { MalformedRequest } from '../wire/malformed-request.js';
import { authenticate, hasCredentials, sessionGivenIn } from './authenticate.js';
import { readCallBody } from './body.js';
import { type Route } from './handler.js';
import { LiveExchange } from './live-exchange.js';
import {
  errorPage,
  forbiddenPage,
  headTooLargePage,
  methodUnknownPage,
  optionsPage,
  statusPage,
  unauthorisedPage,
} from './pages.js';
import { MAX_HEAD_BYTES, parseRequestHead, wantsKeepAlive, type RequestHead } from './request-head.js';
import { routeFor } from './routes.js';
import { answerCall } from './rpc-route.js';
import { SocketIo } from './socket-io.js';

/** What a host's web server works with. */
export interface ServerParts {
  readonly pool: SimulatedPool;
  readonly dispatcher: Dispatcher;
  readonly routes: readonly Route[];
  /** Aborts when the pool closes. */
  readonly signal: AbortSignal;
}

type Next = 'next-request' | 'close';

/** Serves one connection, request after request, until either side closes it. Never rejects. */
export async function serveConnection(parts: ServerParts, host: string, isTls: boolean, socket: Socket): Promise<void> {
  const io = new SocketIo(socket);
  try {
    let next: Next = 'next-request';
    while (next === 'next-request') {
      const head = await readHead(io);
      if (head === undefined) break;
      if (head === 'too-large' || head === 'malformed') {
        await io.write(head === 'too-large' ? headTooLargePage() : errorPage('The HTTP headers could not be parsed.'));
        break;
      }
      next = await serveRequest(parts, host, isTls, head, io);
    }
    await io.end();
  } catch {
    io.destroy();
  }
}

async function readHead(io: SocketIo): Promise<RequestHead | 'too-large' | 'malformed' | undefined> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n');
    if (end >= 0 && end + 4 <= MAX_HEAD_BYTES) {
      io.unread(bytes.subarray(end + 4));
      return parseRequestHead(bytes.toString('latin1', 0, end)) ?? 'malformed';
    }
    if (bytes.length > MAX_HEAD_BYTES) return 'too-large';
    const chunk = await io.read();
    if (chunk === undefined) return undefined;
    bytes = Buffer.concat([bytes, chunk]);
  }
}

async function serveRequest(
  parts: ServerParts,
  host: string,
  isTls: boolean,
  head: RequestHead,
  io: SocketIo,
): Promise<Next> {
  const { method, path, httpVersion } = head;
  const next: Next = wantsKeepAlive(head) ? 'next-request' : 'close';
  switch (method) {
    case 'POST':
      return serveCall(parts, host, head, io);
    case 'OPTIONS':
      await io.write(optionsPage(httpVersion));
      return next;
    case 'GET':
    case 'PUT': {
      const route = routeFor(parts.routes, method, path);
      if (route !== undefined) {
        await serveTransfer(parts, host, isTls, head, io, route);
        return 'close';
      }
      await io.write(forbiddenPage(httpVersion));
      return method === 'GET' ? next : 'close';
    }
    default:
      await io.write(methodUnknownPage(method, httpVersion));
      return 'close';
  }
}

async function serveCall(parts: ServerParts, host: string, head: RequestHead, io: SocketIo): Promise<Next> {
  const { pool, dispatcher } = parts;
  const isKeptAlive = wantsKeepAlive(head);
  try {
    const body = await readCallBody(head, io);
    if (body === undefined) return 'close';
    const origin = { host, signal: AbortSignal.any([io.hungUp, parts.signal]), poolSignal: parts.signal };
    const reply = await answerCall(pool, dispatcher, head, body.toString(), origin, isKeptAlive);
    if (reply.cutAtByte !== undefined) {
      await io.write(reply.bytes.subarray(0, reply.cutAtByte));
      io.destroy();
      return 'close';
    }
    await io.write(reply.bytes);
    return isKeptAlive ? 'next-request' : 'close';
  } catch (error) {
    if (!(error instanceof MalformedRequest)) throw error;
    await io.write(errorPage(error.message, head.httpVersion));
    return 'close';
  }
}

async function serveTransfer(
  parts: ServerParts,
  host: string,
  isTls: boolean,
  head: RequestHead,
  io: SocketIo,
  route: Route,
): Promise<void> {
  const { pool } = parts;
  pool.collectGarbage();
  const faults = pool.faults.forTransfer(head.method, head.path);
  strike(faults, { pool, host, session: sessionGivenIn(head) }, 'before');
  if (pool.downHosts.has(host)) {
    io.destroy();
    return;
  }
  if (isHeadless(pool, host) && hasCredentials(head)) {
    await untilLed(pool, host, AbortSignal.any([io.hungUp, parts.signal]));
  }
  const caller = authenticate(pool, head, host);
  if (caller === undefined) {
    await io.write(unauthorisedPage(route.realm, head.httpVersion));
    return;
  }
  const signal = AbortSignal.any([io.gone, parts.signal]);
  try {
    const denial = denialOf(pool, caller.session, route);
    if (denial !== undefined) {
      const task = new URLSearchParams(head.rawQuery).get('task_id') ?? '';
      pool.tasks.fail(task, denial);
      await io.write(forbiddenPage(head.httpVersion));
      return;
    }
    const status = faults.find((fault) => 'httpStatus' in fault);
    if (status !== undefined) {
      await io.write(statusPage(status.httpStatus, head.httpVersion));
      return;
    }
    for (const fault of faults) if ('delayMs' in fault) await pool.clock.sleep(fault.delayMs, signal);
    const exchange = new LiveExchange({ pool, host, isTls, head, io, session: caller.session, signal, faults });
    try {
      const failure = faults.find((fault) => 'failWith' in fault);
      if (failure !== undefined) {
        exchange.adoptTask(route.realm);
        const [code, ...params] = failure.failWith;
        throw new SimulatedFailure(code, params);
      }
      await route.handle(exchange);
    } catch (thrown) {
      await exchange.fail(thrown);
    }
  } finally {
    caller.release();
  }
}

/** Why a session may not use a handler. */
function denialOf(pool: SimulatedPool, session: string, route: Route): SimulatedFailure | undefined {
  try {
    assertRole(pool, session, `http/${route.realm}`, route.role ?? 'vm-admin');
    return undefined;
  } catch (thrown) {
    return toSimulatedFailure(thrown);
  }
}
