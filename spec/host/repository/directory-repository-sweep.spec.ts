import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { useRepositoryFolder } from '../support/repository-folder.js';
import { store } from '../support/stored-saveset.js';
import { VirtualClock } from '../support/virtual-clock.js';

const HOUR_MS = 3_600_000;

describe('DirectoryRepository', () => {
  const { path, saveset, openRepository } = useRepositoryFolder();

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

    it('takes the lease that a run left when it died right after its record, and only that (found by torture)', async () => {
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

    // What a lease is written through was taken for an item, and the folder stayed for ever.
    it('takes a folder whose run died while it wrote its lease (found by torture)', async () => {
      const clock = new VirtualClock(Date.now());
      const repository = await openRepository({ clock });
      mkdirSync(saveset('killed'), { recursive: true });
      writeFileSync(saveset('killed', '.0a1b2c3d4e5f.tmp'), '{"machine":');
      expect(await repository.sweep()).to.deep.equal([]);
      clock.advance(HOUR_MS);
      expect(await repository.sweep()).to.deep.equal(['killed']);
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
