import { type X509Certificate } from 'node:crypto';
import { type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { buildConnector } from 'undici';
import { BlockReads } from './block-reads.js';
import { toTransportError, TransportError } from './transport-error.js';

/** Whose certificates we accept. There is no way to accept just any. */
export type TlsTrust =
  | { readonly mode: 'system' }
  /** Only what these certificates (PEM) vouch for. */
  | { readonly mode: 'ca'; readonly pem: string }
  /** Only these certificates: SHA-256 fingerprints, `AB:CD:...`. Names and dates don't matter then. */
  | { readonly mode: 'pinned'; readonly fingerprints: readonly string[] };

/** Where to connect. `host` without brackets, also for IPv6. */
export interface Endpoint {
  readonly protocol: 'https:' | 'http:';
  readonly host: string;
  readonly port: number;
}

export interface ConnectorOptions {
  /** Size of the blocks that are read into; for bulk data. Default: Node's own pieces. TLS comes by records of 16 KiB. */
  readonly readBytes?: number;
}

/** `host:port` for people, with brackets around IPv6. */
export function endpointAddress(endpoint: Endpoint): string {
  return `${urlHost(endpoint.host)}:${endpoint.port}`;
}

/** A host as a URL wants it: IPv6 in brackets. */
export function urlHost(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}

/**
 * The connector that undici and our own upload use. It hands a socket out only after the certificate was accepted: a
 * refused server never gets a byte of HTTP. TLS 1.2 or later. No session cache, because a resumed session shows no
 * certificate to check. Every failure is a `TransportError`, `unreachable` or `untrusted`.
 *
 * Node's own refusal is switched off and its verdict (`authorized`, chain and names) read afterwards, because Node drops
 * the certificate of a connection it refuses, and a person needs its fingerprint to decide.
 */
export function trustedConnector(
  trust: TlsTrust,
  connectTimeoutMs: number,
  { readBytes }: ConnectorOptions = {},
): buildConnector.connector {
  const settings = {
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    maxCachedSessions: 0,
    timeout: connectTimeoutMs,
    ...(trust.mode === 'ca' ? { ca: trust.pem } : {}),
  } as const;
  const shared = buildConnector(settings);
  return (options, callback) => {
    const connect = readBytes === undefined ? shared : inBlocks(settings, readBytes);
    const address = `${options.hostname}:${options.port === '' ? (options.protocol === 'https:' ? '443' : '80') : options.port}`;
    connect(options, (...[error, socket]: buildConnector.CallbackArgs) => {
      if (error !== null) {
        callback(unreachable(error, address), null);
        return;
      }
      const refusal = socket instanceof TLSSocket ? refusalOf(socket, trust, address) : undefined;
      if (refusal === undefined) {
        callback(null, socket);
        return;
      }
      socket.destroy();
      callback(refusal, null);
    });
  };
}

/** A connector for one connection: its blocks are its own. */
function inBlocks(settings: buildConnector.BuildOptions, readBytes: number): buildConnector.connector {
  return (options, callback) => {
    const state: { socket?: Socket } = {};
    const reads = new BlockReads(readBytes, () => state.socket);
    buildConnector({ ...settings, onread: reads.onread })(options, (...result: buildConnector.CallbackArgs) => {
      if (result[1] !== null) state.socket = result[1];
      callback(...result);
    });
  };
}

/** Node shows a peer's certificate once; whoever asks later finds it here. */
const presented = new WeakMap<object, X509Certificate>();

/** The certificate that the other end of a socket of `trustedConnector` presented. */
export function presentedCertificate(socket: Socket): X509Certificate | undefined {
  return presented.get(socket);
}

function unreachable(error: Error, address: string): Error {
  const known = toTransportError(error, address);
  if (known instanceof TransportError && known.kind === 'unreachable') return known;
  // Whatever it was, it came before the connection was ours: nothing was sent.
  const systemCode = known instanceof TransportError ? known.systemCode : undefined;
  return new TransportError(
    'unreachable',
    `No connection to ${address}${systemCode === undefined ? '' : `: ${systemCode}`}.`,
    {
      cause: error,
      address,
      ...(systemCode === undefined ? {} : { systemCode }),
    },
  );
}

function refusalOf(socket: TLSSocket, trust: TlsTrust, address: string): TransportError | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate !== undefined) presented.set(socket, certificate);
  const fingerprint = certificate?.fingerprint256;
  const options = { address, ...(fingerprint === undefined ? {} : { fingerprint }) };
  if (trust.mode === 'pinned') {
    if (fingerprint !== undefined && trust.fingerprints.includes(fingerprint)) return undefined;
    return new TransportError('untrusted', `The certificate of ${address} is not one of the pinned ones.`, options);
  }
  if (socket.authorized) return undefined;
  // Node's typings say Error; at run time it is the code as text.
  const systemCode = String(socket.authorizationError);
  return new TransportError('untrusted', `The certificate of ${address} is not trusted: ${systemCode}.`, {
    ...options,
    systemCode,
  });
}

/**
 * Opens one trusted connection.
 * @throws {TransportError} `unreachable`, `untrusted`
 * @throws the signal's reason
 */
export function openSocket(
  connect: buildConnector.connector,
  endpoint: Endpoint,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let isOver = false;
    const onAbort = (): void => {
      isOver = true;
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const { protocol, host, port } = endpoint;
    const options = { hostname: host, host: urlHost(host), protocol, port: String(port) };
    connect(options, (...[error, socket]: buildConnector.CallbackArgs) => {
      signal?.removeEventListener('abort', onAbort);
      if (isOver) socket?.destroy();
      else if (error === null) resolve(socket);
      else reject(error);
    });
  });
}
