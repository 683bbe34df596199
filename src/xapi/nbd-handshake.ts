import { connect as connectTcp, type Socket } from 'node:net';
import { withDeadline } from '../common/abort.js';
import { type Clock } from '../common/clock.js';
import { startTls } from './nbd-certificate.js';
import { type NbdEndpoint } from './nbd-endpoint.js';
import {
  clientFlags,
  encodeOption,
  EXPORT_BYTES,
  type Greeting,
  GREETING_BYTES,
  OPTION_REPLY_BYTES,
  parseExport,
  parseGreeting,
  parseOptionReply,
  ZEROES_BYTES,
} from './nbd-protocol.js';
import { toTransportError, TransportError } from './transport-error.js';

export interface NbdLimits {
  readonly connectTimeoutMs: number;
  /** From the connection to the opened export: the host attaches the disk meanwhile. */
  readonly handshakeTimeoutMs: number;
  /** Longest silence while a read is under way. */
  readonly idleTimeoutMs: number;
}

export interface OpenedExport {
  readonly socket: Socket;
  readonly sizeBytes: number;
  readonly roundTripMs: number;
}

/** From nothing to an opened export; see `connectNbd`. On failure the socket is gone. */
export async function shakeHands(
  endpoint: NbdEndpoint,
  limits: NbdLimits,
  clock: Clock,
  signal: AbortSignal,
): Promise<OpenedExport> {
  const { address } = endpoint;
  const { connectTimeoutMs, handshakeTimeoutMs } = limits;
  const noConnection = (): Error =>
    new TransportError('unreachable', `No connection to ${address} within ${connectTimeoutMs} ms.`, { address });
  const noHandshake = (): Error =>
    new TransportError('timeout', `${address} did not open the disk in ${handshakeTimeoutMs} ms.`, { address });
  const socket = await withDeadline([signal], connectTimeoutMs, noConnection, (limited) =>
    connected(endpoint, limited),
  );
  return await withDeadline([signal], handshakeTimeoutMs, noHandshake, async (limited) => {
    const onAbort = (): void => {
      socket.destroy();
    };
    limited.addEventListener('abort', onAbort, { once: true });
    try {
      if (limited.aborted) onAbort();
      return await negotiate(socket, endpoint, clock);
    } catch (error) {
      socket.destroy();
      limited.throwIfAborted();
      throw error;
    } finally {
      limited.removeEventListener('abort', onAbort);
    }
  });
}

async function connected({ host, port, address }: NbdEndpoint, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connectTcp({ host, port, noDelay: true });
  const onAbort = (): void => {
    socket.destroy(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    // Whoever reads finds a failure by itself.
    socket.on('error', () => undefined);
    return socket;
  } catch (error) {
    signal.throwIfAborted();
    throw toTransportError(error, address);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Whether somebody listens there. Nothing is said. @throws the signal's reason */
export async function answersTcp(
  endpoint: NbdEndpoint,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { address } = endpoint;
  const tooLate = (): Error => new TransportError('unreachable', `No connection to ${address} in time.`, { address });
  try {
    const socket = await withDeadline([signal], timeoutMs, tooLate, (limited) => connected(endpoint, limited));
    socket.destroy();
    return true;
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}

async function negotiate(socket: Socket, endpoint: NbdEndpoint, clock: Clock): Promise<OpenedExport> {
  const { address } = endpoint;
  const greeting = await greetingOf(socket, address);
  socket.write(clientFlags(greeting));
  const fromMs = clock.nowMs();
  const refusal = await askForTls(socket, address);
  const roundTripMs = clock.nowMs() - fromMs;
  if (refusal !== undefined && !endpoint.isPlainAllowed) {
    const message = `${address} offers no TLS (${refusal}): the network of the pool is for NBD in clear only.`;
    throw new TransportError('untrusted', message, { address, systemCode: refusal });
  }
  // What came before TLS and is not read yet was never said by the server whose certificate we are about to see.
  if (socket.readableLength > 0) throw unasked(address);
  const open = refusal === undefined ? await startTls(socket, endpoint) : socket;
  open.write(encodeOption('exportName', endpoint.revealExportName()));
  const sizeBytes = parseExport(await exactly(open, EXPORT_BYTES, address));
  if (!greeting.leavesZeroesOut) await exactly(open, ZEROES_BYTES, address);
  if (open.readableLength > 0) throw unasked(address);
  return { socket: open, sizeBytes, roundTripMs };
}

async function greetingOf(socket: Socket, address: string): Promise<Greeting> {
  try {
    return parseGreeting(await exactly(socket, GREETING_BYTES, address));
  } catch (cause) {
    if (!(cause instanceof TransportError) || cause.kind !== 'interrupted') throw cause;
    const message = `${address} hangs up: no network of the pool is for NBD, or the host has 16 clients already.`;
    throw new TransportError('unreachable', message, { address, cause });
  }
}

/** What the server calls its refusal; undefined when TLS may begin. */
async function askForTls(socket: Socket, address: string): Promise<string | undefined> {
  socket.write(encodeOption('startTls'));
  const { refusal, textBytes } = parseOptionReply(await exactly(socket, OPTION_REPLY_BYTES, address), 'startTls');
  if (textBytes > 0) await exactly(socket, textBytes, address);
  return refusal;
}

/** The next so many bytes of a socket that nobody else reads. */
async function exactly(socket: Socket, bytes: number, address: string): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(bytes) as Buffer | null;
    // At the end of the data, Node gives what is left.
    if (chunk?.length === bytes) return chunk;
    if (chunk !== null || socket.readableEnded || socket.destroyed) throw hungUp(socket, address);
    await new Promise<void>((resolve) => {
      const done = (): void => {
        for (const event of ['readable', 'end', 'close', 'error']) socket.off(event, done);
        resolve();
      };
      for (const event of ['readable', 'end', 'close', 'error']) socket.on(event, done);
    });
  }
}

function hungUp(socket: Socket, address: string): Error {
  if (socket.errored !== null) return toTransportError(socket.errored, address) as Error;
  return new TransportError('interrupted', `${address} hung up before it opened the disk.`, { address });
}

function unasked(address: string): TransportError {
  return new TransportError('protocol', `${address} sends what nobody asked for.`, { address });
}
