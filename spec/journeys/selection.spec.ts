import { expect } from 'chai';
import { type BackupSelection, resolveSelection } from '../../src/host/backup-selection.js';
import { expectCode } from '../contract/support/run-operation.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

const vms = SMALL_POOL.vms ?? [];
const POOL = {
  ...SMALL_POOL,
  vms: vms.map((vm) => (vm.name === 'db' ? { ...vm, tags: ['nightly', 'xo:no-bak=by hand'] } : vm)),
};

describe('journey: selection of several machines', () => {
  let world: XenWorld;

  before(async () => {
    world = await startXenWorld({ poolFile: POOL });
  });

  after(() => world.close());

  const select = (names: readonly string[], exclusions: readonly string[] = []): Promise<BackupSelection> =>
    resolveSelection(world.source, names, exclusions, new AbortController().signal);
  const namesOf = async (names: readonly string[], exclusions?: readonly string[]): Promise<readonly string[]> =>
    (await select(names, exclusions)).targets.map(({ displayName }) => displayName);

  it('takes all machines of the pool, and no templates', async () => {
    expect(await namesOf(['vm/*'])).to.deep.equal(['frozen', 'twin', 'twin', 'web']);
  });

  it('takes patterns, tags, power states and names together, each machine once', async () => {
    expect(await namesOf(['tag:nightly', 'state:suspended', 'web', 'template/gold*'])).to.deep.equal([
      'web',
      'frozen',
      'golden',
    ]);
  });

  it('leaves out what is excluded, and tells which exclusion fits nothing', async () => {
    expect(await namesOf(['vm/*'], ['state:suspended', 'twin*'])).to.deep.equal(['web']);
    expect((await select(['vm/*'], ['tag:none'])).idleExclusions).to.deep.equal(['tag:none']);
  });

  it('names what a pattern leaves out by its tag, and takes it when it is named', async () => {
    const { skipped } = await select(['vm/*']);
    expect(skipped.map(({ displayName, skipReason }) => [displayName, skipReason])).to.deep.equal([
      ['db', 'it carries the tag xo:no-bak=by hand'],
    ]);
    expect(await namesOf(['vm/*', 'vm/db'])).to.include('db');
    expect(await namesOf(['vm/db', 'vm/*'])).to.include('db');
  });

  it('refuses a pattern that fits nothing and a name of two', async () => {
    await expectCode(select(['vm/none-*']), 'OBJECT_NOT_FOUND');
    await expectCode(select(['vm/*'], ['twin']), 'OBJECT_AMBIGUOUS');
    await expectCode(select(['web'], ['web']), 'OBJECT_NOT_FOUND');
    await expectCode(select(['web', 'vm/']), 'REQUEST_INVALID');
  });

  it('tells which of several names stand for nothing, and takes the others', async () => {
    const { targets, failed } = await select(['web', 'gone', 'twin', 'template/golden']);
    expect(targets.map(({ displayName }) => displayName)).to.deep.equal(['web', 'golden']);
    expect(failed.map(({ name, error }) => [name, error.code])).to.deep.equal([
      ['gone', 'OBJECT_NOT_FOUND'],
      ['twin', 'OBJECT_AMBIGUOUS'],
    ]);
  });
});
