import { expect } from 'chai';
import { once } from 'node:events';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { KIB, MIB } from '../../../src/common/byte-size.js';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { expectCode } from '../../contract/support/run-operation.js';
import { useRepositoryFolder } from '../support/repository-folder.js';
import { descriptor, noSignal, recordOf, store, writeItem } from '../support/stored-saveset.js';

const contentOf = (sizes: Readonly<Record<string, number>>): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, Buffer.alloc(size)]));

describe('DirectoryRepository', () => {
  const { folder, path, saveset, openRepository } = useRepositoryFolder();

  describe('open', () => {
    it('makes a repository, and finds the same one again', async () => {
      const first = await openRepository();
      const again = await DirectoryRepository.open(path());
      expect(again.identity).to.deep.equal(first.identity);
      expect(first.identity.hostId).to.match(/^[0-9a-f]{16}$/);
    });

    it('makes the folders above it, and fails where a folder takes no new ones', async () => {
      const deep = path('a', 'b', 'c');
      expect((await DirectoryRepository.open(deep, { create: true })).path).to.equal(deep);
      // There mkdir says ENOENT although the folder above is there.
      await expectCode(DirectoryRepository.open('/proc/self/none/deep', { create: true }), 'MEDIUM_FAILED');
    });

    it('gives the same identity to all who make it at once', async () => {
      const all = await Promise.all(Array.from({ length: 8 }, () => openRepository()));
      expect(new Set(all.map(({ identity }) => identity.hostId)).size).to.equal(1);
      expect(readdirSync(path()).sort()).to.deep.equal(['repository.json', 'savesets']);
    });

    it('lets only its owner in', async () => {
      const repository = await openRepository();
      await store(repository, 'a');
      const modes = [
        path(),
        saveset(),
        saveset('a'),
        path('repository.json'),
        saveset('a', 'disk-0.img'),
        saveset('a', 'saveset.json'),
      ];
      expect(modes.map((name) => (statSync(name).mode & 0o777).toString(8))).to.deep.equal([
        '700',
        '700',
        '700',
        '600',
        '600',
        '600',
      ]);
    });

    it('refuses what is not there, unless it is to be made', async () => {
      await expectCode(DirectoryRepository.open(path()), 'CONFIG_INVALID');
      mkdirSync(path());
      await expectCode(DirectoryRepository.open(path()), 'CONFIG_INVALID');
      await openRepository();
    });

    it('refuses a folder with other things in it', async () => {
      mkdirSync(path());
      writeFileSync(path('letter.txt'), 'x');
      await expectCode(openRepository(), 'CONFIG_INVALID');
      expect(readdirSync(path())).to.deep.equal(['letter.txt']);
    });

    it('refuses a repository of a later version, and a damaged one', async () => {
      mkdirSync(path());
      for (const text of ['{"version":2,"hostId":"x"}', 'nonsense']) {
        writeFileSync(path('repository.json'), text);
        await expectCode(openRepository(), 'CONFIG_INVALID');
        await expectCode(DirectoryRepository.open(path()), 'CONFIG_INVALID');
      }
    });

    it('says what the file system said when it cannot be made', async () => {
      writeFileSync(join(folder(), 'file'), '');
      const error = await expectCode(
        DirectoryRepository.open(join(folder(), 'file', 'repo'), { create: true }),
        'MEDIUM_FAILED',
      );
      expect(error.context).to.include({ systemCode: 'ENOTDIR' });
    });
  });

  describe('a saveset on its way in', () => {
    it('is not listed before its record is written, and is afterwards', async () => {
      const repository = await openRepository();
      const writer = await repository.begin('a');
      await writeItem(writer, 'disk-0.img', Buffer.from('hello'));
      expect((await repository.list()).records).to.deep.equal([]);
      await expectCode(repository.read('a'), 'SAVESET_NOT_FOUND');
      const record = recordOf('a', { 'disk-0.img': Buffer.from('hello') });
      await writer.commit(record);
      expect((await repository.list()).records).to.deep.equal([record]);
      expect(readdirSync(saveset('a')).sort()).to.deep.equal(['disk-0.img', 'saveset.json']);
    });

    it('carries the name .partial until all of its bytes are safe', async () => {
      const writer = await (await openRepository()).begin('a');
      const stream = await writer.sink.openItem(descriptor('disk-0.img'), noSignal);
      await new Promise((resolve) => stream.write('half', resolve));
      expect(readdirSync(saveset('a')).sort()).to.deep.equal(['.lease', 'disk-0.img.partial']);
      stream.end('and half');
      await once(stream, 'finish');
      expect(readFileSync(saveset('a', 'disk-0.img'), 'utf8')).to.equal('halfand half');
      await writer.discard();
    });

    it('is gone when it is discarded, open items too', async () => {
      const writer = await (await openRepository()).begin('a');
      const stream = await writer.sink.openItem(descriptor('disk-0.img'), noSignal);
      stream.write('half');
      await writer.discard();
      expect(stream.destroyed).to.equal(true);
      expect(readdirSync(saveset())).to.deep.equal([]);
    });

    it('forgets an item that was destroyed, and takes it a second time', async () => {
      const writer = await (await openRepository()).begin('a');
      const stream = await writer.sink.openItem(descriptor('disk-0.img'), noSignal);
      stream.write('half');
      stream.destroy();
      await once(stream, 'close');
      expect(readdirSync(saveset('a'))).to.deep.equal(['.lease']);
      await writeItem(writer, 'disk-0.img', Buffer.from('x'));
      await writer.commit(recordOf('a', { 'disk-0.img': Buffer.from('x') }));
    });

    // A backup that began an item anew after its coordinator had gone was refused now and then.
    it('takes an item anew that is given up in this moment (found by torture)', async () => {
      const writer = await (await openRepository()).begin('a');
      const stream = await writer.sink.openItem(descriptor('disk-0.img'), noSignal);
      stream.write('half');
      stream.destroy();
      await writeItem(writer, 'disk-0.img', Buffer.from('x'));
      await writer.commit(recordOf('a', { 'disk-0.img': Buffer.from('x') }));
      expect(readdirSync(saveset('a')).sort()).to.deep.equal(['disk-0.img', 'saveset.json']);
    });

    it('refuses item names that are not usable, and a name that is taken', async () => {
      const writer = await (await openRepository()).begin('a');
      for (const name of ['../x', 'a/b', '.lease', '', 'saveset.json', 'SaveSet.json', 'x.partial', 'a\u0000b']) {
        await expectCode(writer.sink.openItem(descriptor(name), noSignal), 'SAVESET_INVALID');
      }
      await writeItem(writer, 'x', Buffer.from('1'));
      await expectCode(writer.sink.openItem(descriptor('X'), noSignal), 'SAVESET_INVALID');
      await writer.discard();
    });

    it('opens nothing once it is cancelled', async () => {
      const writer = await (await openRepository()).begin('a');
      const reason = new TypeError('stop');
      expect(
        await writer.sink.openItem(descriptor('x'), AbortSignal.abort(reason)).catch((error: unknown) => error),
      ).to.equal(reason);
      await writer.discard();
    });

    const hello = { x: Buffer.from('hello') };
    const lies: Readonly<Record<string, SavesetRecord>> = {
      'of another saveset': recordOf('b', hello),
      'with an item that was never written': recordOf('a', { ...hello, y: Buffer.from('1') }),
      'without an item that was written': recordOf('a', {}),
      'with another size': recordOf('a', { x: Buffer.from('hell') }),
    };
    for (const [what, record] of Object.entries(lies)) {
      it(`refuses a record ${what}`, async () => {
        const repository = await openRepository();
        const writer = await repository.begin('a');
        await writeItem(writer, 'x', hello.x);
        await expectCode(writer.commit(record), 'SAVESET_INVALID');
        expect((await repository.list()).records).to.deep.equal([]);
        await writer.discard();
      });
    }

    it('refuses an id that is taken or leads elsewhere', async () => {
      const repository = await openRepository();
      await store(repository, 'a');
      await expectCode(repository.begin('a'), 'TARGET_EXISTS');
      for (const id of ['..', '../a', 'a/b', '.a', '', 'a\u0000', 'x'.repeat(129)]) {
        await expectCode(repository.begin(id), 'REQUEST_INVALID');
        await expectCode(repository.read(id), 'REQUEST_INVALID');
        await expectCode(repository.openMedia(id), 'REQUEST_INVALID');
      }
      expect(readdirSync(folder())).to.deep.equal(['repo']);
    });

    it('serves several runs at once', async () => {
      const repositories = await Promise.all([openRepository(), openRepository()]);
      await Promise.all(Array.from({ length: 12 }, (_none, index) => store(repositories[index % 2]!, `run-${index}`)));
      const { records, damaged } = await repositories[0].list();
      expect(records).to.have.length(12);
      expect(damaged).to.deep.equal([]);
    });
  });

  describe('find, read and openMedia', () => {
    it('find the newest of a source by path, id or name', async () => {
      const repository = await openRepository();
      await store(repository, 'old', { createdAt: '2026-01-01T00:00:00.000Z' });
      await store(repository, 'new', { createdAt: '2026-01-02T00:00:00.000Z' });
      for (const name of ['vm/m1', 'm1', 'web', 'vm/web']) {
        expect((await repository.find(`latest:${name}`)).savesetId).to.equal('new');
      }
      expect((await repository.find('old')).savesetId).to.equal('old');
      await expectCode(repository.find('latest:nobody'), 'SAVESET_NOT_FOUND');
      await expectCode(repository.find('nothing'), 'SAVESET_NOT_FOUND');
    });

    it('find no newest when savesets of several sources bear the name', async () => {
      const repository = await openRepository();
      const source = (id: string, originId = 'lab'): Partial<SavesetRecord> => ({
        source: { path: `vm/${id}`, kind: 'vm', id, displayName: 'twin', originId, originName: originId },
      });
      await store(repository, 'first', { ...source('t1'), createdAt: '2026-01-01T00:00:00.000Z' });
      await store(repository, 'second', { ...source('t2'), createdAt: '2026-01-02T00:00:00.000Z' });
      const { context } = await expectCode(repository.find('latest:vm/twin'), 'OBJECT_AMBIGUOUS');
      expect(context.candidates).to.deep.equal([
        'latest:t1 (vm "twin" of "lab", last saved 2026-01-01T00:00:00.000Z)',
        'latest:t2 (vm "twin" of "lab", last saved 2026-01-02T00:00:00.000Z)',
      ]);
      expect((await repository.find('latest:t1')).savesetId).to.equal('first');
      const { hint } = await expectCode(repository.find('latest:nobody'), 'SAVESET_NOT_FOUND');
      expect(hint).to.contain('There are savesets of vm/twin.');
    });

    it('list a record as it is now, however often they are listed', async () => {
      const repository = await openRepository();
      const record = await store(repository, 'a');
      await store(repository, 'b');
      const ids = async (): Promise<readonly string[]> =>
        (await repository.list()).records.map(({ savesetId, source: { id } }) => `${savesetId} of ${id}`).sort();
      const { id } = record.source;
      expect(await ids()).to.deep.equal([`a of ${id}`, `b of ${id}`]);
      const other = { ...record, source: { ...record.source, id: id.replaceAll(/./g, 'x') } };
      writeFileSync(saveset('a', 'saveset.json'), JSON.stringify(other, undefined, 2));
      rmSync(saveset('b'), { recursive: true });
      await store(repository, 'c');
      expect(await ids()).to.deep.equal([`a of ${other.source.id}`, `c of ${id}`]);
      writeFileSync(saveset('c', 'saveset.json'), '{');
      expect((await repository.list()).damaged.map(({ savesetId }) => savesetId)).to.deep.equal(['c']);
    });

    it('list what is damaged apart', async () => {
      const repository = await openRepository();
      await store(repository, 'good');
      await store(repository, 'bad');
      await store(repository, 'renamed');
      writeFileSync(saveset('bad', 'saveset.json'), '{');
      renameSync(saveset('renamed'), saveset('other-name'));
      mkdirSync(saveset('odd', 'saveset.json'), { recursive: true });
      symlinkSync('/', saveset('link'));
      const { records, damaged } = await repository.list();
      expect(records.map(({ savesetId }) => savesetId)).to.deep.equal(['good']);
      expect(damaged.map(({ savesetId, error }) => `${savesetId} ${error.code}`)).to.deep.equal([
        'bad SAVESET_INVALID',
        'odd MEDIUM_FAILED',
        'other-name SAVESET_INVALID',
      ]);
    });

    it('give the bytes of an item with their number', async () => {
      const repository = await openRepository();
      await store(repository, 'a');
      const media = await repository.openMedia('a');
      const { stream, bytes } = await media.openItem(media.record.items[0]!.name, noSignal);
      expect(bytes).to.equal(5);
      expect((await buffer(stream)).toString()).to.equal('hello');
    });

    it('read small items in small pieces and large ones by the MiB: a chain has many open at once', async () => {
      const repository = await openRepository();
      const sizes = { small: 1000, middle: 10 * MIB, large: 80 * MIB };
      await store(repository, 'a', {}, contentOf(sizes));
      const media = await repository.openMedia('a');
      for (const [name, size] of Object.entries(sizes)) {
        let most = 0;
        let bytes = 0;
        for await (const piece of (await media.openItem(name, noSignal)).stream as AsyncIterable<Buffer>) {
          most = Math.max(most, piece.length);
          bytes += piece.length;
        }
        expect(bytes).to.equal(size);
        expect(most, name).to.equal(Math.min(size, Math.max(64 * KIB, Math.min(MIB, size / 64))));
      }
    });

    it('refuse items that are missing, of another size, links, or not in the record', async () => {
      const repository = await openRepository();
      const bytes = Buffer.from('hello');
      await store(repository, 'a', {}, { gone: bytes, short: bytes, link: bytes });
      rmSync(saveset('a', 'gone'));
      truncateSync(saveset('a', 'short'), 4);
      rmSync(saveset('a', 'link'));
      symlinkSync('/etc/hostname', saveset('a', 'link'));
      const media = await repository.openMedia('a');
      await expectCode(media.openItem('gone', noSignal), 'DATA_DAMAGED');
      await expectCode(media.openItem('short', noSignal), 'DATA_DAMAGED');
      await expectCode(media.openItem('saveset.json', noSignal), 'DATA_DAMAGED');
      await expectCode(media.openItem('link', noSignal), 'MEDIUM_FAILED');
    });
  });

  describe('delete and prune', () => {
    it('delete a saveset, but not one that another builds on', async () => {
      const repository = await openRepository();
      await store(repository, 'base');
      await store(repository, 'next', { level: 'incremental', parentSavesetId: 'base' });
      const error = await expectCode(repository.delete('base'), 'REQUEST_INVALID');
      expect(error.context.children).to.deep.equal(['next']);
      await repository.delete('next');
      await repository.delete('base');
      expect(readdirSync(saveset())).to.deep.equal([]);
      expect(readdirSync(path()).sort()).to.deep.equal(['repository.json', 'savesets']);
      await expectCode(repository.delete('base'), 'SAVESET_NOT_FOUND');
    });

    it('delete a damaged one as well', async () => {
      const repository = await openRepository();
      await store(repository, 'a');
      writeFileSync(saveset('a', 'saveset.json'), '{');
      await repository.delete('a');
      expect(readdirSync(saveset())).to.deep.equal([]);
    });

    it('prune to the newest, and only say so in a dry run', async () => {
      const repository = await openRepository();
      for (const day of ['1', '2', '3'])
        await store(repository, `d${day}`, { createdAt: `2026-01-0${day}T00:00:00.000Z` });
      const plan = await repository.prune({ last: 1 }, { dryRun: true });
      expect(plan.remove.map(({ savesetId }) => savesetId)).to.deep.equal(['d1', 'd2']);
      expect(readdirSync(saveset())).to.have.length(3);
      await repository.prune({ last: 1 });
      expect(readdirSync(saveset())).to.deep.equal(['d3']);
    });
  });
});
