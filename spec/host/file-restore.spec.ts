import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBackupError, type RestoreEvent, type RestoreMedia } from '../../src/contract/index.js';
import { restoreToFiles } from '../../src/host/file-restore.js';
import { DirectoryRepository } from '../../src/host/repository/directory-repository.js';
import { store } from './support/stored-saveset.js';
import { useTemporaryFolder } from './support/temporary-folder.js';

const ONE = { 'vm.xva': Buffer.alloc(3_000_000, 7) };
const TWO = { 'a.img': Buffer.from('first'), 'b.img': Buffer.from('second') };

describe('restoreToFiles', () => {
  const folder = useTemporaryFolder();

  const mediaOf = async (items: Readonly<Record<string, Buffer>>): Promise<RestoreMedia> => {
    const repository = await DirectoryRepository.open(join(folder(), 'repo'), { create: true });
    await store(repository, 'one', {}, items);
    mkdirSync(join(folder(), 'out'));
    return repository.openMedia('one');
  };
  const out = (name = ''): string => join(folder(), 'out', name);
  const inRepository = (name: string): string => join(folder(), 'repo', 'savesets', 'one', name);
  const signal = new AbortController().signal;
  const onEvent = (): void => undefined;
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return 'none';
    } catch (error) {
      return isBackupError(error) ? error.code : String(error);
    }
  };

  it('writes one item to the very file, byte for byte, and nothing beside it', async () => {
    const media = await mediaOf(ONE);
    const events: RestoreEvent[] = [];
    const report = await restoreToFiles({
      media,
      path: out('web.xva'),
      signal,
      onEvent: (event) => events.push(event),
    });
    expect(report).to.include({ targetId: undefined, targetName: out('web.xva'), transferredBytes: 3_000_000 });
    expect(readFileSync(out('web.xva')).equals(ONE['vm.xva'])).to.equal(true);
    expect(readdirSync(out())).to.deep.equal(['web.xva']);
    const types = events.map(({ type }) => type).filter((type) => type !== 'progress');
    expect(types).to.deep.equal(['phase-entered', 'item-started', 'item-completed', 'phase-entered', 'completed']);
    const last = events.findLast((event) => event.type === 'progress');
    expect(last).to.deep.include({
      totalProgress: { doneBytes: 3_000_000, expectedBytes: 3_000_000, expectedIs: 'exact' },
    });
  });

  it('says which file one item became in a folder that exists', async () => {
    const { targetName } = await restoreToFiles({ media: await mediaOf(ONE), path: out(), signal, onEvent });
    expect(targetName).to.equal(out('vm.xva'));
  });

  it('writes several items to a new folder, and into one that exists', async () => {
    const media = await mediaOf(TWO);
    await restoreToFiles({ media, path: out('set'), signal, onEvent });
    expect(readdirSync(out('set'))).to.have.members(['a.img', 'b.img']);
    await restoreToFiles({ media, path: out(), signal, onEvent });
    expect(readFileSync(out('b.img'), 'utf8')).to.equal('second');
  });

  it('says of an increment that its files alone are of no use', async () => {
    const { record, ...media } = await mediaOf(TWO);
    const increment: RestoreMedia = { ...media, record: { ...record, level: 'incremental', parentSavesetId: 'zero' } };
    const events: RestoreEvent[] = [];
    const report = await restoreToFiles({
      media: increment,
      path: out('set'),
      signal,
      onEvent: (event) => events.push(event),
    });
    expect(report.warnings.map(({ code }) => code)).to.deep.equal(['INCREMENT_ONLY']);
    expect(events.filter(({ type }) => type === 'warning')).to.have.length(1);
  });

  it('refuses a file that exists and leaves it as it is', async () => {
    const media = await mediaOf(TWO);
    writeFileSync(out('b.img'), 'mine');
    expect(await codeOf(restoreToFiles({ media, path: out(), signal, onEvent }))).to.equal('TARGET_EXISTS');
    expect(await codeOf(restoreToFiles({ media, path: out('b.img'), signal, onEvent }))).to.equal('TARGET_EXISTS');
    expect(readFileSync(out('b.img'), 'utf8')).to.equal('mine');
    expect(readdirSync(out())).to.deep.equal(['b.img']);
  });

  it('never takes the name of a file that appears meanwhile', async () => {
    const media = await mediaOf(ONE);
    const work = restoreToFiles({
      media,
      path: out('web.xva'),
      signal,
      onEvent: (event) => {
        if (event.type === 'item-completed') writeFileSync(out('web.xva'), 'mine');
      },
    });
    expect(await codeOf(work)).to.equal('TARGET_EXISTS');
    expect(readFileSync(out('web.xva'), 'utf8')).to.equal('mine');
    expect(readdirSync(out())).to.deep.equal(['web.xva']);
  });

  for (const [what, items, path] of [
    ['one item', ONE, 'web.xva'],
    ['the last of several', TWO, 'set'],
  ] as const) {
    it(`leaves nothing when ${what} is damaged`, async () => {
      const media = await mediaOf(items);
      const name = Object.keys(items).at(-1)!;
      const bytes = Buffer.from(readFileSync(inRepository(name)));
      bytes.writeUInt8(bytes.readUInt8(1) ^ 1, 1);
      writeFileSync(inRepository(name), bytes);
      expect(await codeOf(restoreToFiles({ media, path: out(path), signal, onEvent }))).to.equal('DATA_DAMAGED');
      expect(readdirSync(out())).to.deep.equal([]);
    });
  }

  it('leaves nothing when it is cancelled in the middle', async () => {
    const media = await mediaOf(ONE);
    const abort = new AbortController();
    const reason = new Error('enough');
    const work = restoreToFiles({
      media,
      path: out('web.xva'),
      signal: abort.signal,
      onEvent: (event) => {
        if (event.type === 'item-started') abort.abort(reason);
      },
    });
    const error: unknown = await work.then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).to.equal(reason);
    expect(readdirSync(out())).to.deep.equal([]);
  });

  it('refuses a folder that is not there', async () => {
    const media = await mediaOf(ONE);
    const path = out(join('nowhere', 'web.xva'));
    expect(await codeOf(restoreToFiles({ media, path, signal, onEvent }))).to.equal('MEDIUM_FAILED');
    expect(existsSync(out('nowhere'))).to.equal(false);
  });

  it('says what to do with the remnant of a restore that was killed', async () => {
    const media = await mediaOf(ONE);
    writeFileSync(out('web.xva.partial'), 'half');
    expect(await codeOf(restoreToFiles({ media, path: out('web.xva'), signal, onEvent }))).to.equal('TARGET_EXISTS');
    expect(readFileSync(out('web.xva.partial'), 'utf8')).to.equal('half');
  });
});
