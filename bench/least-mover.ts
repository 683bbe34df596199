import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { connect as connectTcp, type OnReadOpts, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { MIB } from '../src/common/byte-size.js';
import { Xxh64 } from '../src/format/xxh64.js';
import { type LeastOrder } from './least-order.js';

/**
 * The least that Node needs to move an archive with SHA-256 and XXH64 of all its bytes: nothing is looked at, nobody is
 * logged in, nothing is cleaned up, and memory is used again. What this takes is the limit of what our own code could be
 * made to take, for as long as it is written for Node.
 */
const PIECES = 8;
/** So many pieces may wait to be written while the next is read. */
const MOST_WAITING = 4;

const { direction, url, authorization, file } = JSON.parse(await text(process.stdin)) as LeastOrder;
const { protocol, hostname, port, pathname, search } = new URL(url);
const sha256 = createHash('sha256');
const xxh64 = new Xxh64();
const free = Array.from({ length: PIECES }, () => Buffer.allocUnsafeSlow(MIB));

function hash(piece: Buffer): void {
  sha256.update(piece);
  xxh64.update(piece);
}

async function connected(onread?: OnReadOpts): Promise<Socket> {
  const order = { host: hostname, port: Number(port), ...(onread === undefined ? {} : { onread }) };
  const socket = protocol === 'https:' ? connectTls({ ...order, rejectUnauthorized: false }) : connectTcp(order);
  await once(socket, protocol === 'https:' ? 'secureConnect' : 'connect');
  return socket;
}

const requestHead = (method: string, more = ''): string =>
  `${method} ${pathname}${search} HTTP/1.0\r\nHost: ${hostname}\r\nAuthorization: ${authorization}\r\n${more}\r\n`;

async function download(target: FileHandle): Promise<void> {
  let piece = free.pop()!;
  let filledBytes = 0;
  let waiting = 0;
  let writing = Promise.resolve();
  const pass = (): void => {
    const [memory, full] = [piece, piece.subarray(0, filledBytes)];
    hash(full);
    waiting += 1;
    writing = writing
      .then(() => target.write(full))
      .then(() => {
        waiting -= 1;
        free.push(memory);
        socket.resume();
      });
    piece = free.pop()!;
    filledBytes = 0;
  };
  const socket = await connected({
    buffer: () => piece.subarray(filledBytes),
    callback: (bytes) => {
      filledBytes += bytes;
      if (MIB - filledBytes < MIB / 16) pass();
      return waiting < MOST_WAITING;
    },
  });
  socket.write(requestHead('GET'));
  await once(socket, 'end');
  pass();
  await writing;
}

async function upload(source: FileHandle): Promise<void> {
  const { size } = await source.stat();
  const socket = await connected();
  const answered = once(socket, 'data');
  const closed = once(socket, 'close');
  socket.write(requestHead('PUT', `Content-Length: ${size}\r\n`));
  await answered;
  const read = async (): Promise<{ memory: Buffer<ArrayBuffer>; bytesRead: number }> => {
    const memory = free.pop() ?? Buffer.allocUnsafeSlow(MIB);
    return { memory, bytesRead: (await source.read(memory, 0, MIB, null)).bytesRead };
  };
  for (let next = read(); ;) {
    const { memory, bytesRead } = await next;
    if (bytesRead === 0) break;
    next = read();
    const piece = memory.subarray(0, bytesRead);
    hash(piece);
    socket.write(piece, () => free.push(memory));
    if (socket.writableLength > MOST_WAITING * MIB) await once(socket, 'drain');
  }
  await closed;
}

const handle = await open(file, direction === 'download' ? 'w' : 'r');
await (direction === 'download' ? download(handle) : upload(handle));
await handle.close();
process.stdout.write(JSON.stringify({ sha256: sha256.digest('hex'), xxh64: xxh64.digest() }));
process.exit(0);
