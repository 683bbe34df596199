import { expect } from 'chai';
import { type BackupReport, type BackupRequest } from '../../src/contract/index.js';
import { type Fault } from '../../src/simulator/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf, reportOf } from '../contract/support/run-operation.js';
import { DIES, FolderSink, type Machine, MOMENTS, startFailoverWorld, WEB } from './support/failover-world.js';
import { type XenWorld } from './support/xen-world.js';

/** Does not hear when it is told to shut down. */
const DEAF: Machine = {
  name: 'deaf',
  powerState: 'Running',
  host: 'host-b',
  guest: { os: 'Linux', shutdown: 'ignored' },
  memoryMiB: 64,
  disks: [{ name: 'deaf disk', sizeMiB: 1, content: { kind: 'random', seed: 2 } }],
  interfaces: [],
};

describe('journey: the coordinator goes in the middle of other backups', function () {
  this.timeout(120_000);
  let world: XenWorld;

  beforeEach(async () => {
    world = await startFailoverWorld([WEB, DEAF]);
    world.running.pool.timings.shutdownAcknowledgeMs = 20;
  });

  afterEach(() => world.close());

  const save = async (
    request: Omit<BackupRequest, 'savesetId'>,
    match: Fault['match'],
    action: Fault['action'],
    sink: RecordingSink = new FolderSink(),
  ): Promise<BackupReport> => {
    world.running.addFault({ match, occurrence: 1, action });
    const report = await reportOf(world.source.backup({ ...request, savesetId: 'job' }, sink));
    expect(report.record.warnings.map(({ code }) => code)).to.deep.equal(['COORDINATOR_CHANGED']);
    expect(report.record.items.map(({ name, bytes }) => [name, bytes])).to.deep.equal(
      [...sink.items].map(([name, bytes]) => [name, bytes.length]),
    );
    return report;
  };

  for (const [source, path, atByte] of [
    ['pool/metadata', '/pool/xmldbdump', undefined],
    ['pool/metadata', '/pool/xmldbdump', 5_000],
    ['pool/metadata', '/export_metadata', undefined],
    ['pool/metadata', '/export_metadata', 2_000],
    ['host/host-b', '/host_backup', undefined],
  ] as const) {
    it(`${source} is whole when it dies at ${path}, byte ${atByte ?? 'none'}`, async () => {
      const { transferredBytes, record } = await save(
        { source },
        { path },
        atByte === undefined ? DIES : { ...DIES, atByte },
      );
      expect(transferredBytes).to.equal(record.items.reduce((sum, { bytes }) => sum + bytes, 0));
      expect(world.running.pool.store.all('task')).to.deep.equal([]);
    });
  }

  it('pool metadata for a medium that takes an item once fails and may be tried again', async () => {
    world.running.addFault({ match: { path: '/export_metadata' }, occurrence: 1, action: { ...DIES, atByte: 2_000 } });
    const error = await errorOf(
      world.source.backup({ source: 'pool/metadata', savesetId: 'job' }, new RecordingSink()),
    );
    expect(error).to.include({ code: 'TRANSFER_INTERRUPTED', isRetriable: true });
  });

  for (const [when, action] of MOMENTS) {
    for (const [name, call, options] of [
      ['web', 'VM.clean_shutdown', { consistency: 'offline' }],
      ['web', 'VM.start', { consistency: 'offline' }],
      ['deaf', 'VM.hard_shutdown', { consistency: 'offline', shutdown: 'force' }],
    ] as const) {
      it(`a machine that is shut down for its backup runs again when it dies ${when} ${call}`, async () => {
        const uuid = world.uuidOf(name);
        const config = world.field('VM', uuid, 'other_config');
        world.running.addFault({ match: { call }, occurrence: 1, action });
        const request = { source: `vm/${name}`, savesetId: 'job', options };
        const { record } = await reportOf(world.source.backup(request, new FolderSink()));
        const codes = record.warnings.map(({ code }) => code);
        expect(codes).to.include('COORDINATOR_CHANGED').and.not.include('MACHINE_NOT_STARTED');
        expect(world.field('VM', uuid, 'power_state')).to.equal('Running');
        expect(world.field('VM', uuid, 'other_config')).to.deep.equal(config);
      });
    }

    for (const call of ['VDI.add_to_other_config', 'VDI.destroy', 'VM.destroy']) {
      it(`a saveset is settled when it dies ${when} ${call}`, async () => {
        const sink = new FolderSink();
        const options = { format: 'disks' };
        const first = await reportOf(world.source.backup({ source: 'vm/web', savesetId: 'one', options }, sink));
        world.running.addFault({ match: { call }, occurrence: 1, action });
        await world.source.settle(first.record, 'stored');
        if (call === 'VDI.destroy') await world.source.settle(first.record, 'discarded');
        expect(world.running.pool.coordinator).to.equal(
          world.running.pool.store.refByUuid('host', world.uuidOf('host-b', 'host')),
        );
        expect(
          world.running.pool.store.all('VM').filter(([, { is_a_snapshot: isSnapshot }]) => isSnapshot),
        ).to.deep.equal([]);
      });
    }
  }
});
