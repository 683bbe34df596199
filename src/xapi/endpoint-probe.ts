import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type buildConnector } from 'undici';
import { withDeadline } from '../common/abort.js';
import { type Clock } from '../common/clock.js';
import { type Endpoint, endpointAddress, openSocket, presentedCertificate } from './tls-trust.js';
import { isTransportError, toTransportError, TransportError } from './transport-error.js';

/** What became of one attempt to reach a host, step by step. All times in milliseconds. */
export interface EndpointSighting {
  readonly endpoint: Endpoint;
  /** What the name stands for; the address itself when there is no name to look up. */
  readonly addresses: readonly string[];
  readonly lookupMs: number;
  /** Time until the TCP connection stood; undefined when none came about. */
  readonly connectMs: number | undefined;
  /** SHA-256 of the certificate that was presented, trusted or not. */
  readonly fingerprint: string | undefined;
  /** When the presented certificate ends, in milliseconds since the epoch; undefined when it was not accepted. */
  readonly validToMs: number | undefined;
  readonly failure: TransportError | undefined;
}

export interface ProbeOptions {
  /** Checks certificates as every other connection does: `trustedConnector`. */
  readonly connector: buildConnector.connector;
  readonly clock: Clock;
  /** Limit of each step. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Looks a name up, opens a TCP connection, then a trusted one, and closes both. No byte of HTTP is sent. A failure is
 * part of what was seen; only the signal's reason is thrown.
 */
export async function probeEndpoint(endpoint: Endpoint, options: ProbeOptions): Promise<EndpointSighting> {
  const { clock, signal } = options;
  const address = endpointAddress(endpoint);
  let seen: EndpointSighting = {
    endpoint,
    addresses: [],
    lookupMs: 0,
    connectMs: undefined,
    fingerprint: undefined,
    validToMs: undefined,
    failure: undefined,
  };
  try {
    const startMs = clock.nowMs();
    const addresses = await limited(options, address, (limit) => addressesOf(endpoint.host, limit));
    seen = { ...seen, addresses, lookupMs: clock.nowMs() - startMs };
    const connectFromMs = clock.nowMs();
    await limited(options, address, (limit) => openAndClose(addresses[0] ?? endpoint.host, endpoint.port, limit));
    seen = { ...seen, connectMs: clock.nowMs() - connectFromMs };
    const certificate = await limited(options, address, (limit) => certificateOf(endpoint, options.connector, limit));
    return { ...seen, ...certificate };
  } catch (error) {
    signal.throwIfAborted();
    const known = toTransportError(error, address);
    if (!isTransportError(known)) throw error;
    return { ...seen, fingerprint: known.fingerprint, failure: known };
  }
}

function limited<T>(options: ProbeOptions, address: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, timeoutMs } = options;
  const onTimeout = (): Error =>
    new TransportError('unreachable', `No connection to ${address} within ${timeoutMs} ms.`, { address });
  return withDeadline([signal], timeoutMs, onTimeout, work);
}

async function addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  // A lookup can't be called off; it goes on unheard.
  return await new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    lookup(host, { all: true })
      .then((found) => {
        resolve(found.map(({ address }) => address));
      }, reject)
      .finally(() => {
        signal.removeEventListener('abort', onAbort);
      });
  });
}

async function openAndClose(host: string, port: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const socket: Socket = connectTcp({ host, port });
  const onAbort = (): void => {
    socket.destroy(signal.reason as Error);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

async function certificateOf(
  endpoint: Endpoint,
  connector: buildConnector.connector,
  signal: AbortSignal,
): Promise<Pick<EndpointSighting, 'fingerprint' | 'validToMs'>> {
  const socket = await openSocket(connector, endpoint, signal);
  try {
    const certificate = presentedCertificate(socket);
    const validToMs = certificate === undefined ? undefined : Date.parse(certificate.validTo);
    return { fingerprint: certificate?.fingerprint256, validToMs };
  } finally {
    socket.destroy();
  }
}
