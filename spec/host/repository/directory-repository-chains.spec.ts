import { expect } from 'chai';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { type SavesetRecord } from '../../../src/contract/index.js';
import { expectCode } from '../../contract/support/run-operation.js';
import { useRepositoryFolder } from '../support/repository-folder.js';
import { noSignal, recordOf, store, writeItem } from '../support/stored-saveset.js';

describe('DirectoryRepository', () => {
  const { saveset, openRepository } = useRepositoryFolder();

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
});
