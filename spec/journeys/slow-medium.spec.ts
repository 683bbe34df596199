import { setImmediate as turn } from 'node:timers/promises';
import { type Writable } from 'node:stream';
import { expect } from 'chai';
import { type ItemDescriptor } from '../../src/contract/index.js';
import { RecordingSink } from '../contract/support/recording-sink.js';
import { errorOf } from '../contract/support/run-operation.js';
import { ChainWorld } from './support/chain-world.js';

/** A medium that takes a while to open an item, as a real one does. */
class SlowSink extends RecordingSink {
  override async openItem(item: ItemDescriptor): Promise<Writable> {
    for (let turns = 0; turns < 200; turns += 1) await turn();
    return await super.openItem(item);
  }
}

describe('journey: data that breaks off while the medium still opens its item', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });

  afterEach(() => world.close());

  for (const [path, format] of [
    ['/export', 'xva'],
    ['/export_metadata', 'disks'],
    ['/export_raw_vdi', 'disks'],
  ] as const) {
    it(`fails the backup and not the process: ${path}`, async () => {
      const before = world.xen.state();
      if (path === '/export_raw_vdi') {
        world.xen.running.addFault({ match: { nbd: 'connection' }, action: { refuse: true } });
      }
      world.xen.running.addFault({ match: { path }, action: { truncateAtByte: 0, task: 'success' } });
      const request = { source: 'vm/web', savesetId: 'cut', options: { format } };
      const error = await errorOf(world.xen.source.backup(request, new SlowSink()));
      expect(['DATA_DAMAGED', 'TRANSFER_INTERRUPTED'], error.message).to.include(error.code);
      expect(Object.keys(world.xen.state().VDI!)).to.deep.equal(Object.keys(before.VDI!));
    });
  }
});
