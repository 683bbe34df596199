import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

export interface RawServer {
  readonly port: number;
  /** All that clients sent, as latin-1 text, one entry a connection. */
  readonly received: readonly string[];
  /** Resolves when a client was there and all clients are gone: then `received` is final. */
  whenGone(): Promise<void>;
  close(): Promise<void>;
}

/** A server on loopback that does with each connection what the spec says. Ends by itself with `close`. */
export async function startRawServer(
  onConnection: (socket: Socket, index: number) => void,
  tls?: TlsOptions,
  address = '127.0.0.1',
): Promise<RawServer> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  let gone = (): void => undefined;
  const allGone = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const serve = (socket: Socket): void => {
    const index = received.push('') - 1;
    socket.on('data', (chunk) => {
      received[index] = `${received[index] ?? ''}${chunk.toString('latin1')}`;
    });
    socket.on('error', () => undefined);
    onConnection(socket, index);
  };
  const server: Server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket
      .on('error', () => undefined)
      .on('close', () => {
        sockets.delete(socket);
        if (sockets.size === 0) gone();
      });
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    received,
    whenGone: () => allGone,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Resolves when the socket has received a whole request head. */
export function whenHead(socket: Socket, act: (head: string) => void): void {
  let head = '';
  const onData = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    socket.off('data', onData);
    act(head);
  };
  socket.on('data', onData);
}
