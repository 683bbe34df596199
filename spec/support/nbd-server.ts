import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type TestCertificate } from './test-certificate.js';

export interface ReadRequest {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Of the connection that asks, counted from 0. */
  readonly connection: number;
  /** How many reads were asked for before, on all connections. */
  readonly index: number;
}

export interface NbdServerOptions {
  readonly disk: Buffer;
  readonly certificate?: TestCertificate;
  readonly port?: number;
  readonly leavesZeroesOut?: boolean;
  /** Each answer waits so long; answers don't wait for one another. */
  readonly latencyMs?: number;
  /** Each step of the handshake waits so long. */
  readonly handshakeLatencyMs?: number;
  /** One read at a time on each connection. */
  readonly isSerial?: boolean;
  /** `hang-up` ends the connection, `silent` never answers; a number is the error of the reply. */
  readonly onRead?: (request: ReadRequest) => 'hang-up' | 'silent' | number | undefined;
  readonly onExport?: (name: string, connection: number) => 'hang-up' | 'silent' | undefined;
  readonly sizeBytes?: bigint;
}

export interface NbdServer {
  readonly port: number;
  readonly exportNames: readonly string[];
  readonly reads: readonly ReadRequest[];
  /** Connections so far, and now. */
  readonly connections: number;
  readonly open: number;
  /** How many clients took leave. */
  readonly farewells: number;
  /** Most bytes asked for and not yet answered, on all connections. */
  readonly mostInFlight: number;
  /** All bytes that came in clear. */
  readonly inClear: () => string;
  close(): Promise<void>;
}

/** A server of one disk that speaks as much NBD as XAPI's does, and misbehaves as the spec says. */
export async function startNbdServer(options: NbdServerOptions): Promise<NbdServer> {
  const { disk, certificate, latencyMs = 0 } = options;
  const sockets = new Set<Socket>();
  const exportNames: string[] = [];
  const reads: ReadRequest[] = [];
  const clear: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const state = { connections: 0, farewells: 0, inFlight: 0, most: 0 };

  const wait = (forMs: number): Promise<void> =>
    new Promise((resolve) => {
      if (forMs === 0) {
        resolve();
        return;
      }
      const timer = setTimeout(() => {
        timers.delete(timer);
        resolve();
      }, forMs);
      timers.add(timer);
    });

  const answer = async (socket: Socket, request: ReadRequest, header: Buffer): Promise<void> => {
    const { offsetBytes, lengthBytes } = request;
    const what = options.onRead?.(request);
    state.inFlight += lengthBytes;
    state.most = Math.max(state.most, state.inFlight);
    await wait(latencyMs);
    state.inFlight -= lengthBytes;
    if (what === 'silent') return;
    if (what === 'hang-up') {
      socket.destroy();
      return;
    }
    const reply = Buffer.alloc(16);
    reply.writeUInt32BE(0x67446698);
    reply.writeUInt32BE(what ?? 0, 4);
    header.copy(reply, 8, 8, 16);
    socket.write(
      what === undefined ? Buffer.concat([reply, disk.subarray(offsetBytes, offsetBytes + lengthBytes)]) : reply,
    );
  };

  const transmit = async (input: Input, socket: Socket, connection: number): Promise<void> => {
    for (;;) {
      const header = await input.take(28);
      if (header.readUInt32BE(4) === 2) {
        state.farewells += 1;
        socket.end();
        return;
      }
      const offsetBytes = Number(header.readBigUInt64BE(16));
      const request = { offsetBytes, lengthBytes: header.readUInt32BE(24), connection, index: reads.length };
      reads.push(request);
      const answered = answer(socket, request, header);
      if (options.isSerial === true) await answered;
    }
  };

  const serve = async (raw: Socket, connection: number): Promise<void> => {
    let socket = raw;
    let isSecure = certificate === undefined;
    raw.on('error', () => undefined);
    const greeting = Buffer.from('NBDMAGICIHAVEOPT\0\0', 'latin1');
    greeting.writeUInt16BE(options.leavesZeroesOut === true ? 3 : 1, 16);
    raw.write(greeting);
    let input = new Input(raw, (bytes) => clear.push(bytes.toString('latin1')));
    await input.take(4);
    for (;;) {
      const head = await input.take(16);
      const data = await input.take(head.readUInt32BE(12));
      const option = head.readUInt32BE(8);
      const reply = Buffer.alloc(20);
      reply.writeBigUInt64BE(0x0003e889045565a9n);
      reply.writeUInt32BE(option, 8);
      reply.writeUInt32BE(option !== 5 ? 0x80000001 : certificate === undefined ? 0x80000002 : 1, 12);
      if (option === 1 && isSecure) {
        exportNames.push(data.toString());
        const what = options.onExport?.(data.toString(), connection);
        if (what === 'silent') return;
        if (what === 'hang-up') {
          socket.destroy();
          return;
        }
        const opened = Buffer.alloc(options.leavesZeroesOut === true ? 10 : 134);
        opened.writeBigUInt64BE(options.sizeBytes ?? BigInt(disk.length));
        opened.writeUInt16BE(3, 8);
        socket.write(opened);
        await transmit(input, socket, connection);
        return;
      }
      if (option === 1) {
        socket.destroy();
        return;
      }
      await wait(options.handshakeLatencyMs ?? 0);
      socket.write(reply);
      if (option !== 5 || certificate === undefined) continue;
      input.release();
      socket = new TLSSocket(raw, { isServer: true, key: certificate.key, cert: certificate.cert });
      socket.on('error', () => undefined);
      input = new Input(socket);
      isSecure = true;
    }
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    state.connections += 1;
    serve(socket, state.connections - 1).catch(() => undefined);
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    exportNames,
    reads,
    get connections() {
      return state.connections;
    },
    get open() {
      return sockets.size;
    },
    get farewells() {
      return state.farewells;
    },
    get mostInFlight() {
      return state.most;
    },
    inClear: () => clear.join(''),
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The bytes of a socket, so many at a time; rejects when there are no more. */
class Input {
  #bytes = Buffer.alloc(0);
  #isOver = false;
  #changed: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #onData: (chunk: Buffer) => void;

  constructor(socket: Socket, onBytes?: (bytes: Buffer) => void) {
    this.#socket = socket;
    this.#onData = (chunk) => {
      onBytes?.(chunk);
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#changed();
    };
    socket.on('data', this.#onData);
    socket.on('close', () => {
      this.#isOver = true;
      this.#changed();
    });
  }

  async take(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) {
      if (this.#isOver) throw new Error('over');
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  release(): void {
    this.#socket.off('data', this.#onData);
  }
}
