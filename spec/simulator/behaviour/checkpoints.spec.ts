import { expect } from 'chai';
import { type PoolDefinition, type RunningPool } from '../../../src/simulator/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { bodyOf, exchangeRaw, putRequest } from '../support/raw-exchange.js';
import { type Json, named, type RpcClient, startWithClient } from '../support/rpc-client.js';

const definition = (release: string): PoolDefinition => ({
  name: 'pool',
  release,
  hosts: [{ name: 'one' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'sr', type: 'nfs', isDefault: true },
    { name: 'memory', type: 'nfs' },
  ],
  vms: [
    machine('windows', { os: 'Windows Server 2016', vss: true, addresses: { '0/ipv6/0': '2001:db8::1' } }),
    machine('mute', { os: 'Windows', vss: 'does-not-respond', shutdown: 'ignored' }),
    machine('slow', { os: 'Windows', vss: 'times-out', shutdown: 'endless' }),
    machine('broken', { os: 'Windows', vss: 'XEN_VSS_REQ_ERROR_PREPARING_WRITERS' }),
    machine('bare', { os: 'Haiku', hasTools: false }),
    machine('nailed', { os: 'Linux', nonSuspendable: 'has a device' }),
  ],
});

function machine(
  name: string,
  guest: NonNullable<NonNullable<PoolDefinition['vms']>[number]['guest']>,
): NonNullable<PoolDefinition['vms']>[number] {
  return {
    name,
    powerState: 'Running',
    memoryMiB: 8,
    suspendStorage: 'memory',
    disks: [{ name: `${name} disk`, sizeMiB: 1 }],
    guest,
  };
}

