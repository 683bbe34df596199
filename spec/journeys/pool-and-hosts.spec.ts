import { gunzipSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  type BackupEvent,
  type RestoreEvent,
  type RestoreRequest,
  type SavesetRecord,
} from '../../src/contract/index.js';
import { parseSavesetRecord } from '../../src/contract/index.js';
import { type PoolDefinition } from '../../src/simulator/index.js';
import { digestOf, RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, eventsOf, expectCode, reportOf } from '../contract/support/run-operation.js';
import { SMALL_POOL, startXenWorld, type XenWorld } from './support/xen-world.js';

const TWO_HOSTS: PoolDefinition = { ...SMALL_POOL, hosts: [{ name: 'host-a' }, { name: 'host-b' }] };
const ASK: RestoreRequest = { mode: 'overwrite' };

interface Saved {
  readonly record: SavesetRecord;
  readonly sink: RecordingSink;
}

describe('journey: pool metadata and hosts', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld({ poolFile: TWO_HOSTS });
  });

  afterEach(() => world.close());

  const hostId = (name: string): string => world.uuidOf(name, 'host');
  const restore = (saved: Saved, request: RestoreRequest, damage?: (bytes: Buffer) => Buffer) =>
    world.source.restore(request, saved.sink.media(saved.record, damage));
  const warningsOf = (events: readonly (BackupEvent | RestoreEvent)[]): string[] =>
    events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  const itemsOf = ({ record }: Saved): string[] => record.items.map(({ name }) => name);

  describe('backup', () => {
    it('saves the database, the records of all machines and a runbook, under the new name and the old word', async () => {
      for (const name of ['pool/metadata', 'meta-data']) {
        const saved = await world.backup(name);
        const { record, sink } = saved;
        expect(parseSavesetRecord(JSON.stringify(record))).to.deep.equal(record);
        expect(record.source).to.include({ path: 'pool/metadata', kind: 'pool', displayName: 'Spec pool metadata' });
        expect(itemsOf(saved)).to.deep.equal(['pool-database.xml', 'vm-metadata.xva', 'RUNBOOK.txt']);
        for (const { name: item, sha256, bytes } of record.items) {
          expect([digestOf(sink.items.get(item)!), sink.items.get(item)!.length]).to.deep.equal([sha256, bytes]);
        }
        expect(sink.items.get('pool-database.xml')!.toString()).to.match(/^<\?xml[^]*<\/database>$/);
        expect(record.details).to.nested.include({
          'database.schemaMajor': 5,
          'database.rows.host': 2,
          'database.rows.pool': 1,
          'coordinator.name': 'host-a',
          machines: 6,
        });
        const runbook = sink.items.get('RUNBOOK.txt')!.toString();
        expect(runbook).to.include('host-b').and.to.include('xe pool-restore-database').and.to.include('confirm=');
        expect(record.details.runbook).to.equal(runbook);
      }
    });

    it('saves the host that is named, from that host', async () => {
      for (const name of ['host/host-b', `host/${hostId('host-b')}`]) {
        const saved = await world.backup(name);
        expect(saved.record.source).to.include({
          path: `host/${hostId('host-b')}`,
          kind: 'host',
          displayName: 'host-b',
        });
        expect(itemsOf(saved)).to.deep.equal(['host-backup.tar.gz', 'RUNBOOK.txt']);
        const tar = gunzipSync(saved.sink.items.get('host-backup.tar.gz')!).toString('latin1');
        expect(tar).to.include(`INSTALLATION_UUID='${hostId('host-b')}'`);
        expect(saved.record.details).to.nested.include({ 'host.name': 'host-b', isCoordinator: false });
      }
    });

    it('knows the host that the client names by the old word', async () => {
      expect((await world.backup('host-backup')).record.source.displayName).to.equal('host-a');
      const ofMember = await world.open({ url: world.running.hosts[1]!.url });
      expect(await ofMember.resolve(['host-backup'])).to.have.nested.property('[0].displayName', 'host-b');
      await ofMember.close();
    });

    it('resolves host/* to all members, and says which of them can’t be had', async () => {
      world.patch('host_metrics', await metricsOf('host-b'), { live: false });
      const all = await world.source.resolve(['host/*']);
      expect(all.map(({ displayName, skipReason }) => [displayName, skipReason])).to.deep.equal([
        ['host-a', undefined],
        ['host-b', 'the pool does not hear of it, so it is down or cut off'],
      ]);
      const sink = new RecordingSink();
      const operation = world.source.backup({ source: 'host/host-b', savesetId: 'dead' }, sink);
      expect(await errorOf(operation)).to.include({ code: 'SOURCE_UNREACHABLE', isRetriable: true });
      expect(sink.descriptors).to.deep.equal([]);
      await expectCode(world.source.resolve(['host/nobody']), 'OBJECT_NOT_FOUND');
      await expectCode(world.source.resolve(['pool/other']), 'OBJECT_NOT_FOUND');
    });

    it('says that a live member can’t be reached from here', async () => {
      world.patch('host', hostId('host-b'), { address: '127.0.0.77' });
      const source = await world.open();
      const all = await source.resolve(['host/*']);
      expect(all.map(({ skipReason = '' }) => skipReason)).to.deep.equal([
        '',
        'no connection to it at 127.0.0.77 opens from here',
      ]);
      await source.close();
    });

    it('says that the certificate of a member is not trusted, and whose it is', async () => {
      const [first, second] = world.running.hosts;
      const source = await world.open({ trust: { fingerprints: [first?.fingerprint256] } });
      const all = await source.resolve(['host/*']);
      expect(all[1]?.skipReason).to.match(/^its certificate is not trusted \(/);
      const error = await errorOf(source.backup({ source: 'host/host-b', savesetId: 'x' }, new RecordingSink()));
      expect(error.code).to.equal('SOURCE_UNTRUSTED');
      expect(error.hint).to.contain(`xen-backup trust https://${second?.address}:`);
      expect(error.context.fingerprint).to.equal(second?.fingerprint256);
      await source.close();
    });

    it('leaves a machine called meta-data within reach', async () => {
      world.patch('VM', world.uuidOf('db'), { name_label: 'meta-data' });
      const [metadata, machine] = await world.source.resolve(['meta-data', 'vm/meta-data']);
      expect([metadata?.kind, machine?.kind]).to.deep.equal(['pool', 'vm']);
    });

    it('shows both in the tree, selectable', async () => {
      const { nodes } = await world.source.browser.list('pool');
      expect(nodes[0]).to.include({ path: 'pool/metadata', isSelectable: true });
      const hosts = await world.source.browser.list('host');
      expect(hosts.nodes.map(({ isSelectable }) => isSelectable)).to.deep.equal([true, true]);
    });

    const faults = [
      ['breaks off', { truncateAtByte: 5000, task: 'success' }, 'DATA_DAMAGED'],
      ['is cut', { cutAtByte: 5000 }, 'DATA_DAMAGED', 'TRANSFER_INTERRUPTED', 'SOURCE_FAILED'],
      ['holds an error page', { bodyError: ['BACKUP_SCRIPT_FAILED', 'disk full'], atByte: 5000 }, 'SOURCE_FAILED'],
      ['begins with an error page', { bodyError: ['INTERNAL_ERROR', 'odd'], atByte: 0 }, 'SOURCE_FAILED'],
      ['is refused', { failWith: ['RBAC_PERMISSION_DENIED', 'x', 'y'] }, 'SOURCE_PERMISSION_DENIED'],
    ] as const;
    for (const [source, path] of [
      ['pool/metadata', '/pool/xmldbdump'],
      ['host/host-a', '/host_backup'],
    ] as const) {
      for (const [what, action, ...codes] of faults) {
        it(`fails when the answer to ${path} ${what}, and leaves nothing`, async () => {
          const before = world.state();
          world.running.addFault({ match: { path }, action });
          const sink = new RecordingSink();
          const error = await errorOf(world.source.backup({ source, savesetId: 'broken' }, sink));
          expect(codes, error.message).to.include(error.code);
          expect([sink.items.size, sink.openNow]).to.deep.equal([0, 0]);
          expect(world.state()).to.deep.equal(before);
        });
      }
    }

    it('refuses the empty database of a pool that is being upgraded', async () => {
      world.patch('pool', world.running.pool.poolEntry[1].uuid as string, {
        other_config: { rolling_upgrade_in_progress: 'true' },
      });
      const error = await errorOf(world.source.backup({ source: 'meta-data', savesetId: 'rpu' }, new RecordingSink()));
      expect(error).to.include({ code: 'SOURCE_BUSY', isRetriable: true });
    });

    it('refuses an archive that a wrong host gave out', async () => {
      const other = world.running.hosts[0]!.address;
      world.patch('host', hostId('host-b'), { address: other });
      const source = await world.open();
      const request = { source: 'host/host-b', savesetId: 'wrong' };
      expect((await errorOf(source.backup(request, new RecordingSink()))).code).to.equal('DATA_DAMAGED');
      await source.close();
    });
  });

  describe('restore of pool metadata', () => {
    it('only asks the pool when nothing is confirmed', async () => {
      const saved = await world.backup('pool/metadata');
      const before = world.state();
      const events = await eventsOf(restore(saved, ASK));
      expect(warningsOf(events)).to.deep.equal(['NOT_CONFIRMED']);
      expect(events.at(-1)).to.nested.include({ 'report.targetName': 'Spec pool', 'report.isRunning': false });
      expect(world.running.databaseRestores).to.deep.equal([]);
      expect(world.state()).to.deep.equal(before);
    });

    it('says the consequences, then puts the database back', async () => {
      const saved = await world.backup('pool/metadata');
      const confirm = world.running.pool.poolEntry[1].uuid as string;
      const request: RestoreRequest = { ...ASK, options: { confirm } };
      const plan = await world.source.planRestore(request, saved.record);
      expect(plan.steps.map(({ isDestructive }) => isDestructive)).to.deep.equal([false, true, true, true]);
      expect(plan.steps.map(({ description }) => description).join(' ')).to.include(
        '"host-b" must join the pool again',
      );
      expect(world.running.databaseRestores).to.deep.equal([]);
      const events = await eventsOf(restore(saved, request));
      expect(warningsOf(events)).to.deep.equal(['POOL_REPLACED', 'POOL_REPLACED', 'POOL_REPLACED']);
      expect(world.running.databaseRestores).to.have.length(1);
      expect(world.running.databaseRestores[0]).to.deep.include({
        sizeBytes: saved.sink.items.get('pool-database.xml')!.length,
      });
    });

    it('stops after the dry run when the pool would not take the database', async () => {
      const saved = await world.backup('pool/metadata');
      const confirm = world.running.pool.poolEntry[1].uuid as string;
      world.running.addFault({
        match: { path: '/pool/xmldbdump', method: 'PUT' },
        occurrence: 1,
        action: { failWith: ['RESTORE_INCOMPATIBLE_VERSION'] },
      });
      const error = await errorOf(restore(saved, { ...ASK, options: { confirm } }));
      expect(error.code).to.equal('RESTORE_FAILED');
      expect(world.running.databaseRestores).to.deep.equal([]);
    });

    it('sends nothing that is damaged', async () => {
      const saved = await world.backup('pool/metadata');
      const confirm = world.running.pool.poolEntry[1].uuid as string;
      const flip = (bytes: Buffer): Buffer => {
        bytes[bytes.length >> 1]! ^= 1;
        return bytes;
      };
      for (const damage of [flip, (bytes: Buffer): Buffer => bytes.subarray(0, -20)]) {
        const error = await errorOf(restore(saved, { ...ASK, options: { confirm } }, damage));
        expect(error.code).to.be.oneOf(['DATA_DAMAGED', 'SAVESET_INVALID']);
      }
      expect(world.running.databaseRestores).to.deep.equal([]);
    });

    const refusals: readonly (readonly [string, RestoreRequest, RegExp])[] = [
      ['a restore as something new', { mode: 'new', name: 'x' }, /--overwrite.*-o confirm=/],
      ['a confirmation of something else', { ...ASK, options: { confirm: 'yes' } }, /-o confirm=[0-9a-f-]{36}/],
      ['an unknown option', { ...ASK, options: { force: 'true' } }, /confirm=<uuid>/],
      ['a storage', { ...ASK, storage: 'Main' }, /--overwrite/],
      ['a start', { ...ASK, startAfter: true }, /--overwrite/],
      ['another name', { ...ASK, name: 'other' }, /--overwrite/],
    ];
    for (const [what, request, hint] of refusals) {
      it(`refuses ${what} and says what to type`, async () => {
        const { record } = await world.backup('pool/metadata');
        const error = await expectCode(world.source.planRestore(request, record), 'REQUEST_INVALID');
        expect(error.hint).to.match(hint);
      });
    }

    it('warns when the backup is of another pool', async () => {
      const { record } = await world.backup('pool/metadata');
      const uuid = '00000000-1111-4222-8333-444444444444';
      const other = { ...record, details: { ...record.details, pool: { uuid, name: 'Elsewhere' } } };
      const { warnings } = await world.source.planRestore(ASK, other);
      expect(warnings.map(({ code }) => code)).to.deep.equal(['OTHER_POOL', 'NOT_CONFIRMED']);
    });
  });

  describe('restore of a host', () => {
    it('only reads the backup through when nothing is confirmed', async () => {
      const saved = await world.backup('host/host-b');
      const before = world.state();
      expect(warningsOf(await eventsOf(restore(saved, ASK)))).to.deep.equal(['NOT_CONFIRMED']);
      expect(world.running.hostRestores).to.deep.equal([]);
      expect(world.state()).to.deep.equal(before);
    });

    it('says the consequences, then puts the control domain on the host that was saved', async () => {
      const saved = await world.backup('host/host-b');
      const request = { ...ASK, options: { confirm: hostId('host-b') } };
      const plan = await world.source.planRestore(request, saved.record);
      expect(plan).to.include({ targetId: hostId('host-b'), targetName: 'host-b' });
      expect(plan.steps.map(({ isDestructive }) => isDestructive)).to.deep.equal([false, true, true]);
      const before = world.state();
      expect(warningsOf(await eventsOf(restore(saved, request)))).to.deep.equal(['HOST_REPLACED', 'HOST_REPLACED']);
      const { store } = world.running.pool;
      expect(world.running.hostRestores.map(({ host }) => store.get('host', host).name_label)).to.deep.equal([
        'host-b',
      ]);
      expect(world.running.hostRestores[0]!.fileNames).to.include('etc/xensource-inventory');
      expect(world.state()).to.deep.equal(before);
    });

    it('formats no partition for a backup that is not whole', async () => {
      const saved = await world.backup('host/host-b');
      const options = { confirm: hostId('host-b') };
      const cut = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length - 9);
      expect((await errorOf(restore(saved, { ...ASK, options }, cut))).code).to.equal('DATA_DAMAGED');
      const tar = gunzipSync(saved.sink.items.get('host-backup.tar.gz')!);
      const short = gzipSync(tar.subarray(0, tar.length - 1024));
      const items = saved.record.items.map((item) =>
        item.name === 'host-backup.tar.gz' ? { ...item, bytes: short.length, sha256: digestOf(short) } : item,
      );
      saved.sink.items.set('host-backup.tar.gz', short);
      const forged = { ...saved, record: { ...saved.record, items } };
      expect((await errorOf(restore(forged, { ...ASK, options }))).code).to.equal('DATA_DAMAGED');
      expect(world.running.hostRestores).to.deep.equal([]);
    });

    it('wants the new host named when the saved one is gone', async () => {
      const saved = await world.backup('host/host-b');
      world.patch('host', hostId('host-b'), { uuid: '00000000-1111-4222-8333-444444444444' });
      const error = await expectCode(world.source.planRestore(ASK, saved.record), 'OBJECT_NOT_FOUND');
      expect(error.hint).to.include('-o host=');
      const plan = await world.source.planRestore({ ...ASK, options: { host: 'host-a' } }, saved.record);
      expect(plan.warnings.map(({ code }) => code)).to.deep.equal(['OTHER_HOST', 'NOT_CONFIRMED']);
      expect(plan.targetName).to.equal('host-a');
    });
  });

  it('a run of all kinds leaves the pool with exactly the objects it had', async () => {
    const before = world.state();
    const selection = await world.source.resolve(['vm/web', 'vm/db', 'template/golden', 'pool/metadata', 'host/*']);
    expect(selection.map(({ kind }) => kind)).to.deep.equal(['vm', 'vm', 'template', 'pool', 'host', 'host']);
    const saved: Saved[] = [];
    for (const { path } of selection) saved.push(await world.backup(path));
    expect(world.state()).to.deep.equal(before);
    for (const one of saved.filter(({ record }) => ['pool', 'host'].includes(record.source.kind))) {
      await reportOf(restore(one, ASK));
    }
    expect(world.state()).to.deep.equal(before);
    expect(world.running.pool.store.all('task')).to.deep.equal([]);
  });

  function metricsOf(name: string): Promise<string> {
    const { store } = world.running.pool;
    const ref = world.field('host', hostId(name), 'metrics') as string;
    return Promise.resolve(store.get('host_metrics', ref).uuid as string);
  }
});
