import { expect } from 'chai';
import { type BackupErrorCode, type CheckLine } from '../../src/contract/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, expectCode } from '../contract/support/run-operation.js';
import { recordCalls } from './support/pool-calls.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

describe('journey: look at a pool', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  const line = async (check: string): Promise<CheckLine | undefined> =>
    (await world.source.check()).find((one) => one.check === check);
  const patchAll = (cls: string, fields: Record<string, unknown>): void => {
    for (const [ref] of world.running.pool.store.all(cls)) world.running.pool.store.patch(cls, ref, fields as never);
  };

  describe('check', () => {
    it('finds nothing wrong with a pool that is well', async () => {
      const lines = await world.source.check();
      expect(lines.filter(({ status }) => status !== 'ok')).to.deep.equal([]);
      expect(lines.map(({ check }) => check)).to.include.members([
        'login',
        'coordinator',
        'member',
        'role',
        'leftovers',
        'transport',
        'licence',
        'connection',
        'certificate',
        'clock',
        'default-storage',
      ]);
    });

    it('tells a member that is gone from one in maintenance', async () => {
      patchAll('host', { enabled: false });
      expect((await line('member'))?.status).to.equal('warning');
      patchAll('host_metrics', { live: false });
      expect((await line('member'))?.status).to.equal('error');
    });

    it('warns of a certificate that will expire, and of one that has', async () => {
      const inDays = (days: number): string =>
        new Date(Date.now() + days * 86_400_000)
          .toISOString()
          .replace(/[-:]|\.\d+/g, '')
          .replace(/(T\d\d)(\d\d)/, '$1:$2:');
      patchAll('Certificate', { not_after: inDays(5) });
      expect((await line('certificate'))?.status).to.equal('warning');
      patchAll('Certificate', { not_after: inDays(-5) });
      expect((await line('certificate'))?.status).to.equal('error');
    });

    it('says that the account may not scan where its role is not to be read', async () => {
      world.running.addFault({
        match: { call: 'SR.scan' },
        action: { failWith: ['RBAC_PERMISSION_DENIED', 'sr.scan', 'no'] },
      });
      expect((await line('default-storage'))?.status).to.equal('ok');
    });

    it('says what it could not look at, and goes on', async () => {
      world.running.addFault({
        match: { call: 'SR.scan' },
        action: { failWith: ['SR_BACKEND_FAILURE_40', '', 'x', ''] },
      });
      world.running.addFault({
        match: { call: 'Certificate.get_all_records' },
        action: { failWith: ['MESSAGE_METHOD_UNKNOWN', 'x'] },
      });
      expect((await line('storage'))?.status).to.equal('error');
      expect((await line('certificate'))?.status, 'taken from what the host presents').to.equal('ok');
      expect((await line('leftovers'))?.status).to.equal('ok');
    });

    it('warns of a default storage that is nearly full', async () => {
      world.patch('SR', world.uuidOf('Main', 'SR'), { physical_size: 8 * 1024 * 1024 });
      expect((await line('default-storage'))?.status).to.equal('warning');
    });

    it('is cancelled by its signal', async () => {
      await expectCode(world.source.check(AbortSignal.abort()), 'CANCELLED');
    });
  });

  describe('browser', () => {
    it('shows the facts of a machine and of its disks', async () => {
      const { nodes } = await world.source.browser.list('vm');
      const web = nodes.find(({ name }) => name === 'web')!;
      expect(web.sizeBytes).to.equal(5 * 1024 * 1024);
      expect(web.properties).to.deep.include({
        powerState: 'running',
        guestTools: true,
        consistency: ['crash', 'offline', 'memory'],
        notPossible: ['quiesced: neither this release nor its guest offers it'],
        disks: 2,
      });
      const disks = await world.source.browser.list(web.path);
      expect(disks.nodes.map(({ name, path, properties }) => [name, path, properties.storage])).to.deep.equal([
        ['web root', `${web.path}/0`, 'Main'],
        ['web data', `${web.path}/1`, 'Second'],
      ]);
      expect((await world.source.browser.list('vm/web')).nodes).to.deep.equal(disks.nodes);
      expect((await world.source.browser.list(`${web.path}/0`)).nodes).to.deep.equal([]);
    });

    it('shows default templates, which can not be chosen, and says why', async () => {
      const { nodes } = await world.source.browser.list('template');
      expect(nodes.map(({ name, isSelectable }) => [name, isSelectable])).to.deep.equal([
        ['Debian 12', false],
        ['golden', true],
      ]);
      expect(nodes[0]!.reason).to.match(/no data/);
    });

    it('shows hosts, and nothing below them', async () => {
      const { nodes } = await world.source.browser.list('host');
      expect(nodes.map(({ name }) => name)).to.deep.equal(['host-a']);
      expect((await world.source.browser.list(nodes[0]!.path)).nodes).to.deep.equal([]);
    });

    it('makes the same calls whatever the size of the pool, and none for the pages that follow', async () => {
      const calls = recordCalls(world.running);
      const { nextCursor } = await world.source.browser.list('vm', { pageSize: 2 });
      const asked = calls.length;
      // With log-in, pool and hosts, and log-out: eight.
      expect(asked).to.be.within(5, 6);
      await world.source.browser.list('vm', { pageSize: 2, cursor: nextCursor! });
      expect(calls.length).to.equal(asked);
    });

    it('asks once for a whole walk, and anew for who does not say that it walks', async () => {
      const calls = recordCalls(world.running);
      const { nodes } = await world.source.browser.list('vm');
      for (const { path } of nodes) await world.source.browser.list(path, { maxAgeMs: 60_000 });
      const asked = calls.length;
      expect(asked).to.be.within(5, 6);
      await world.source.browser.list(nodes[0]!.path);
      expect(calls.length).to.be.at.least(asked + 5);
    });

    const refusals: readonly (readonly [path: string, query: object, code: BackupErrorCode])[] = [
      ['nowhere', {}, 'OBJECT_NOT_FOUND'],
      ['host/nobody', {}, 'OBJECT_NOT_FOUND'],
      ['vm/00000000-0000-4000-8000-000000000000', {}, 'OBJECT_NOT_FOUND'],
      ['pool', { pageSize: 0 }, 'REQUEST_INVALID'],
      ['pool', { cursor: 'x' }, 'REQUEST_INVALID'],
      ['pool', { signal: AbortSignal.abort() }, 'CANCELLED'],
    ];
    for (const [path, query, code] of refusals) {
      it(`refuses ${path} ${JSON.stringify(query)} with ${code}`, async () => {
        await expectCode(world.source.browser.list(path, query), code);
      });
    }
  });

  it('refuses to save a machine with a disk that its storage has lost', async () => {
    world.patch('VDI', world.uuidOf('db root', 'VDI'), { missing: true });
    const { code } = await errorOf(world.source.backup({ source: 'vm/db', savesetId: 'x' }, new RecordingSink()));
    expect(code).to.equal('SOURCE_UNSUPPORTED');
  });

  it('refuses savesets that it does not understand', async () => {
    const { record } = await world.backup('vm/db');
    const asNew = { mode: 'new', name: 'copy' } as const;
    for (const broken of [
      { ...record, details: {} },
      { ...record, items: [] },
      { ...record, providerId: 'other' },
      { ...record, source: { ...record.source, kind: 'database' } },
    ]) {
      await expectCode(world.source.planRestore(asNew, broken), 'SAVESET_INVALID');
    }
  });
});

describe('journey: storages with one name', () => {
  it('refuses the name and takes the UUID; a storage that no host has is none', async () => {
    const storage = [...SMALL_POOL.storage!, { name: 'Second', type: 'nfs', sizeGiB: 1 } as const];
    const world = await startXenWorld({ poolFile: { ...SMALL_POOL, storage } });
    const { record } = await world.backup('vm/db');
    const wish = (wanted: string) => ({ mode: 'new', name: 'copy', storage: wanted }) as const;
    const { context } = await expectCode(world.source.planRestore(wish('Second'), record), 'OBJECT_AMBIGUOUS');
    const [first] = context.candidates as string[];
    expect((await world.source.planRestore(wish(first!), record)).storage.id).to.equal(first);
    for (const [ref] of world.running.pool.store.all('PBD')) {
      world.running.pool.store.patch('PBD', ref, { currently_attached: false });
    }
    await expectCode(world.source.planRestore(wish(first!), record), 'STORAGE_NOT_FOUND');
    await expectCode(world.source.planRestore({ mode: 'new', name: 'copy' }, record), 'STORAGE_NOT_FOUND');
    await world.close();
  });
});
