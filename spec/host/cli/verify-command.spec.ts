import { expect } from 'chai';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliHarness } from '../support/cli-harness.js';
import { useTemporaryFolder } from '../support/temporary-folder.js';

describe('xen-backup verify, with a chain', () => {
  const folder = useTemporaryFolder();

  /** A saveset, and one that builds on it. */
  async function chain(): Promise<{ cli: CliHarness; parent: string; child: string }> {
    const cli = new CliHarness(folder());
    const parent = await cli.save('vm/m1');
    const child = await cli.save('vm/m1');
    const path = join(cli.repository, 'savesets', child, 'saveset.json');
    const record = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...record, level: 'incremental', parentSavesetId: parent }));
    return { cli, parent, child };
  }

  it('reads what a saveset builds on as well, first', async () => {
    const { cli, parent, child } = await chain();
    const { code, out } = await cli.run(['verify', child, '--json']);
    expect(code).to.equal(0);
    expect(out.events.map(({ savesetId }) => savesetId)).to.deep.equal([parent, child]);
  });

  it('finds a byte that changed in an ancestor', async () => {
    const { cli, parent, child } = await chain();
    writeFileSync(join(cli.repository, 'savesets', parent, 'disk-0.img'), 'x', { flag: 'r+' });
    const { code, out } = await cli.run(['verify', child]);
    expect(code).to.equal(1);
    expect(out.text).to.match(new RegExp(`damaged +${parent}/`));
  });

  it('names the member that is missing, and everything else is still read', async () => {
    const { cli, parent, child } = await chain();
    rmSync(join(cli.repository, 'savesets', parent), { recursive: true });
    const { code, out } = await cli.run(['verify', '--all', '--json']);
    expect(code).to.equal(1);
    expect(out.events.map(({ type }) => type)).to.deep.equal(['chain-broken', 'item-verified']);
    expect(out.events[0]).to.include({ savesetId: child, member: parent });
  });
});
