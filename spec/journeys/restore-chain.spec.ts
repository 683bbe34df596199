import { expect } from 'chai';
import { lastValueFrom } from 'rxjs';
import { type RestoreReport } from '../../src/contract/index.js';
import { ChainWorld, type SavedPoint } from './support/chain-world.js';

describe('journey: restore from a chain', () => {
  let world: ChainWorld;

  beforeEach(async () => {
    world = await ChainWorld.start();
  });
  afterEach(() => world.close());

  async function restore(point: SavedPoint, request: object): Promise<RestoreReport> {
    const last = await lastValueFrom(world.xen.source.restore({ mode: 'new', ...request }, world.media(point.record)));
    if (last.type !== 'completed') return expect.fail('the restore ended without a report');
    return last.report;
  }

  function bytesOf(machine: string): Record<string, Buffer> {
    return Object.fromEntries(
      Object.entries(world.xen.disksOf(machine)).map(([position]) => {
        const { store, contents } = world.xen.running.pool;
        const vm = store.refByUuid('VM', machine);
        const [, vbd] = store
          .all('VBD')
          .find(([, { VM, type, userdevice }]) => VM === vm && type === 'Disk' && userdevice === position)!;
        const content = contents.get(vbd.VDI as string)!;
        return [position, content.read(0, content.sizeBytes)];
      }),
    );
  }

  it('brings the full and an increment back as new machines, and some disks alone', async () => {
    const full = await world.store();
    world.write('0', 1_000_000, Buffer.alloc(100_000, 7));
    const increment = await world.store({ level: 'incremental' });
    for (const point of [full, increment]) {
      const { targetId } = await restore(point, { name: `back ${point.record.savesetId}` });
      const disks = bytesOf(targetId!);
      expect(Object.keys(disks)).to.deep.equal(Object.keys(point.moment));
      for (const [position, disk] of Object.entries(disks)) {
        expect(disk.equals(point.moment[position]!), `${point.record.savesetId}: ${position}`).to.equal(true);
      }
    }
    const { targetId } = await restore(increment, { name: 'root alone', options: { disks: ['0'] } });
    const alone = bytesOf(targetId!);
    expect(Object.keys(alone)).to.deep.equal(['0']);
    expect(alone['0']!.equals(increment.moment['0']!)).to.equal(true);
  });

  it('brings a point of the chain back over the machine', async () => {
    const full = await world.store();
    world.write('0', 0, Buffer.alloc(500_000, 9));
    const { targetId } = await restore(full, { mode: 'overwrite', options: { stop: 'hard' } });
    expect(targetId).to.equal(world.machine);
    expect(bytesOf(world.machine)['0']!.equals(full.moment['0']!)).to.equal(true);
  });
});
