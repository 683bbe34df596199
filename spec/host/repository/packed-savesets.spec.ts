import { expect } from 'chai';
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import zlib from 'node:zlib';
import { isBackupError, type SavesetRecord } from '../../../src/contract/index.js';
import { type DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { type Compression, FILE_ENDINGS } from '../../../src/host/repository/item-compression.js';
import { type OpenItemHandle, openNewFile } from '../../../src/host/repository/item-file.js';
import { expectCode } from '../../contract/support/run-operation.js';
import { useRepositoryFolder } from '../support/repository-folder.js';
import { descriptor, noSignal, recordOf, store, writeItem } from '../support/stored-saveset.js';

const HAS_ZSTD = 'createZstdCompress' in zlib;
const PACKED: readonly Compression[] = ['gzip', ...(HAS_ZSTD ? (['zstd'] as const) : [])];
const TEXT = Buffer.from('a text that can be packed. '.repeat(200_000));

describe('savesets that are stored packed', () => {
  const { saveset, openRepository } = useRepositoryFolder();
  const contentOf = async (repository: DirectoryRepository, id: string, item: string): Promise<Buffer> => {
    const { stream, bytes } = await (await repository.openMedia(id)).openItem(item, noSignal);
    const content = await buffer(stream);
    expect(content.length).to.equal(bytes);
    return content;
  };
  const verdictsOf = async (repository: DirectoryRepository, record: SavesetRecord): Promise<string[]> => {
    const all: string[] = [];
    for await (const { item, status } of repository.verify(record)) all.push(`${item} ${status}`);
    return all;
  };

  for (const compression of PACKED) {
    const ending = FILE_ENDINGS[compression];

    describe(compression, () => {
      it('keeps the record of what was saved, takes less room, and gives every byte back to whoever opens it', async () => {
        const repository = await openRepository({ compression });
        const items = { text: TEXT, empty: Buffer.alloc(0), small: Buffer.from('x') };
        const record = await store(repository, 'a', {}, items);
        expect(readdirSync(saveset('a')).sort()).to.deep.equal(
          [...Object.keys(items).map((name) => `${name}${ending}`), 'saveset.json'].sort(),
        );
        expect(readFileSync(saveset('a', `text${ending}`)).length).to.be.below(TEXT.length / 20);
        const plain = await openRepository();
        for (const [name, bytes] of Object.entries(items)) {
          expect((await contentOf(plain, 'a', name)).equals(bytes), name).to.equal(true);
        }
        expect(await verdictsOf(plain, record)).to.deep.equal(['text ok', 'empty ok', 'small ok']);
        expect(await plain.storedAs('a', 'text'))
          .to.include({ compression })
          .and.have.property('bytes')
          .below(100_000);
        expect(await plain.storedAs('a', 'nothing')).to.equal(undefined);
      });

      it('finds every kind of damage', async () => {
        const repository = await openRepository({ compression });
        const names = ['good', 'flipped', 'short', 'gone', 'nonsense', 'other'];
        const record = await store(repository, 'a', {}, Object.fromEntries(names.map((name) => [name, TEXT])));
        await store(repository, 'b', {}, { other: Buffer.from('something else') });
        const pathOf = (name: string, id = 'a'): string => saveset(id, `${name}${ending}`);
        const flipped = readFileSync(pathOf('flipped'));
        flipped[flipped.length >> 1]! ^= 0x10;
        writeFileSync(pathOf('flipped'), flipped);
        truncateSync(pathOf('short'), readFileSync(pathOf('short')).length - 30);
        rmSync(pathOf('gone'));
        writeFileSync(pathOf('nonsense'), 'this was never packed');
        writeFileSync(pathOf('other'), readFileSync(pathOf('other', 'b')));
        const found = await verdictsOf(repository, record);
        expect(found.filter((verdict) => verdict.endsWith(' ok'))).to.deep.equal(['good ok']);
        expect(found).to.include.members(['gone missing', 'nonsense unreadable', 'other wrong-size']);
        const [nonsense] = record.items.filter(({ name }) => name === 'nonsense');
        for await (const { message } of repository.verify({ ...record, items: [nonsense!] })) {
          expect(message).to.match(/^It does not unpack \(\w+\)\.$/);
        }
        await expectCode(contentOf(repository, 'a', 'nonsense'), 'DATA_DAMAGED');
        await expectCode(contentOf(repository, 'a', 'gone'), 'DATA_DAMAGED');
      });

      it('never gives other bytes as good, whichever byte of the file was changed', async () => {
        const repository = await openRepository({ compression });
        const bytes = Buffer.from('some words, some more words, and some more words of the same kind');
        await store(repository, 'a', {}, { x: bytes });
        const path = saveset('a', `x${ending}`);
        const whole = readFileSync(path);
        for (let at = 0; at < whole.length; at += 1) {
          const changed = Buffer.from(whole);
          changed[at]! ^= 0x04;
          writeFileSync(path, changed);
          const content = await (
            await repository.openMedia('a')
          )
            .openItem('x', noSignal)
            .then(({ stream }) => buffer(stream))
            .catch((error: unknown) => error);
          // Some bytes of a header mean nothing to the content.
          if (Buffer.isBuffer(content)) expect(content.equals(bytes), `byte ${at}`).to.equal(true);
          else expect(isBackupError(content) && content.code, `byte ${at}`).to.equal('DATA_DAMAGED');
        }
      });

      it('stops when it is told to, and closes the file', async () => {
        const repository = await openRepository({ compression });
        await store(repository, 'a', {}, { x: TEXT });
        const abort = new AbortController();
        const { stream } = await (await repository.openMedia('a')).openItem('x', abort.signal);
        await once(stream, 'readable');
        abort.abort();
        const [error] = (await once(stream, 'error')) as [Error];
        expect(error.name).to.equal('AbortError');
      });
    });
  }

  it('takes what lies there plain first, and refuses names that would meet', async () => {
    const plain = await openRepository();
    const record = await store(plain, 'a', {}, { x: TEXT });
    writeFileSync(saveset('a', 'x.gz'), 'something else');
    expect(await verdictsOf(plain, record)).to.deep.equal(['x ok']);
    const packed = await openRepository({ compression: 'gzip' });
    const writer = await packed.begin('b');
    await writeItem(writer, 'x', TEXT);
    await expectCode(writer.sink.openItem(descriptor('X'), noSignal), 'SAVESET_INVALID');
    await writer.discard();
  });

  it('are discarded whole, also in the middle of an item', async () => {
    const repository = await openRepository({ compression: 'gzip' });
    const writer = await repository.begin('a');
    await writeItem(writer, 'whole', TEXT);
    const half = await writer.sink.openItem(descriptor('half'), noSignal);
    half.write(TEXT);
    await writer.discard();
    expect(half.closed).to.equal(true);
    expect((await repository.list()).records).to.deep.equal([]);
    expect(() => readdirSync(saveset('a'))).to.throw('ENOENT');
  });

  it('begin anew after an item that was given up', async () => {
    const repository = await openRepository({ compression: 'gzip' });
    const writer = await repository.begin('a');
    const first = await writer.sink.openItem(descriptor('x'), noSignal);
    first.write(TEXT);
    first.destroy();
    await writeItem(writer, 'x', TEXT);
    await writer.commit(recordOf('a', { x: TEXT }));
    expect((await contentOf(repository, 'a', 'x')).equals(TEXT)).to.equal(true);
  });

  it('say MEDIUM_FULL when the medium is full, and leave nothing', async () => {
    const full: OpenItemHandle = async (path) => {
      const handle = await openNewFile(path);
      return {
        writev: () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    };
    const writer = await (await openRepository({ compression: 'gzip', openHandle: full })).begin('a');
    const stream = await writer.sink.openItem(descriptor('x'), noSignal);
    const failed = once(stream, 'error');
    stream.end(TEXT);
    const [error] = (await failed) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ENOSPC');
    if (!stream.closed) await once(stream, 'close');
    expect(writer.failure?.code).to.equal('MEDIUM_FULL');
    expect(readdirSync(saveset('a'))).to.deep.equal(['.lease']);
    await writer.discard();
  });

  if (!HAS_ZSTD) {
    it('are refused before anything begins where nothing packs as wished', async () => {
      const repository = await openRepository({ compression: 'zstd' });
      await expectCode(repository.begin('a'), 'CONFIG_INVALID');
      expect((await repository.sweep()).length).to.equal(0);
      // One from elsewhere: it is not called damaged.
      const record = await store(await openRepository(), 'b', {}, { x: TEXT });
      appendFileSync(saveset('b', 'x.zst'), 'packed elsewhere');
      rmSync(saveset('b', 'x'));
      await expectCode(verdictsOf(repository, record), 'CONFIG_INVALID');
      await expectCode(contentOf(repository, 'b', 'x'), 'CONFIG_INVALID');
    });
  }
});
