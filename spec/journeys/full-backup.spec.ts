import { expect } from 'chai';
import { type BackupEvent } from '../../src/contract/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { eventsOf } from '../contract/support/run-operation.js';
import { startXenWorld, type XenWorld } from './support/xen-world.js';

describe('journey: full backup', () => {
  let world: XenWorld;

  beforeEach(async () => {
    world = await startXenWorld();
  });

  afterEach(() => world.close());

  it('saves a running machine from a snapshot and leaves the pool as it was', async () => {
    const before = world.state();
    const { record, sink } = await world.backup('vm/web');
    expect(record).to.deep.include({ level: 'full', consistency: 'crash', warnings: [] });
    expect(record.disks.map(({ name, position, sizeBytes }) => [name, position, sizeBytes])).to.deep.equal([
      ['web root', '0', 3 * 1024 * 1024],
      ['web data', '1', 2 * 1024 * 1024],
    ]);
    const archive = sink.items.get('vm.xva')!;
    expect(archive.subarray(0, 7).toString()).to.equal('ova.xml');
    // What `xe vm-import` makes of it without us is a machine, not a template.
    const template = /is_a_template<\/name><value><boolean>([01])<\/boolean>/.exec(
      archive.subarray(0, 65536).toString(),
    );
    expect(template?.[1]).to.equal('0');
    expect(world.state()).to.deep.equal(before);
  });

  it('saves a halted machine without a snapshot', async () => {
    const before = world.state();
    const events: BackupEvent[] = await eventsOf(
      world.source.backup({ source: 'vm/db', savesetId: 'cold' }, new RecordingSink()),
    );
    expect(events.flatMap((event) => (event.type === 'phase-entered' ? [event.phase] : []))).to.deep.equal([
      'resolve',
      'check',
      'transfer',
      'verify',
      'release',
    ]);
    const last = events.at(-1)!;
    expect(last.type === 'completed' && last.report.record.consistency).to.equal('offline');
    expect(world.state()).to.deep.equal(before);
  });
});
