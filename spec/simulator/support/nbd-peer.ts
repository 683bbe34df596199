import { connect, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';

const OPTION_REPLY_BYTES = 20;
const EXPORT_ANSWER_BYTES = 134;

/** What `VDI.get_nbd_info` gives. */
export interface NbdInfo {
  readonly exportname: string;
  readonly address: string;
  readonly port: number;
  readonly cert: string;
  readonly subject: string;
}

/** A bare NBD client for specs: sends what it is told and shows what comes. */
export class NbdPeer {
  #socket: Socket;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #hasExport = false;
  #isEnded = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  static async connect({ address, port }: Pick<NbdInfo, 'address' | 'port'>): Promise<NbdPeer> {
    const socket = connect(port, address);
    const peer = new NbdPeer(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return peer;
  }

  /** In clear, with the greeting over and the flags of a client sent. */
  static async greeted(info: Pick<NbdInfo, 'address' | 'port'>): Promise<NbdPeer> {
    const peer = await NbdPeer.connect(info);
    await peer.take(18);
    peer.send('00000001');
    return peer;
  }

  /** Ready for requests, secured when `info` is to be reached that way. */
  static async opened(info: NbdInfo, isSecure = false): Promise<NbdPeer> {
    const peer = await NbdPeer.greeted(info);
    if (isSecure) await peer.startTls(info);
    await peer.export(info.exportname);
    return peer;
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'hex') : bytes);
  }

  /** So many bytes; fewer when the server ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#receivedBytes < length && !this.#isEnded) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const all = Buffer.concat(this.#received);
    const bytes = all.subarray(0, length);
    this.#received = [all.subarray(bytes.length)];
    this.#receivedBytes -= bytes.length;
    return bytes;
  }

  /** All that comes until the server ends the connection. */
  ended(): Promise<Buffer> {
    return this.take(Number.POSITIVE_INFINITY);
  }

  /** The answer to an option, in hex. */
  async option(number: number, data = ''): Promise<string> {
    const head = Buffer.alloc(16);
    head.write('IHAVEOPT');
    head.writeUInt32BE(number, 8);
    head.writeUInt32BE(data.length, 12);
    this.send(Buffer.concat([head, Buffer.from(data)]));
    return (await this.take(OPTION_REPLY_BYTES)).toString('hex');
  }

  /** What comes after EXPORT_NAME: the size, the flags and zeroes. Nothing when it is refused. */
  async export(name: string): Promise<Buffer> {
    const head = Buffer.alloc(16);
    head.write('IHAVEOPT');
    head.writeUInt32BE(1, 8);
    head.writeUInt32BE(Buffer.byteLength(name), 12);
    this.send(Buffer.concat([head, Buffer.from(name)]));
    const answer = await this.take(EXPORT_ANSWER_BYTES);
    this.#hasExport = answer.length === EXPORT_ANSWER_BYTES;
    return answer;
  }

  /** The server's answer to STARTTLS, in hex; the connection is secured by then. */
  async startTls({ cert, subject }: Pick<NbdInfo, 'cert' | 'subject'>): Promise<string> {
    const answer = await this.option(5);
    this.#socket.removeAllListeners();
    const secured = connectTls({ socket: this.#socket, ca: cert, servername: subject });
    this.#socket = secured;
    this.#listen();
    await new Promise<void>((resolve, reject) => {
      secured.once('secureConnect', resolve);
      secured.once('error', reject);
    });
    return answer;
  }

  /** A disk is served over it. */
  get hasExport(): boolean {
    return this.#hasExport;
  }

  get isSecure(): boolean {
    return this.#socket instanceof TLSSocket;
  }

  get tlsVersion(): string {
    return this.#socket instanceof TLSSocket ? (this.#socket.getProtocol() ?? '') : '';
  }

  request(command: number, offset: number, length: number, handle = 1, flags = 0): void {
    const bytes = Buffer.alloc(28);
    bytes.writeUInt32BE(0x25609513, 0);
    bytes.writeUInt16BE(flags, 4);
    bytes.writeUInt16BE(command, 6);
    bytes.writeBigUInt64BE(BigInt(handle), 8);
    bytes.writeBigUInt64BE(BigInt(offset), 16);
    bytes.writeUInt32BE(length, 24);
    this.send(bytes);
  }

  /** The data of a read; its head must be that of a success. */
  async read(offset: number, length: number): Promise<Buffer> {
    this.request(0, offset, length);
    const answer = await this.take(16 + length);
    if (answer.readUInt32BE(4) !== 0) throw new RangeError(`the read failed with ${answer.readUInt32BE(4)}`);
    return answer.subarray(16);
  }

  close(): void {
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#receivedBytes += chunk.length;
      this.#wake();
    });
    for (const event of ['end', 'close', 'error']) {
      this.#socket.on(event, () => {
        this.#isEnded = true;
        this.#wake();
      });
    }
  }
}
