import { expect } from 'chai';
import { startSimulatedPool } from '../../../src/simulator/index.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { RpcClient } from '../support/rpc-client.js';
import { capturedJson } from './captured-fixtures.js';
import { Comparison } from './comparison.js';
import { EventReplay, type EventStep } from './event-replay.js';
import { surprisesIn } from './known-differences.js';

const CAPTURED_VM = 'OpaqueRef:14586a47-57b6-0e6a-86bc-d02367672111';

const DISK = {
  name: 'd0',
  description: 'disk zero',
  sizeMiB: 8,
  content: { kind: 'random' as const, seed: 5, allocatedRanges: [{ offsetBytes: 0, lengthBytes: 6 * 1024 * 1024 }] },
};
const GUEST = { os: 'Linux', ip: '10.0.0.5' };
const POOL = {
  name: '',
  release: '8.3',
  seed: 3,
  hosts: [{ name: 'vm1', cpuCount: 4, memoryGiB: 16 }],
  networks: [
    { name: 'Pool-wide network associated with eth0', bridge: 'xenbr0', device: 'eth0', isManagement: true },
    { name: 'net0', bridge: 'xapi1' },
  ],
  storage: [{ name: 'files', type: 'file' as const, host: 'vm1', sizeGiB: 1024, isDefault: true }],
  vms: ['ev-vm', 'vmA'].map((name) => ({ name, guest: GUEST, disks: [DISK], interfaces: [{ network: 'net0' }] })),
};

describe('event.from', () => {
  it('tells what a real XAPI 24.19.2 tells of the same actions', async () => {
    const comparison = new Comparison();
    const pool = await startSimulatedPool({ poolFile: POOL });
    try {
      const [vm = '', record = {}] = pool.pool.store.all('VM').find(([, one]) => one.name_label === 'ev-vm') ?? [];
      comparison.binding.set(CAPTURED_VM, vm);
      comparison.binding.set('55a2368a-5537-f301-cf80-d0af0793d564', textOf(record, 'uuid'));
      const disk = pool.pool.store.all('VBD').find(([, one]) => one.VM === vm)?.[1].VDI;
      if (typeof disk === 'string') comparison.binding.set('OpaqueRef:4e29771f-a1ea-8f72-0de2-c1b3c6462f11', disk);
      const client = await new RpcClient(pool.httpUrl).login(pool);
      // The captured machine had run before, and what its guest said was on record.
      await client.call('VM.start', vm, false, false);
      await client.call('VM.hard_shutdown', vm);
      const replay = new EventReplay(pool, client, comparison, vm);
      await replay.run(capturedJson('event-sequence') as readonly EventStep[]);
      expect(replay.batches).to.be.greaterThan(20);
    } finally {
      await pool.close();
    }
    expect(surprisesIn('events', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(130);
    expect(comparison.fields).to.be.at.least(1400);
  });
});
