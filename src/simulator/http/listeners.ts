import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type CleanupStack } from '../../common/cleanup-stack.js';
import { type Door } from '../simulated-pool.js';
import { SimulatedFailure } from '../simulated-failure.js';

/** A host's address and the certificate it shows. */
export interface Endpoint {
  readonly address: string;
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** Serves one connection to the host with that index. */
export type ConnectionHandler = (hostIndex: number, isTls: boolean, socket: Socket) => void;

export interface ListenOptions {
  readonly endpoints: readonly Endpoint[];
  /** The same at every address; 0 for one that is free everywhere. */
  readonly port: number;
  readonly isTls: boolean;
  readonly onConnection: ConnectionHandler;
  /** Told of each port that is open, to shut it and open it again. */
  readonly onDoor?: (hostIndex: number, door: Door) => void;
}

const MAX_ATTEMPTS = 20;

/** Listens at every address on one and the same port, and returns it. What it opened is registered in `cleanup`. */
export async function listenEverywhere(options: ListenOptions, cleanup: CleanupStack): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const servers: Server[] = [];
    const sockets = new Set<Socket>();
    const close = async (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    };
    const forget = cleanup.add(`port ${options.port}`, close);
    try {
      let port = options.port;
      for (const [index, endpoint] of options.endpoints.entries()) {
        const server = makeServer(options, index, endpoint, sockets);
        await listen(server, endpoint.address, port);
        servers.push(server);
        port = (server.address() as AddressInfo).port;
      }
      for (const [index, server] of servers.entries()) {
        options.onDoor?.(index, doorOf(server, options.endpoints[index]?.address ?? '', port, sockets));
      }
      return port;
    } catch (error) {
      forget();
      await close();
      if (options.port !== 0 || attempt >= MAX_ATTEMPTS) {
        throw new SimulatedFailure('INTERNAL_ERROR', [
          `cannot listen: ${error instanceof Error ? error.message : String(error)}`,
        ]);
      }
    }
  }
}

function doorOf(server: Server, address: string, port: number, sockets: ReadonlySet<Socket>): Door {
  return {
    shut: () => {
      server.close();
      for (const socket of sockets) if (socket.localAddress === address) socket.destroy();
    },
    open: () => (server.listening ? Promise.resolve() : listen(server, address, port)),
  };
}

function makeServer(options: ListenOptions, index: number, endpoint: Endpoint, sockets: Set<Socket>): Server {
  const accept = (socket: Socket): void => {
    options.onConnection(index, options.isTls, socket);
  };
  const server = options.isTls
    ? createTlsServer({ key: endpoint.keyPem, cert: endpoint.certificatePem, allowHalfOpen: true }, accept)
    : createServer({ allowHalfOpen: true }, accept);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {
      socket.destroy();
    });
  });
  if (options.isTls) {
    server.on('tlsClientError', (_error: Error, socket: Socket) => {
      socket.destroy();
    });
  }
  return server;
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
