import { expect } from 'chai';
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CapturedStream } from '../support/captured-stream.js';
import { CliHarness } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

const typesOf = ({ events }: CapturedStream): unknown[] => events.map(({ type }) => type);
const failure = ({ events }: CapturedStream): Record<string, unknown> =>
  (events.at(-1) as { error: Record<string, unknown> }).error;

describe('xen-backup', () => {
  const folder = useTemporaryFolder();
  const harness = (options = {}): CliHarness => new CliHarness(folder(), options);

  describe('help and usage', () => {
    it('shows version and commands without loading any', async () => {
      const version = await harness().run(['--version']);
      expect(version.out.text).to.match(/^\d+\.\d+\.\d+\n$/);
      const help = await harness().run(['--help']);
      for (const name of [
        'simulate',
        'check',
        'browse',
        'backup',
        'restore',
        'list',
        'show',
        'verify',
        'prune',
        'reconcile',
        'trust',
      ]) {
        expect(help.out.text).to.match(new RegExp(`^  ${name} `, 'm'));
      }
      expect([version.code, help.code]).to.deep.equal([0, 0]);
    });

    for (const name of [
      'simulate',
      'check',
      'browse',
      'backup',
      'restore',
      'list',
      'show',
      'verify',
      'prune',
      'reconcile',
      'trust',
    ]) {
      it(`explains ${name} with an example, whichever way it is asked`, async () => {
        const asked = await harness().run([name, '--help']);
        const other = await harness().run(['help', name]);
        expect(asked.out.text).to.match(/Examples?:\n {2}xen-backup /);
        expect(other.out.text).to.equal(asked.out.text);
        expect([asked.code, other.code]).to.deep.equal([0, 0]);
      });
    }

    const wrong: readonly (readonly string[])[] = [
      [],
      ['nonsense'],
      ['backup'],
      ['backup', 'x', '--nonsense'],
      ['backup', 'x', '--level', 'half'],
      ['backup', 'x', '-o', 'novalue'],
      ['backup', 'x', '-o', 'key=[broken'],
      ['backup', 'x', '--concurrency', '0'],
      ['backup', 'x', '--consistency', 'half'],
      ['prune'],
      ['prune', '--keep-last', '0'],
      ['prune', '--keep-last', 'many'],
      ['verify'],
      ['verify', 'x', '--all'],
      ['restore', 'x'],
      ['restore', 'x', '--as', 'y', '--overwrite'],
      ['trust', 'ftp://x'],
      ['trust', 'http://['],
      ['check', '--config', 'missing.json'],
      ['check', '--client', 'nobody'],
    ];
    for (const args of wrong) {
      it(`"${args.join(' ')}" is a usage error`, async () => {
        const { code, out, err } = await harness().run(args);
        expect(code).to.equal(2);
        expect(out.text).to.equal('');
        expect(err.text).to.match(/^error (REQUEST|CONFIG)_INVALID: [^\n]+\nhint: [^\n]+\n$/);
      });
    }

    it('tells a usage error as JSON too', async () => {
      const { code, out } = await harness().run(['prune', '--json']);
      expect(code).to.equal(2);
      expect(typesOf(out)).to.deep.equal(['failed']);
      expect(failure(out)).to.include({ code: 'REQUEST_INVALID' });
    });

    it('shows stack and causes with --debug only', async () => {
      const { err } = await harness().run(['check', '--config', 'missing.json', '--debug']);
      expect(err.text)
        .to.match(/\n {4}at /)
        .and.contain('caused by:');
    });
  });

  describe('check', () => {
    it('shows findings in columns; warnings make 3', async () => {
      const { code, out } = await harness().run(['check']);
      expect(code).to.equal(3);
      expect(out.lines[0]).to.equal('STATUS   CHECK    FINDING');
      expect(out.text).to.contain('warning  machine  odd one looks odd.');
    });

    it('is 0 when all is well and 1 when something would fail', async () => {
      const machines = [{ id: 'x', name: 'fine', sizeBytes: 1 }];
      expect((await harness({ settings: { machines } }).run(['check', '--json'])).code).to.equal(0);
      const failed = await harness({ settings: { machines: [] } }).run(['check', '--json']);
      expect(failed.code).to.equal(1);
      expect(failed.out.events).to.deep.equal([
        {
          type: 'check',
          status: 'error',
          check: 'machines',
          message: 'There is no machine.',
          hint: 'Name some in the settings.',
        },
      ]);
    });

    it('makes no repository', async () => {
      await harness().run(['check']);
      expect(existsSync(join(folder(), 'repo'))).to.equal(false);
    });

    it('logs on standard error with --verbose', async () => {
      const { out, err } = await harness().run(['check', '--verbose', '--json']);
      expect(err.text).to.contain('client opened');
      expect(new Set(typesOf(out))).to.deep.equal(new Set(['check']));
    });

    it('fails with 2 when a secret is missing, and shows no secret that is there', async () => {
      const cli = harness({ settings: { password: 'env:MEM_PASSWORD' } });
      const missing = await cli.run(['check']);
      expect([missing.code, missing.err.lines[0]]).to.deep.equal([
        2,
        'error CREDENTIALS_UNAVAILABLE: The environment variable MEM_PASSWORD is not set.',
      ]);
      const given = await cli.run(['check', '--debug'], { environment: { MEM_PASSWORD: 'hunter22' } });
      expect(given.out.text + given.err.text).to.not.contain('hunter22');
    });
  });

  describe('browse', () => {
    it('shows what can be saved', async () => {
      const { code, out } = await harness().run(['browse']);
      expect(code).to.equal(0);
      expect(out.lines.slice(0, 2)).to.deep.equal([
        'NAME     KIND       SIZE  SOURCE  FACTS',
        'web      vm    293.0 KiB  vm/m1   powerState: running',
      ]);
    });

    it('gives one JSON line a node', async () => {
      const { out } = await harness().run(['browse', '-r', '--json']);
      expect(out.events.map(({ type, path }) => `${String(type)} ${String(path)}`)).to.include('node vm/m2');
    });

    it('says so when there is nothing, and fails for a path that is not there', async () => {
      const { out } = await harness().run(['browse', 'vm/m1']);
      expect(out.text).to.equal('There is nothing here.\n');
      expect((await harness().run(['browse', 'vm/none'])).code).to.equal(1);
    });
  });

  describe('backup', () => {
    it('stores, and says where', async () => {
      const { code, out } = await harness().run(['backup', 'web']);
      expect(code).to.equal(0);
      expect(out.lines.at(-1)).to.match(
        /^saved web as web-\d{8}T\d{6}Z-[0-9a-f]{6} \(full, crash, 293\.0 KiB in .*\/s\)$/,
      );
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.have.length(1);
    });

    it('with --json gives events and nothing else, completed last', async () => {
      const { code, out, err } = await harness().run(['backup', 'web', '--json']);
      expect(code).to.equal(0);
      expect(err.text).to.equal('');
      expect(out.events.every(({ source, savesetId }) => source === 'vm/m1' && typeof savesetId === 'string')).to.equal(
        true,
      );
      expect(typesOf(out).at(0)).to.equal('phase-entered');
      expect(typesOf(out).at(-1)).to.equal('completed');
    });

    it('draws bars on a terminal, in colour unless NO_COLOR is set', async () => {
      const coloured = await harness().run(['backup', 'web', '--verbose'], { isTerminal: true });
      expect(coloured.out.text).to.contain('━').and.contain('\u001b[32m');
      const plain = await harness().run(['backup', 'web'], { isTerminal: true, environment: { NO_COLOR: '1' } });
      expect(plain.out.text).to.contain('━').and.not.contain('\u001b[32m');
      const dumb = await harness().run(['backup', 'web'], { isTerminal: true, environment: { TERM: 'dumb' } });
      expect(dumb.out.text).to.not.contain('\u001b');
    });

    it('ends with 3 after a warning', async () => {
      const { code, out } = await harness().run(['backup', 'odd one']);
      expect(code).to.equal(3);
      expect(out.text).to.contain('warning NAME_ODD');
    });

    it('saves one thing once, whatever its names', async () => {
      const { out } = await harness().run(['backup', 'web', 'vm/m1', 'vm/m2', '--json']);
      expect(typesOf(out).filter((type) => type === 'completed')).to.have.length(2);
    });

    it('starts nothing when a name is wrong, and lists what an ambiguous one could mean', async () => {
      const { code, err } = await harness().run(['backup', 'web', 'twin']);
      expect(code).to.equal(1);
      expect(err.lines).to.include.members(['error OBJECT_AMBIGUOUS: twin fits 2 machines.', '  vm/t1', '  vm/t2']);
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.deep.equal([]);
      expect((await harness().run(['backup', 'web', 'nobody'])).code).to.equal(1);
    });

    it('goes on with the next after one that fails, and ends with 1', async () => {
      const cli = harness();
      let isBlocked = false;
      const { code, out } = await cli.run(['backup', 'web', 'db', '--json'], {
        onStart: (_signals, stream) => {
          const write = stream._write.bind(stream);
          // The folder of the first saveset vanishes while it runs.
          stream._write = (chunk, encoding, done) => {
            const savesets = join(cli.repository, 'savesets');
            if (!isBlocked && existsSync(savesets) && readdirSync(savesets).length > 0) {
              isBlocked = true;
              for (const name of readdirSync(savesets))
                mkdirSync(join(savesets, name, 'disk-0.img'), { recursive: true });
            }
            write(chunk, encoding, done);
          };
        },
      });
      expect(code).to.equal(1);
      expect(out.events.filter(({ type }) => type === 'failed').map(({ source }) => source)).to.deep.equal(['vm/m1']);
      expect(out.events.at(-2)).to.include({ type: 'completed', source: 'vm/m2' });
      expect(out.events.at(-1)).to.include({ type: 'summary', selected: 2, good: 1, failed: 1, skipped: 0 });
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.have.length(1);
    });

    it('leaves out what is excluded, and says when an exclusion fits nothing', async () => {
      const { code, out, err } = await harness().run([
        'backup',
        'web',
        'db',
        '--exclude',
        'vm/m1',
        '--exclude',
        'nobody',
      ]);
      expect(code).to.equal(0);
      expect(out.text).to.contain('saved db as ').and.not.contain('saved web as ');
      expect(err.text).to.contain('--exclude nobody fits nothing');
      const none = await harness().run(['backup', 'web', '--exclude', 'web']);
      expect([none.code, none.err.lines[0]]).to.deep.equal([
        1,
        'error OBJECT_NOT_FOUND: The exclusions leave nothing to save.',
      ]);
    });

    it('makes as many backups at once as it is told, and ends with one line about all', async () => {
      const cli = harness({ settings: { chunkDelayMs: 5 } });
      const both = await cli.run(['backup', 'web', 'db', '--concurrency', '2', '--json']);
      const order = both.out.events.map(({ type, source }) => `${String(type)} ${String(source)}`);
      expect(order.indexOf('item-started vm/m2')).to.be.lessThan(order.indexOf('completed vm/m1'));
      const text = await cli.run(['backup', 'web', 'odd one', '--concurrency', '2']);
      expect([text.code, text.out.lines.at(-1)]).to.deep.equal([3, '2 of 2 saved, 1 with warnings']);
    });

    it('refuses a consistency that the provider does not offer', async () => {
      const { code, err } = await harness().run(['backup', 'web', '--consistency', 'memory']);
      expect(code).to.equal(2);
      expect(err.text).to.contain('offers no memory backup').and.contain('It offers: crash, offline.');
    });

    it('only says what it would save in a dry run', async () => {
      const { code, out } = await harness().run(['backup', 'web', '--dry-run']);
      expect(code).to.equal(0);
      expect(out.lines).to.deep.equal([
        'web (vm/m1): full, 293.0 KiB',
        '  DISK       SIZE  LEVEL  WHY',
        '  disk  293.0 KiB  full   only-full',
      ]);
      expect(existsSync(join(folder(), 'repo'))).to.equal(false);
      const json = await harness().run(['backup', 'web', '--dry-run', '--json']);
      expect(typesOf(json.out)).to.deep.equal(['estimate']);
    });

    it('refuses a level that the provider does not offer before anything is opened', async () => {
      const { code, err } = await harness().run(['backup', 'web', '--level', 'incremental']);
      expect(code).to.equal(2);
      expect(err.text).to.contain('offers: full');
      expect(existsSync(join(folder(), 'repo'))).to.equal(false);
      expect(
        (await harness().run(['backup', 'web', '--level', 'full', '-o', 'a=b', '-a', 'http=https'])).code,
      ).to.equal(0);
    });

    it('is cancelled by Ctrl-C with 130, and cleans up', async () => {
      const cli = harness({ settings: { chunkDelayMs: 20 } });
      const { code, out, err, left } = await cli.run(['backup', 'web', 'db', '--json'], {
        onStart: (signals, stream) => {
          stream.once('progress-seen', () => signals.emit('SIGINT'));
          const write = stream._write.bind(stream);
          stream._write = (chunk, encoding, done) => {
            if (String(chunk).includes('"progress"')) stream.emit('progress-seen');
            write(chunk, encoding, done);
          };
        },
      });
      expect(code).to.equal(130);
      expect(failure(out)).to.include({ code: 'CANCELLED' });
      expect(out.events.some(({ source }) => source === 'vm/m2')).to.equal(false);
      expect(err.lines[0]).to.contain('Ctrl-C again');
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.deep.equal([]);
      expect(left).to.deep.equal([]);
    });

    it('leaves at once at a second Ctrl-C, and says how to clean up', async () => {
      const { err, left } = await harness().run(['backup', 'web'], {
        onStart: (signals) => {
          signals.on('newListener', (name) => {
            if (name === 'SIGTERM') setImmediate(() => signals.emit('SIGINT') && signals.emit('SIGINT'));
          });
        },
      });
      expect(left).to.deep.equal([130]);
      expect(err.text).to.contain('xen-backup reconcile');
    });
  });

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
      expect(out.text).to.equal(`No savesets in ${elsewhere}.\n`);
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
        .to.match(/disk-0\.img {2}disk {2}10 B {2}[0-9a-f]{64}/)
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

  describe('prune and reconcile', () => {
    it('prune wants to know what to keep', async () => {
      const { code, err } = await harness().run(['prune']);
      expect(code).to.equal(2);
      expect(err.text).to.contain('--keep-daily');
    });

    it('prune to the newest, after saying so in a dry run', async () => {
      const cli = harness();
      const ids = [await cli.save('web'), await cli.save('web')];
      const dry = await cli.run(['prune', '--keep-last', '1', '--dry-run']);
      expect(dry.out.lines[1]).to.equal('would remove 1, kept 1, 293.0 KiB freed');
      expect(readdirSync(join(cli.repository, 'savesets'))).to.have.length(2);
      const { code, out } = await cli.run(['prune', '--keep-last', '1', '--json']);
      expect(code).to.equal(0);
      expect(typesOf(out)).to.deep.equal(['removed', 'pruned']);
      expect(ids).to.include.members(readdirSync(join(cli.repository, 'savesets')));
    });

    it('reconcile says what it removed, at the source and in the repository', async () => {
      const cli = harness();
      await cli.save('db');
      expect((await cli.run(['reconcile'])).out.text).to.equal('Nothing was left behind.\n');
      const { memoryWorlds } = await import('../../contract/support/memory-world.js');
      const { worldOf } = await memoryWorlds();
      worldOf({ name: cli.clientName, settings: {} }).snapshots.set('s1', { name: 'web', isAlive: false });
      const dead = join(cli.repository, 'savesets', 'dead-run');
      mkdirSync(dead);
      writeFileSync(join(dead, '.lease'), JSON.stringify({ machine: 'gone', pid: 1, processStart: '1' }));
      const { utimesSync } = await import('node:fs');
      utimesSync(join(dead, '.lease'), 0, 0);
      const { code, out } = await cli.run(['reconcile']);
      expect([code, ...out.lines]).to.deep.equal([
        0,
        'removed snapshot web (s1): Its run is dead.',
        'removed unfinished saveset dead-run',
      ]);
      expect(typesOf((await cli.run(['reconcile', '--json'])).out)).to.deep.equal(['reconciled']);
    });

    it('reconcile works where no backup was ever stored', async () => {
      expect((await harness().run(['reconcile'])).code).to.equal(0);
      expect(existsSync(join(folder(), 'repo'))).to.equal(false);
    });
  });

  it('shows no control characters of names that come from elsewhere', async () => {
    const machines = [{ id: 'evil', name: 'a\u001b[2Jb\u0007', sizeBytes: 1 }];
    const cli = harness({ settings: { machines } });
    const outputs = await Promise.all([
      cli.run(['browse']),
      cli.run(['check']),
      cli.run(['backup', 'vm/evil', '--dry-run']),
    ]);
    for (const { out } of outputs) expect(out.text).to.not.contain('\u001b').and.not.contain('\u0007');
  });
});