describe('checkpoints and guests', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let clock: ManualClock;

  async function start(release: string): Promise<void> {
    clock = new ManualClock();
    ({ pool, client } = await startWithClient({ poolFile: definition(release), clock }));
  }
  afterEach(() => pool.close());

  /** The error of a call that waits by the clock. */
  async function errorAfter(waitMs: number, method: string, ...params: readonly unknown[]): Promise<readonly string[]> {
    let answer: readonly string[] | undefined;
    const call = client.error(method, ...params).then((error) => {
      answer = error;
    });
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(waitMs - 1);
    expect(answer).to.equal(undefined);
    await clock.advance(1);
    await call;
    return answer ?? [];
  }

  describe('VM.checkpoint', () => {
    it('keeps disks and memory, and leaves the machine running', async () => {
      await start('8.3');
      const vm = await named(client, 'VM', 'windows');
      const checkpoint = await client.call<string>('VM.checkpoint', vm, 'with memory');
      const record = await client.call<Json>('VM.get_record', checkpoint);
      expect(record).to.deep.include({ power_state: 'Suspended', is_a_snapshot: true, snapshot_of: vm });
      const image = await client.call<Json>('VDI.get_record', record.suspend_VDI);
      expect(image).to.deep.include({
        type: 'suspend',
        virtual_size: 8 * 1024 * 1024,
        SR: await named(client, 'SR', 'memory'),
      });
      expect(await client.call('VM.get_power_state', vm)).to.equal('Running');
      expect(await client.call('VM.get_suspend_VDI', vm)).to.equal('OpaqueRef:NULL');
    });

    it('is refused for machines that are off, lack tools or cannot be suspended', async () => {
      await start('8.3');
      const bare = await named(client, 'VM', 'bare');
      expect(await client.error('VM.checkpoint', bare, 'x')).to.deep.equal(['VM_LACKS_FEATURE', bare]);
      const nailed = await named(client, 'VM', 'nailed');
      expect(await client.error('VM.checkpoint', nailed, 'x')).to.deep.equal([
        'VM_NON_SUSPENDABLE',
        nailed,
        'has a device',
      ]);
      await client.call('VM.hard_shutdown', nailed);
      expect(await client.error('VM.checkpoint', nailed, 'x')).to.deep.equal([
        'VM_BAD_POWER_STATE',
        nailed,
        'paused, suspended, running',
        'halted',
      ]);
    });

    it('leaves nothing behind when there is no room for the memory', async () => {
      await start('8.3');
      const sr = await client.call<string>('SR.get_uuid', await named(client, 'SR', 'sr'));
      pool.pool.store.patch('SR', pool.pool.store.refByUuid('SR', sr), { physical_size: 1 });
      pool.setForeignUsage(sr, 1024);
      const before = pool.snapshotState({ withoutVolatile: true });
      const vm = await named(client, 'VM', 'windows');
      expect((await client.error('VM.checkpoint', vm, 'x'))[0]).to.equal('SR_BACKEND_FAILURE_44');
      expect(pool.snapshotState({ withoutVolatile: true })).to.deep.equal(before);
    });
  });

  describe('VM.snapshot_with_quiesce', () => {
    it('asks the guest, where the release still can', async () => {
      await start('8.0');
      const vm = await named(client, 'VM', 'windows');
      expect(await client.call('VM.get_allowed_operations', vm)).to.include('snapshot_with_quiesce');
      const snapshot = await client.call<string>('VM.snapshot_with_quiesce', vm, 'quiet');
      const record = await client.call<Json>('VM.get_record', snapshot);
      expect(record.snapshot_info).to.deep.include({ 'disk-snapshot-type': 'quiesced' });
      expect(record.transportable_snapshot_id).to.not.equal('');
    });

    it('tells what the guest could not', async () => {
      await start('7.1');
      const [bare, broken, mute, slow] = await Promise.all(
        ['bare', 'broken', 'mute', 'slow'].map((name) => named(client, 'VM', name)),
      );
      const method = 'VM.snapshot_with_quiesce';
      expect(await client.error(method, bare, 'x')).to.deep.equal(['VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED', bare]);
      expect(await client.error(method, broken, 'x')).to.deep.equal([
        'XEN_VSS_REQ_ERROR_PREPARING_WRITERS',
        broken,
        '0',
      ]);
      expect(await errorAfter(60_000, method, mute, 'x')).to.deep.equal([
        'VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND',
        mute,
      ]);
      expect(await errorAfter(600_000, method, slow, 'x')).to.deep.equal(['VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT', slow]);
    });

    it('is gone since 8.1', async () => {
      await start('8.1');
      const vm = await named(client, 'VM', 'windows');
      expect(await client.error('VM.snapshot_with_quiesce', vm, 'x')).to.deep.equal(['MESSAGE_REMOVED']);
      expect(await client.error('VM.assert_operation_valid', vm, 'snapshot_with_quiesce')).to.deep.equal([
        'VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED',
        vm,
      ]);
    });
  });

  describe('VM.clean_shutdown', () => {
    it('gives up on a guest that does not answer, and on one that does not end', async () => {
      await start('8.3');
      const mute = await named(client, 'VM', 'mute');
      expect(await errorAfter(60_000, 'VM.clean_shutdown', mute)).to.deep.equal([
        'VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT',
        mute,
      ]);
      const slow = await named(client, 'VM', 'slow');
      expect(await errorAfter(1_200_000, 'VM.clean_shutdown', slow)).to.deep.equal([
        'VM_SHUTDOWN_TIMEOUT',
        slow,
        '1200.',
      ]);
      expect(await client.call('VM.get_power_state', slow)).to.equal('Running');
      pool.setGuest(await client.call('VM.get_uuid', slow), {});
      await client.call('VM.clean_shutdown', slow);
      expect(await client.call('VM.get_power_state', slow)).to.equal('Halted');
    });

    it('can be cancelled while it waits', async () => {
      await start('8.3');
      const task = await client.call<string>('Async.VM.clean_shutdown', await named(client, 'VM', 'slow'));
      while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
      await client.call('task.cancel', task);
      await new Promise((resolve) => setImmediate(resolve));
      expect(await client.call('task.get_status', task)).to.equal('cancelled');
    });
  });

  describe('a suspended machine', () => {
    it('goes through export and import with its memory when asked to', async () => {
      await start('8.3');
      const vm = await named(client, 'VM', 'windows');
      await client.call('VM.suspend', vm);
      const image = await client.call<string>('VM.get_suspend_VDI', vm);
      const memory = pool.pool.contents.get(image)?.read(0, 4096);
      const path = `/export?session_id=${client.session}&ref=${vm}&preserve_power_state=true`;
      const archive = Buffer.from(
        bodyOf((await exchangeRaw(pool.httpUrl, `GET ${path} HTTP/1.1\r\n\r\n`)).text),
        'latin1',
      );
      const task = await client.call<string>('task.create', 'import', '');
      const query = `session_id=${client.session}&task_id=${task}`;
      await exchangeRaw(pool.httpUrl, putRequest(`/import?${query}`, archive));
      const [copy = ''] = /OpaqueRef:[-0-9a-f]+/.exec(await client.call<string>('task.get_result', task)) ?? [];
      const record = await client.call<Json>('VM.get_record', copy);
      expect(record.power_state).to.equal('Suspended');
      expect(record.suspend_VDI).to.not.equal(image);
      expect(pool.pool.contents.get(record.suspend_VDI as string)?.read(0, 4096)).to.deep.equal(memory);
      expect(memory?.equals(Buffer.alloc(4096))).to.equal(false);
      await client.call('VM.resume', copy, false, false);
      expect(await client.call('VM.get_power_state', copy)).to.equal('Running');
    });
  });

  it('show what the pool file says of guests', async () => {
    await start('8.3');
    const metrics = async (name: string): Promise<Json> =>
      client.call(
        'VM_guest_metrics.get_record',
        await client.call('VM.get_guest_metrics', await named(client, 'VM', name)),
      );
    expect((await metrics('windows')).networks).to.deep.equal({ '0/ipv6/0': '2001:db8::1' });
    expect(await metrics('bare')).to.deep.include({ PV_drivers_detected: false, PV_drivers_version: {} });
  });
});
