import { expect } from 'chai';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failure, typesOf } from '../support/captured-stream.js';
import { useCliHarness } from '../support/cli-harness.js';

describe('xen-backup', () => {
  const { folder, harness } = useCliHarness();

  describe('list, show and verify', () => {
    it('list what is there, oldest first, perhaps of one source only', async () => {
      const cli = harness();
      const web = await cli.save('web');
      const db = await cli.save('db');
      const { out } = await cli.run(['list']);
      expect(out.lines[0]).to.match(/^SAVESET +SOURCE +SAVED +LEVEL +CONSISTENCY +SIZE$/);
      expect(out.lines.slice(1).map((line) => line.split(' ')[0])).to.deep.equal([web, db]);
      const one = await cli.run(['list', 'vm/db', '--json']);
      expect(one.out.events.map(({ record }) => (record as { savesetId: string }).savesetId)).to.deep.equal([db]);
    });

    it('say so when there is nothing, and name a repository that is not there', async () => {
      const cli = harness();
      expect((await cli.run(['list'])).code).to.equal(2);
      const elsewhere = join(folder(), 'elsewhere');
      await cli.run(['backup', 'db', '--repository', elsewhere]);
      await cli.run(['prune', '--keep-last', '1', '--repository', elsewhere]);
      const { out } = await cli.run(['list', 'nobody'], { environment: { XEN_BACKUP_REPOSITORY: elsewhere } });
      expect(out.text).to.equal(`No savesets of "nobody" in ${elsewhere}.\n`);
    });

    it('name damaged savesets, with 3 from list and 1 from verify', async () => {
      const cli = harness();
      const id = await cli.save('web');
      writeFileSync(join(cli.repository, 'savesets', id, 'saveset.json'), '{');
      const list = await cli.run(['list', '--json']);
      expect([list.code, ...typesOf(list.out)]).to.deep.equal([3, 'damaged']);
      const verify = await cli.run(['verify', '--all']);
      expect(verify.code).to.equal(1);
      expect(verify.out.text).to.contain(`damaged  ${id}`);
      expect((await cli.run(['show', id])).code).to.equal(1);
    });

    it('show one in full', async () => {
      const cli = harness();
      const id = await cli.save('odd one');
      const { code, out } = await cli.run(['show', 'latest:odd one']);
      expect(code).to.equal(0);
      expect(out.lines.slice(0, 2)).to.deep.equal([`Saveset      ${id}`, 'Source       odd one (vm/m3)']);
      expect(out.text)
        .to.match(/disk-0\.img {2}disk {2}10 B {2}as it is {2}[0-9a-f]{64}/)
        .and.contain('warning NAME_ODD');
      const json = await cli.run(['show', id, '--json']);
      expect(typesOf(json.out)).to.deep.equal(['saveset']);
      expect((await cli.run(['show', 'latest:nobody'])).code).to.equal(1);
      expect((await cli.run(['show', '../../etc'])).code).to.equal(2);
    });

    it('verify finds a byte too many and tells each item', async () => {
      const cli = harness();
      const good = await cli.save('web');
      const bad = await cli.save('db');
      appendFileSync(join(cli.repository, 'savesets', bad, 'disk-0.img'), 'x');
      expect((await cli.run(['verify', good])).code).to.equal(0);
      const all = await cli.run(['verify', '--all', '--json']);
      expect(all.code).to.equal(1);
      expect(all.out.events.map(({ savesetId, status }) => [savesetId, status])).to.deep.equal([
        [good, 'ok'],
        [bad, 'wrong-size'],
      ]);
      const lines = await cli.run(['verify', good, bad]);
      expect(lines.out.lines).to.deep.equal([
        `ok       ${good}/disk-0.img: 293.0 KiB`,
        `damaged  ${bad}/disk-0.img: It should have 200000 bytes and has 200001.`,
      ]);
    });

    it('verify of an empty repository says so', async () => {
      const cli = harness();
      await cli.run(['backup', 'nobody']);
      const { code, out } = await cli.run(['verify', '--all']);
      expect([code, out.text]).to.deep.equal([0, `No savesets in ${cli.repository}.\n`]);
    });
  });

  describe('restore', () => {
    it('makes something new', async () => {
      const cli = harness();
      await cli.save('web');
      const { code, out } = await cli.run(['restore', 'latest:web', '--as', 'copy', '--start', '--storage', 'memory']);
      expect(code).to.equal(0);
      expect(out.lines.at(-1)).to.match(/^restored copy \(m2|m\d+, 293\.0 KiB in .*, running\)$/);
    });

    it('plans without doing, marking what is destructive', async () => {
      const cli = harness();
      await cli.save('db');
      const plan = await cli.run(['restore', 'latest:db', '--overwrite', '--dry-run']);
      expect(plan.code).to.equal(0);
      expect(plan.out.lines).to.deep.equal([
        'Overwrite: db (m2)',
        'Storage: Memory (195.3 KiB needed, 1.0 GiB free)',
        '',
        ' 1. Replace the disk of db. [replaces what is there]',
      ]);
      const fresh = await cli.run(['restore', 'latest:db', '--as', 'x', '--dry-run']);
      expect(fresh.out.lines[0]).to.equal('A new object: x');
      const json = await cli.run(['restore', 'latest:db', '--as', 'x', '--dry-run', '--json']);
      expect(typesOf(json.out)).to.deep.equal(['plan']);
    });

    it('overwrites what is halted and refuses what runs', async () => {
      const cli = harness();
      await cli.save('db');
      await cli.save('web');
      const done = await cli.run(['restore', 'latest:db', '--overwrite', '--json']);
      expect([done.code, typesOf(done.out).at(-1)]).to.deep.equal([0, 'completed']);
      const refused = await cli.run(['restore', 'latest:web', '--overwrite']);
      expect([refused.code, refused.err.lines[0]]).to.deep.equal([1, 'error TARGET_RUNNING: web is running.']);
    });

    it('refuses damaged data with 1', async () => {
      const cli = harness();
      const id = await cli.save('web');
      writeFileSync(join(cli.repository, 'savesets', id, 'disk-0.img'), Buffer.alloc(300_000));
      const { code, out } = await cli.run(['restore', id, '--as', 'copy', '--json']);
      expect(code).to.equal(1);
      expect(failure(out)).to.include({ code: 'DATA_DAMAGED' });
    });

    it('refuses a saveset of another provider', async () => {
      const cli = harness();
      const id = await cli.save('web');
      const path = join(cli.repository, 'savesets', id, 'saveset.json');
      const { record } = (await cli.run(['show', id, '--json'])).out.events[0] as { record: object };
      writeFileSync(path, JSON.stringify({ ...record, providerId: 'another' }));
      const { code, err } = await cli.run(['restore', id, '--as', 'copy']);
      expect([code, err.lines[0]]).to.deep.equal([
        2,
        `error CONFIG_INVALID: ${id} was written by another; the client ${cli.clientName} is one of memory.`,
      ]);
    });
  });
});
