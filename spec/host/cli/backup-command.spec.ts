import { expect } from 'chai';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { failure, typesOf } from '../support/captured-stream.js';
import { CliHarness, useCliHarness } from '../support/cli-harness.js';

describe('xen-backup', () => {
  const { folder, harness } = useCliHarness();

  describe('backup', () => {
    it('stores, and says where', async () => {
      const { code, out } = await harness().run(['backup', 'web']);
      expect(code).to.equal(0);
      expect(out.lines.at(-1)).to.match(
        /^saved web as web-\d{8}T\d{6}Z-[0-9a-f]{6} \(full, crash, 293\.0 KiB in .*\/s\)$/,
      );
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.have.length(1);
    });

    it('packs what it stores when it is told to, by option or configuration, and everything reads it', async () => {
      await harness().run(['backup', 'web', '--compress', 'gzip']);
      const configured = new CliHarness(folder(), { config: { compression: 'gzip' } });
      await configured.run(['backup', 'db']);
      await configured.run(['backup', 'odd one', '--compress', 'none']);
      const savesets = join(folder(), 'repo', 'savesets');
      const endings = readdirSync(savesets)
        .toSorted()
        .map((id) => readdirSync(join(savesets, id)).filter((name) => name.endsWith('.gz')).length);
      expect(endings).to.deep.equal([1, 0, 1]);
      const shown = await harness().run(['show', 'latest:web']);
      expect(shown.out.text).to.match(/293\.0 KiB +\d+\.\d KiB gzip/);
      expect((await harness().run(['show', 'latest:odd one'])).out.text).to.include('as it is');
      expect((await harness().run(['verify', '--all'])).code).to.equal(0);
      const restored = await harness().run(['restore', 'latest:web', '--as', 'web again']);
      expect(restored.code, restored.err.text).to.equal(0);
      expect((await harness().run(['backup', 'web', '--compress', 'rar'])).code).to.equal(2);
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

    it('lists what an ambiguous name could mean', async () => {
      const { code, err } = await harness().run(['backup', 'twin']);
      expect(code).to.equal(1);
      expect(err.lines).to.include.members(['error OBJECT_AMBIGUOUS: twin fits 2 machines.', '  vm/t1', '  vm/t2']);
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.deep.equal([]);
    });

    it('saves the others when names of several stand for nothing, and ends with 1', async () => {
      const { code, out, err } = await harness().run(['backup', 'nobody', 'web', 'twin', 'db']);
      expect(code).to.equal(1);
      expect(err.lines.join('\n'))
        .to.contain('nobody: error OBJECT_NOT_FOUND: ')
        .and.contain('twin: error OBJECT_AMBIGUOUS: ');
      expect(out.lines.at(-1)).to.equal('2 of 4 saved, 2 failed');
      expect(readdirSync(join(folder(), 'repo', 'savesets'))).to.have.length(2);
    });

    it('saves nothing when none of several names stands for anything', async () => {
      const { code, out } = await harness().run(['backup', 'nobody', 'no one', '--json']);
      expect(code).to.equal(1);
      expect(out.events).to.deep.include({
        type: 'summary',
        isDryRun: false,
        selected: 2,
        good: 0,
        warned: 0,
        failed: 2,
        skipped: 0,
      });
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
});
