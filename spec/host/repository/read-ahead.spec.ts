import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { ReadAhead } from '../../../src/host/repository/read-ahead.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

const PIECE_BYTES = 4096;

describe('ReadAhead', () => {
  const folder = useTemporaryFolder();
  const opened = async (bytes: Buffer): Promise<FileHandle> => {
    const path = join(folder(), 'item');
    await writeFile(path, bytes);
    return await open(path, 'r');
  };
  const isClosed = async (handle: FileHandle): Promise<boolean> =>
    await handle.stat().then(
      () => false,
      () => true,
    );

  for (const length of [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES, 10 * PIECE_BYTES - 1]) {
    it(`gives a file of ${length} bytes, and closes it`, async () => {
      const bytes = randomBytes(length);
      const handle = await opened(bytes);
      const stream = new ReadAhead(handle, PIECE_BYTES);
      expect((await buffer(stream)).equals(bytes)).to.equal(true);
      if (!stream.closed) await once(stream, 'close');
      expect(await isClosed(handle)).to.equal(true);
    });
  }

  it('reads into memory that was given back, and into no other', async () => {
    const bytes = randomBytes(400 * PIECE_BYTES);
    const stream = new ReadAhead(await opened(bytes), PIECE_BYTES);
    const memory = new Set<ArrayBufferLike>();
    const kept: { readonly at: number; readonly piece: Buffer }[] = [];
    let at = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      expect(piece.equals(bytes.subarray(at, at + piece.length)), `at ${at}`).to.equal(true);
      memory.add(piece.buffer);
      if (at % (100 * PIECE_BYTES) === 0) kept.push({ at, piece });
      else stream.giveBack(piece);
      at += piece.length;
    }
    expect(kept).to.have.lengthOf(4);
    for (const { at: from, piece } of kept)
      expect(piece.equals(bytes.subarray(from, from + piece.length))).to.equal(true);
    expect(memory.size).to.be.at.most(4 + 4);
  });

  it('takes nothing that is not its own, and nothing twice', async () => {
    const bytes = randomBytes(100 * PIECE_BYTES);
    const stream = new ReadAhead(await opened(bytes), PIECE_BYTES);
    const pieces: Buffer[] = [];
    const alien = Buffer.alloc(10);
    for await (const piece of stream as AsyncIterable<Buffer>) {
      stream.giveBack(alien);
      stream.giveBack(piece);
      stream.giveBack(piece);
      pieces.push(Buffer.from(piece));
    }
    expect(Buffer.concat(pieces).equals(bytes)).to.equal(true);
    expect(alien.every((byte) => byte === 0)).to.equal(true);
  });

  it('reads one piece ahead of a reader that stops, not more', async () => {
    const handle = await opened(randomBytes(100 * PIECE_BYTES));
    let readCount = 0;
    const counting = new Proxy(handle, {
      get: (target, name) => {
        if (name === 'read') readCount += 1;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const stream = new ReadAhead(counting, PIECE_BYTES);
    await once(stream, 'readable');
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(readCount).to.be.at.most(3);
    stream.destroy();
    await once(stream, 'close');
    expect(await isClosed(handle)).to.equal(true);
  });

  it('errors with what a read fails with, and closes', async () => {
    const handle = await opened(randomBytes(PIECE_BYTES));
    const failing = new Proxy(handle, {
      get: (target, name) => {
        if (name === 'read') return () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const stream = new ReadAhead(failing, PIECE_BYTES);
    const failure = await buffer(stream).catch((error: unknown) => error);
    expect(failure).to.have.property('code', 'EIO');
    if (!stream.closed) await once(stream, 'close');
    expect(await isClosed(handle)).to.equal(true);
  });
});
