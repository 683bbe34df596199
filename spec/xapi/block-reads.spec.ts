import { expect } from 'chai';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { BlockReads, giveBack } from '../../src/xapi/block-reads.js';

const KIB = 1024;
const BLOCK_BYTES = 256 * KIB;

describe('BlockReads', () => {
  const servers: Server[] = [];

  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  const socketTo = async (serve: (socket: Socket) => void): Promise<Socket> => {
    const server = createServer(serve).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    const state: { socket?: Socket } = {};
    const { onread } = new BlockReads(BLOCK_BYTES, () => state.socket);
    const { port } = server.address() as AddressInfo;
    state.socket = connect({ host: '127.0.0.1', port, onread });
    await once(state.socket, 'connect');
    return state.socket;
  };

  it('gives every byte once and in order, in pieces that stay as they are, to the end of the connection', async () => {
    const data = randomBytes(5 * 1024 * KIB + 17);
    const socket = await socketTo((peer) => peer.end(data));
    const pieces: Buffer[] = [];
    for await (const piece of socket as AsyncIterable<Buffer>) pieces.push(piece);
    const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    expect(sha256(Buffer.concat(pieces))).to.equal(sha256(data));
    expect(Math.max(...pieces.map(({ length }) => length))).to.be.at.most(BLOCK_BYTES);
  });

  it('reads again into what was given back, and never into what was not', async () => {
    const data = randomBytes(8 * 1024 * KIB);
    const socket = await socketTo((peer) => peer.end(data));
    const memory = new Set<ArrayBufferLike>();
    const kept: { readonly at: number; readonly piece: Buffer }[] = [];
    let at = 0;
    for await (const piece of socket as AsyncIterable<Buffer>) {
      memory.add(piece.buffer);
      expect(piece.equals(data.subarray(at, at + piece.length)), `at ${at}`).to.equal(true);
      // In two parts, as a joiner or a splitter between would; three of the pieces are kept.
      const half = piece.length >> 1;
      giveBack(piece.subarray(half));
      if (kept.length < 3 && at > kept.length * 2 * 1024 * KIB) kept.push({ at, piece: piece.subarray(0, half) });
      else giveBack(piece.subarray(0, half));
      at += piece.length;
    }
    expect(at).to.equal(data.length);
    expect(kept).to.have.lengthOf(3);
    for (const { at: from, piece } of kept)
      expect(piece.equals(data.subarray(from, from + piece.length))).to.equal(true);
    // 32 blocks' worth of data; three were kept from being used again, one is read into while another is looked at.
    expect(memory.size).to.be.at.most(6);
  });

  it('leaves what is no part of a block alone', () => {
    const piece = Buffer.from('something else');
    giveBack(piece);
    expect(piece.toString()).to.equal('something else');
  });

  it('stops reading while nobody takes anything, so that the sender waits', async () => {
    const data = Buffer.alloc(64 * 1024 * KIB, 7);
    const gate = new EventTarget();
    const socket = await socketTo((peer) => {
      peer.on('error', () => undefined);
      peer.write(data, () => gate.dispatchEvent(new Event('sent')));
    });
    let isSent = false;
    const sent = once(gate, 'sent').then(() => (isSent = true));
    await once(socket, 'readable');
    expect(socket.readableLength).to.be.at.most(2 * BLOCK_BYTES);
    expect(isSent).to.equal(false);
    let bytes = 0;
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes === data.length) socket.end();
    });
    await once(socket, 'close');
    await sent;
    expect(bytes).to.equal(data.length);
  });

  it('takes what a reader that pauses left, and goes on', async () => {
    const data = randomBytes(3 * 1024 * KIB);
    const socket = await socketTo((peer) => peer.end(data));
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      socket.pause();
      setImmediate(() => socket.resume());
    });
    await once(socket, 'end');
    expect(Buffer.concat(pieces).equals(data)).to.equal(true);
  });
});
