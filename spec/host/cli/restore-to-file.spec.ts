import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliHarness } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

describe('xen-backup restore --to-file', () => {
  const folder = useTemporaryFolder();

  it('writes the data and says so, without asking the client', async () => {
    const cli = new CliHarness(folder());
    const id = await cli.save('web');
    const { code, out } = await cli.run(['restore', id, '--to-file', 'web.img', '--client', 'nobody']);
    expect(code).to.equal(0);
    expect(out.lines.at(-1)).to.match(/^restored .*web\.img \(293\.0 KiB in /);
    const stored = readFileSync(join(cli.repository, 'savesets', id, 'disk-0.img'));
    expect(readFileSync(join(folder(), 'web.img')).equals(stored)).to.equal(true);
    const again = await cli.run(['restore', id, '--to-file', 'web.img']);
    expect([again.code, again.err.lines[0]?.split(':')[0]]).to.deep.equal([1, 'error TARGET_EXISTS']);
  });

  it('ends with the report as JSON', async () => {
    const cli = new CliHarness(folder());
    await cli.save('web');
    const { out } = await cli.run(['restore', 'latest:web', '--to-file', 'web.img', '--json']);
    expect(out.events.at(-1)).to.include({ type: 'completed' });
  });

  it('writes nothing in a dry run', async () => {
    const cli = new CliHarness(folder());
    const id = await cli.save('web');
    const { code, out } = await cli.run(['restore', id, '--to-file', 'web.img', '--dry-run']);
    expect(code).to.equal(0);
    expect(out.lines[0]).to.equal(`Only the data of ${id}: no pool is asked, nothing is registered.`);
    expect(out.lines.at(-1)).to.match(/^disk-0\.img +293\.0 KiB +.*web\.img$/);
    expect(existsSync(join(folder(), 'web.img'))).to.equal(false);
  });

  for (const more of [
    ['--as', 'x'],
    ['--overwrite'],
    ['--storage', 'memory'],
    ['--sr', 'memory'],
    ['--start'],
    ['-o', 'mac=keep'],
  ]) {
    it(`is a contradiction with ${more[0] ?? ''}`, async () => {
      const { code, err } = await new CliHarness(folder()).run(['restore', 'x', '--to-file', 'y', ...more]);
      expect([code, err.lines[0]?.split(':')[0]]).to.deep.equal([2, 'error REQUEST_INVALID']);
    });
  }

  it('takes --sr for --storage, but not both for two storages', async () => {
    const cli = new CliHarness(folder());
    await cli.save('web');
    expect((await cli.run(['restore', 'latest:web', '--as', 'a', '--sr', 'memory'])).code).to.equal(0);
    const both = await cli.run(['restore', 'latest:web', '--as', 'b', '--sr', 'memory', '--storage', 'other']);
    expect(both.code).to.equal(2);
  });
});
