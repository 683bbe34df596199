import { expect } from 'chai';
import { once } from 'node:events';
import {
  existsSync,
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
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { type OpenItemHandle, openNewFile } from '../../../src/host/repository/item-file.js';
import { type ItemVerdict } from '../../../src/host/repository/verify-item.js';
import { expectCode } from '../../contract/support/run-operation.js';
import { descriptor, noSignal, recordOf, store, writeItem } from '../support/stored-saveset.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HOUR_MS = 3_600_000;

describe('DirectoryRepository', () => {
  const folder = useTemporaryFolder();
  const path = (...names: string[]): string => join(folder(), 'repo', ...names);
  const saveset = (...names: string[]): string => path('savesets', ...names);
  const openRepository = (options: Parameters<typeof DirectoryRepository.open>[1] = {}): Promise<DirectoryRepository> =>
    DirectoryRepository.open(path(), { create: true, ...options });

  describe('open', () => {
    it('makes a repository, and finds the same one again', async () => {
      const first = await openRepository();
      const again = await DirectoryRepository.open(path());
      expect(again.identity).to.deep.equal(first.identity);
      expect(first.identity.hostId).to.match(/^[0-9a-f]{16}$/);
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

  describe('chains', () => {
    const next = (parentSavesetId: string): Partial<SavesetRecord> => ({ level: 'incremental', parentSavesetId });

    it('keep their full when old savesets are removed while a record in the middle can not be read', async () => {
      const repository = await openRepository();
      await store(repository, 'full', { createdAt: '2026-01-01T00:00:00.000Z' });
      await store(repository, 'inc-1', { ...next('full'), createdAt: '2026-01-02T00:00:00.000Z' });
      await store(repository, 'inc-2', { ...next('inc-1'), createdAt: '2026-01-03T00:00:00.000Z' });
      const record = readFileSync(saveset('inc-1', 'saveset.json'));
      writeFileSync(saveset('inc-1', 'saveset.json'), '');
      await repository.prune({ last: 1 });
      writeFileSync(saveset('inc-1', 'saveset.json'), record);
      expect((await repository.openMedia('inc-2')).ancestors).to.have.length(2);
    });

    it('come with their ancestors, parent first, and give the items of each', async () => {
      const repository = await openRepository();
      await store(repository, 'full', {}, { disk: Buffer.from('of the full') });
      await store(repository, 'inc-1', next('full'), { disk: Buffer.from('of the first') });
      await store(repository, 'inc-2', next('inc-1'), { disk: Buffer.from('of the second') });
      const media = await repository.openMedia('inc-2');
      expect(media.ancestors?.map(({ savesetId }) => savesetId)).to.deep.equal(['inc-1', 'full']);
      const text = async (member?: string): Promise<string> =>
        (await buffer((await media.openItem('disk', noSignal, member)).stream)).toString();
      expect(await text()).to.equal('of the second');
      expect(await text('inc-1')).to.equal('of the first');
      expect(await text('full')).to.equal('of the full');
      await expectCode(
        Promise.resolve().then(() => media.openItem('disk', noSignal, 'foreign')),
        'SAVESET_NOT_FOUND',
      );
    });

    it('name the member that breaks them: missing, of another source, a ring', async () => {
      const repository = await openRepository();
      const other = { ...recordOf('x', {}).source, id: 'somebody-else' };
      await store(repository, 'full');
      await store(repository, 'inc-1', next('full'));
      await store(repository, 'inc-2', next('inc-1'));
      rmSync(saveset('full'), { recursive: true });
      const missing = await expectCode(repository.openMedia('inc-2'), 'CHAIN_BROKEN');
      expect(missing.context.member).to.equal('full');
      await store(repository, 'full', { source: other });
      await expectCode(repository.openMedia('inc-2'), 'CHAIN_BROKEN');
      rmSync(saveset('full'), { recursive: true });
      await store(repository, 'full', next('inc-2'));
      expect((await expectCode(repository.openMedia('inc-2'), 'CHAIN_BROKEN')).message).to.contain(
        'which builds on it',
      );
    });

    it('are broken by a member that can not be read, whatever the reason', async () => {
      const repository = await openRepository();
      await store(repository, 'full');
      await store(repository, 'inc-1', next('full'));
      await store(repository, 'inc-2', next('inc-1'));
      writeFileSync(saveset('inc-1', 'saveset.json'), '{');
      expect((await expectCode(repository.openMedia('inc-2'), 'CHAIN_BROKEN')).context.member).to.equal('inc-1');
      rmSync(saveset('inc-1', 'saveset.json'));
      mkdirSync(saveset('inc-1', 'saveset.json'));
      expect((await expectCode(repository.openMedia('inc-2'), 'CHAIN_BROKEN')).context.member).to.equal('inc-1');
    });

    it('are the history of a source, broken ones too, and none of another source', async () => {
      const repository = await openRepository();
      const { source } = await store(repository, 'full', { createdAt: '2026-01-01T00:00:00.000Z' });
      await store(repository, 'inc-1', { ...next('full'), createdAt: '2026-01-02T00:00:00.000Z' });
      await store(repository, 'lost', next('full'));
      writeFileSync(saveset('lost', 'saveset.json'), JSON.stringify({ ...recordOf('lost', {}), ...next('nowhere') }));
      await store(repository, 'theirs', { source: { ...source, id: 'other' } });
      const history = await repository.historyOf(source);
      expect(history.map(({ savesetId }) => savesetId)).to.deep.equal(['full', 'inc-1', 'lost']);
    });

    it('get no member whose parent went away while it was made', async () => {
      const repository = await openRepository();
      await store(repository, 'full');
      const writer = await repository.begin('inc-1');
      await writeItem(writer, 'disk', Buffer.from('x'));
      await repository.delete('full');
      const record = recordOf('inc-1', { disk: Buffer.from('x') }, next('full'));
      const error = await expectCode(writer.commit(record), 'CHAIN_BROKEN');
      expect(error.isRetriable).to.equal(true);
      await writer.discard();
    });

    it('get no member whose parent went away in the moment of its commit', async () => {
      const repository = await openRepository();
      await store(repository, 'full');
      const writer = await repository.begin('inc-1');
      await writeItem(writer, 'disk', Buffer.from('x'));
      const commit = writer.commit(recordOf('inc-1', { disk: Buffer.from('x') }, next('full')));
      // By now it has looked for its parent and writes its record.
      while (!readdirSync(saveset('inc-1')).some((name) => name.startsWith('saveset.json')))
        await new Promise(setImmediate);
      rmSync(saveset('full'), { recursive: true });
      await expectCode(commit, 'CHAIN_BROKEN');
      await writer.discard();
      expect((await repository.list()).records).to.deep.equal([]);
    });
  });

  describe('sweep', () => {
    const crashedRun = (name: string, lease?: object): void => {
      mkdirSync(saveset(name), { recursive: true });
      writeFileSync(saveset(name, 'disk.partial'), 'half');
      if (lease !== undefined) writeFileSync(saveset(name, '.lease'), JSON.stringify(lease));
    };

    it('leaves a running backup alone, and takes one whose process is dead', async () => {
      const repository = await openRepository();
      const running = await repository.begin('running');
      const lease = JSON.parse(readFileSync(saveset('running', '.lease'), 'utf8')) as {
        machine: string;
        pid: number;
        processStart: string;
      };
      crashedRun('dead-pid', { ...lease, pid: 0x7ffffff0 });
      crashedRun('pid-used-again', { ...lease, processStart: '1' });
      await store(repository, 'finished');
      expect(readdirSync(saveset()).sort()).to.deep.equal(['finished', 'running']);
      await running.discard();
    });

    it('takes the lease that a run left when it died right after its record, and only that', async () => {
      const clock = new VirtualClock(Date.now());
      const repository = await openRepository({ clock });
      const running = await repository.begin('running');
      const text = readFileSync(saveset('running', '.lease'), 'utf8');
      const names = ['killed', 'about-to-end', 'elsewhere', 'broken'];
      for (const name of names) await store(repository, name);
      writeFileSync(saveset('killed', '.lease'), JSON.stringify({ ...JSON.parse(text), pid: 0x7ffffff0 }));
      writeFileSync(saveset('about-to-end', '.lease'), text);
      writeFileSync(saveset('elsewhere', '.lease'), JSON.stringify({ machine: 'another', pid: 1, processStart: '1' }));
      writeFileSync(saveset('broken', '.lease'), '{');
      const leased = (): string[] => names.filter((name) => existsSync(saveset(name, '.lease')));
      expect(await repository.sweep()).to.deep.equal([]);
      expect(leased()).to.deep.equal(['about-to-end', 'elsewhere', 'broken']);
      clock.advance(HOUR_MS);
      expect(await repository.sweep()).to.deep.equal([]);
      expect(leased()).to.deep.equal(['about-to-end']);
      expect((await repository.list()).records).to.have.length(names.length);
      await running.discard();
    });

    it('gives a run on another machine time, and one without a lease too', async () => {
      const clock = new VirtualClock(Date.now());
      const repository = await openRepository({ clock });
      crashedRun('elsewhere', { machine: 'another', pid: 1, processStart: '1' });
      crashedRun('no-lease');
      crashedRun('broken-lease', { pid: 1 });
      expect(await repository.sweep()).to.deep.equal([]);
      clock.advance(HOUR_MS);
      expect([...(await repository.sweep())].sort()).to.deep.equal(['broken-lease', 'elsewhere', 'no-lease']);
    });

    it('never takes a saveset whose record went missing', async () => {
      const clock = new VirtualClock(Date.now());
      const repository = await openRepository({ clock });
      await store(repository, 'full', {}, { disk: Buffer.from('the only copy') });
      const record = readFileSync(saveset('full', 'saveset.json'));
      rmSync(saveset('full', 'saveset.json'));
      clock.advance(HOUR_MS);
      expect(await repository.sweep()).to.deep.equal([]);
      writeFileSync(saveset('full', 'saveset.json'), record);
      expect((await repository.openMedia('full')).record.savesetId).to.equal('full');
    });

    it('keeps the lease of a long run fresh, and stops when the run ends', async () => {
      const clock = new VirtualClock(Date.now() + HOUR_MS);
      const repository = await openRepository({ clock });
      const writer = await repository.begin('long');
      const before = statSync(saveset('long', '.lease')).mtimeMs;
      clock.advance(31_000);
      while (statSync(saveset('long', '.lease')).mtimeMs === before) await new Promise(setImmediate);
      expect(statSync(saveset('long', '.lease')).mtimeMs).to.be.closeTo(clock.nowMs(), 1000);
      await writer.discard();
      expect(clock.sleeperCount).to.equal(0);
    });

    it('finishes removals that a crash interrupted', async () => {
      const repository = await openRepository();
      mkdirSync(path('.trash-123456'));
      writeFileSync(path('.trash-123456', 'x'), '');
      await repository.sweep();
      expect(existsSync(path('.trash-123456'))).to.equal(false);
    });
  });
});
