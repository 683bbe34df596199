import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failure, typesOf } from '../support/captured-stream.js';
import { useCliHarness } from '../support/cli-harness.js';

const COMMANDS = [
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
];

describe('xen-backup', () => {
  const { folder, harness } = useCliHarness();

  describe('help and usage', () => {
    it('shows version and commands without loading any', async () => {
      const version = await harness().run(['--version']);
      expect(version.out.text).to.match(/^\d+\.\d+\.\d+\n$/);
      const help = await harness().run(['--help']);
      for (const name of COMMANDS) {
        expect(help.out.text).to.match(new RegExp(`^  ${name} `, 'm'));
      }
      expect([version.code, help.code]).to.deep.equal([0, 0]);
    });

    for (const name of COMMANDS) {
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
      const words = out.lines.slice(0, 3).map((line) => line.trimEnd().split(/ {2,}/));
      expect(words).to.deep.equal([
        ['NAME', 'KIND', 'SIZE', 'SOURCE', 'FACTS'],
        ['In-memory machines', 'client', '-', words[1]?.at(-1)],
        ['', 'web', 'vm', '293.0 KiB', 'vm/m1', 'powerState: running'],
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
