import { expect } from 'chai';
import { join } from 'node:path';
import { packageRoot } from '../../src/common/package-root.js';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { runWell } from './programs.js';

interface Seen {
  readonly methods: number;
  readonly classes: Readonly<Record<string, number>>;
  readonly removed: readonly string[];
  readonly underscore: number;
  readonly snapshot: string;
  readonly events: readonly string[];
  readonly types: Readonly<Record<string, unknown>>;
  readonly logins: number;
  readonly unknown: readonly string[];
  readonly member: readonly string[];
}

describe("Python's xmlrpc.client", () => {
  let pool: RunningPool;
  let seen: Seen;
  let counts: Readonly<Record<string, number>>;

  before(async () => {
    pool = await startSimulatedPool();
    counts = Object.fromEntries(
      [...pool.pool.datamodel.classes.keys()].map((cls) => [cls, pool.pool.store.count(cls)]),
    );
    const script = join(packageRoot(), 'spec/interop/xmlrpc-client.py');
    const [coordinator, member] = pool.hosts;
    const args = [script, coordinator?.httpUrl ?? '', member?.httpUrl ?? '', pool.username, pool.password];
    seen = JSON.parse(await runWell('/usr/bin/python3', args)) as Seen;
  });
  after(() => pool.close());

  it('gets the records of every class that is listed, by either spelling', () => {
    const { datamodel } = pool.pool;
    const listed = [...datamodel.classes.values()].filter(({ messages }) => messages.has('get_all_records'));
    expect(Object.keys(seen.classes).length + seen.removed.length).to.equal(listed.length);
    expect(seen.underscore).to.equal(Object.keys(seen.classes).length);
    for (const cls of ['pool', 'host', 'SR', 'network', 'PIF', 'VDI']) {
      expect(seen.classes[cls], cls).to.equal(counts[cls]);
    }
    expect(seen.methods).to.be.greaterThan(1500);
  });

  it('takes a snapshot as a task, and follows it by events', () => {
    const [ref = ''] = /OpaqueRef:[0-9a-f-]+/.exec(seen.snapshot) ?? [];
    expect(pool.pool.store.get('VM', ref).name_label).to.equal('by Python');
    expect(seen.events).to.include('vm');
  });

  it('sees values as XML-RPC carries them', () => {
    expect(seen.types).to.deep.equal({
      int: 'str',
      float: 'float',
      bool: 'bool',
      date: 'DateTime',
      void: '',
      text: 'Orders <&> ☃',
      nil: ['INTERNAL_ERROR', `Failure("Expected string, got 'N'")`],
    });
  });

  it('logs in again when its session is gone, and leaves nothing behind', () => {
    expect(seen.logins).to.equal(2);
    expect(seen.unknown).to.deep.equal(['MESSAGE_METHOD_UNKNOWN', 'VM.nosuch']);
    expect(pool.pool.sessions.count).to.equal(0);
  });

  it('is sent from a member to the coordinator', () => {
    expect(seen.member).to.deep.equal(['HOST_IS_SLAVE', pool.hosts[0]?.address]);
  });
});
