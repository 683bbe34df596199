import { type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { SocketIo } from '../http/socket-io.js';

/** What a server shows when it turns a connection into a secured one. */
export interface ServerIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A host's NBD server takes this version of TLS and no other. */
const TLS_VERSION = 'TLSv1.2';

/** One side of an NBD connection: exact numbers of bytes in, any bytes out with back-pressure. */
export class NbdStream {
  readonly #socket: Socket;
  readonly #io: SocketIo;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#io = new SocketIo(socket);
  }

  get isSecure(): boolean {
    return this.#socket instanceof TLSSocket;
  }

  /** Aborts when the client has ended its side, or the connection is closed. */
  get hungUp(): AbortSignal {
    return this.#io.hungUp;
  }

  /** Exactly so many bytes; undefined when the client ends before. */
  async take(lengthBytes: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    let missing = lengthBytes;
    while (missing > 0) {
      const bytes = await this.#io.read();
      if (bytes === undefined) return undefined;
      pieces.push(bytes.subarray(0, missing));
      this.#io.unread(bytes.subarray(missing));
      missing -= Math.min(missing, bytes.length);
    }
    const [first] = pieces;
    return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
  }

  /** Throws so many bytes away; false when the client ends before. */
  async skip(lengthBytes: number): Promise<boolean> {
    for (let missing = lengthBytes; missing > 0;) {
      const bytes = await this.#io.read();
      if (bytes === undefined) return false;
      this.#io.unread(bytes.subarray(missing));
      missing -= Math.min(missing, bytes.length);
    }
    return true;
  }

  /** Resolves when the socket takes more. Rejects with CLIENT_ERROR when the client is gone. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#io.write(bytes);
  }

  /** The same connection, secured from here on. The client speaks first; this stream is not to be used any more. */
  secure(identity: ServerIdentity): NbdStream {
    this.#socket.removeAllListeners('readable');
    return new NbdStream(
      new TLSSocket(this.#socket, {
        isServer: true,
        key: identity.keyPem,
        cert: identity.certificatePem,
        minVersion: TLS_VERSION,
        maxVersion: TLS_VERSION,
      }),
    );
  }

  /** Closes after everything written is out. */
  end(): Promise<void> {
    return this.#io.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
