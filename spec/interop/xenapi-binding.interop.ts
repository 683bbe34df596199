import { expect } from 'chai';
import { join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { runWell } from './programs.js';

/** Where Debian's python3-os-xenapi has it, unchanged but for its imports. */
const BINDING = '/usr/lib/python3/dist-packages/os_xenapi/client/XenAPI.py';

interface Seen {
  readonly version: string;
  readonly fields: number;
  readonly snapshot: string;
  readonly failure: readonly string[];
  readonly member: readonly string[];
}

describe('the Python binding XenAPI.py', () => {
  let pool: RunningPool;

  before(async () => {
    pool = await startSimulatedPool();
  });
  after(() => pool.close());

  it('logs in, runs a task, meets failures, is sent on by a member, and leaves', async () => {
    const [coordinator, member] = pool.hosts;
    const script = join(packageRoot(), 'spec/interop/xenapi-binding.py');
    const urls = [coordinator?.httpUrl ?? '', member?.httpUrl ?? ''];
    const args = [script, BINDING, ...urls, pool.username, pool.password];
    const seen = JSON.parse(await runWell('/usr/bin/python3', args)) as Seen;
    expect(seen.version).to.equal('2.21');
    expect(seen.fields).to.equal(pool.pool.datamodel.classes.get('VM')?.fields.size);
    const [snapshot = ''] = /OpaqueRef:[0-9a-f-]+/.exec(seen.snapshot) ?? [];
    expect(pool.pool.store.get('VM', snapshot).name_label).to.equal('by the binding');
    expect(seen.failure).to.deep.equal(['HANDLE_INVALID', 'VM', 'OpaqueRef:gone']);
    expect(seen.member).to.deep.equal(['HOST_IS_SLAVE', coordinator?.address]);
    expect(pool.pool.sessions.count).to.equal(0);
  });
});
