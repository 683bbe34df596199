import { expect } from 'chai';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { type DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { type OpenItemHandle, openNewFile } from '../../../src/host/repository/item-file.js';
import { type ItemVerdict } from '../../../src/host/repository/verify-item.js';
import { expectCode } from '../../contract/support/run-operation.js';
import { useRepositoryFolder } from '../support/repository-folder.js';
import { descriptor, noSignal, recordOf, store } from '../support/stored-saveset.js';

describe('DirectoryRepository', () => {
  const { saveset, openRepository } = useRepositoryFolder();

  describe('a medium that fails', () => {
    /** The real thing up to a number of bytes, then an error of the system. */
    const failing =
      (code: string, afterBytes: number, step: 'writev' | 'sync' = 'writev'): OpenItemHandle =>
      async (name) => {
        const handle = await openNewFile(name);
        let written = 0;
        const fail = (): never => {
          throw Object.assign(new Error(`${code}: told to`), { code });
        };
        return {
          writev: async (chunks) => {
            if (step === 'writev' && written >= afterBytes) fail();
            // A disk that is nearly full takes less than it is given.
            const [first = new Uint8Array()] = chunks;
            const result = await handle.writev([first.subarray(0, 3)]);
            written += result.bytesWritten;
            return result;
          },
          sync: () => (step === 'sync' ? Promise.resolve().then(fail) : handle.sync()),
          close: () => handle.close(),
        };
      };

    it('that is full ends the item with the system error, and says MEDIUM_FULL', async () => {
      const writer = await (await openRepository({ openHandle: failing('ENOSPC', 6) })).begin('a');
      const stream = await writer.sink.openItem(descriptor('x'), noSignal);
      stream.end(Buffer.from('more than six bytes'));
      const [error] = (await once(stream, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).to.equal('ENOSPC');
      if (!stream.closed) await once(stream, 'close');
      expect(writer.failure?.code).to.equal('MEDIUM_FULL');
      expect(readdirSync(saveset('a'))).to.deep.equal(['.lease']);
      await writer.discard();
    });

    it('that is a full device of the kernel says MEDIUM_FULL too', async function () {
      if (!existsSync('/dev/full')) return;
      const writer = await (await openRepository({ openHandle: () => open('/dev/full', 'w') })).begin('a');
      const stream = await writer.sink.openItem(descriptor('x'), noSignal);
      stream.end(Buffer.alloc(1000));
      await once(stream, 'error');
      expect(writer.failure?.code).to.equal('MEDIUM_FULL');
      await writer.discard();
    });

    it('that takes short writes still stores every byte in order', async () => {
      const repository = await openRepository({ openHandle: failing('EIO', Infinity) });
      const bytes = Buffer.from('a text that is longer than three bytes');
      await store(repository, 'a', {}, { x: bytes });
      expect(readFileSync(saveset('a', 'x'))).to.deep.equal(bytes);
    });

    it('that fails at the sync does not store the item', async () => {
      const writer = await (await openRepository({ openHandle: failing('EIO', 0, 'sync') })).begin('a');
      const stream = await writer.sink.openItem(descriptor('x'), noSignal);
      stream.end('abc');
      await once(stream, 'error');
      expect(writer.failure?.code).to.equal('MEDIUM_FAILED');
      await writer.discard();
    });

    it('that cannot open an item says why', async () => {
      const denied = (): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }));
      const writer = await (await openRepository({ openHandle: denied })).begin('a');
      const error = await expectCode(writer.sink.openItem(descriptor('x'), noSignal), 'MEDIUM_FAILED');
      expect(error.hint).to.contain('right');
      await writer.discard();
    });

    it('that loses the folder before the record says MEDIUM_FAILED', async () => {
      const writer = await (await openRepository()).begin('a');
      rmSync(saveset('a'), { recursive: true });
      await expectCode(writer.commit(recordOf('a', {})), 'MEDIUM_FAILED');
    });
  });

  describe('verify', () => {
    async function verdicts(repository: DirectoryRepository, record: SavesetRecord): Promise<ItemVerdict[]> {
      const all: ItemVerdict[] = [];
      for await (const verdict of repository.verify(record)) all.push(verdict);
      return all;
    }

    it('finds every kind of damage, and goes on after it', async () => {
      const repository = await openRepository();
      const bytes = Buffer.alloc(3_000_000, 'x');
      const names = ['good', 'flipped', 'short', 'long', 'gone', 'folder'];
      const record = await store(repository, 'a', {}, Object.fromEntries(names.map((name) => [name, bytes])));
      const flipped = Buffer.from(bytes);
      flipped[1_500_000] = 0;
      writeFileSync(saveset('a', 'flipped'), flipped);
      truncateSync(saveset('a', 'short'), 2_999_999);
      writeFileSync(saveset('a', 'long'), Buffer.concat([bytes, bytes]));
      rmSync(saveset('a', 'gone'));
      rmSync(saveset('a', 'folder'));
      mkdirSync(saveset('a', 'folder'));
      const found = await verdicts(repository, record);
      expect(found.map(({ item, status }) => `${item} ${status}`)).to.deep.equal([
        'good ok',
        'flipped wrong-digest',
        'short wrong-size',
        'long wrong-size',
        'gone missing',
        'folder unreadable',
      ]);
      expect(found.map(({ message }) => message === undefined)).to.deep.equal([
        true,
        false,
        false,
        false,
        false,
        false,
      ]);
      expect(found[2]).to.include({ expectedBytes: 3_000_000, foundBytes: 2_999_999 });
    });

    it('counts the bytes it reads, and stops when told to', async () => {
      const repository = await openRepository();
      const record = await store(repository, 'a', {}, { x: Buffer.alloc(5_000_000), y: Buffer.alloc(10) });
      const abort = new AbortController();
      const seen: number[] = [];
      const reading = repository.verify(record, {
        signal: abort.signal,
        onBytes: (_item, doneBytes) => {
          seen.push(doneBytes);
          abort.abort(new TypeError('stop'));
        },
      });
      expect(await reading.next().catch((error: unknown) => error)).to.be.instanceOf(TypeError);
      expect(seen[0]).to.be.greaterThan(0).and.lessThan(5_000_000);
    });
  });
});
