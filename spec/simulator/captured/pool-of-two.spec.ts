import { expect } from 'chai';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { RpcClient } from '../support/rpc-client.js';
import { capturedText, type CapturedStep } from './captured-fixtures.js';
import { type CapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { surprisesIn } from './known-differences.js';
import { PoolOfTwoFacts, TAKEOVER_MS } from './pool-of-two-facts.js';
import { Replay } from './replay.js';

const content = { kind: 'random' as const, seed: 5 };
const DEFINITION = {
  name: '',
  release: '8.3',
  seed: 4,
  hosts: [{ name: 'vm1' }, { name: 'vm2' }],
  networks: [{ name: 'LAN', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    {
      name: 'local of A',
      description: 'raw files',
      type: 'file' as const,
      host: 'vm1',
      sizeGiB: 1024,
      isDefault: true,
    },
    { name: 'local of B', description: 'raw files', type: 'file' as const, host: 'vm2', sizeGiB: 1024 },
  ],
  vms: [
    { name: 'onA', disks: [{ name: 'a', sizeMiB: 2, storage: 'local of A', content }] },
    { name: 'onB', disks: [{ name: 'b', sizeMiB: 2, storage: 'local of B', content }] },
  ],
};

/** What the capture calls the objects of each host, in the order of `ofHost`. */
const HOST_A = [
  '842c17a0-d79f-f2dd-e7e9-1fa4854e8b7c',
  '838af7f3-9c86-7cf8-c532-9afb5229e222',
  '768a4829-d943-a921-915f-ad215633d74c',
  'efa70572-a1fa-3b31-dc66-81c25dbcdbc4',
  '54c4708b-a97e-dc29-7aa6-bbbc1c1acaec',
  'fdc7bc58-8aed-fd6e-4726-1501d6ea4667',
  '0cc757d5-de5c-4938-557c-8b10f981bda8',
];
const HOST_B = [
  '1990c192-5313-1b7d-ed9b-542c1fd464f4',
  'c80b00ef-3c0f-0c44-fab9-a78acc93f5ab',
  '58a01d32-890a-0f72-85b8-2b0188ef3acf',
  '13315173-8670-f0d8-d8a3-d91b7d1c3ff8',
  'd82b627b-96dc-df60-780f-af90235c3b50',
  'f6c7bb4e-03b3-a854-e3ff-a88d5f7045be',
  'ce017b7c-0a68-707c-852f-1a908ddcdc5e',
];

const LOCAL_LOGIN = 'session.slave_local_login_with_password';

describe('a pool of two, asked what a real one of XAPI 24.19.2 was asked', () => {
  it('sends to the coordinator and on to the host of the storage, and goes on at the member that takes over', async () => {
    const comparison = new Comparison();
    const pool = await startSimulatedPool({ poolFile: DEFINITION });
    try {
      await replayTwo(pool, comparison);
    } finally {
      await pool.close();
    }
    expect(surprisesIn('pool', comparison)).to.deep.equal([]);
    expect(comparison.steps).to.equal(110);
    expect(comparison.fields).to.be.greaterThan(800);
  }).timeout(30_000);
});

async function replayTwo(pool: RunningPool, comparison: Comparison): Promise<void> {
  const [first, second] = pool.hosts;
  bindHost(pool, comparison, 'vm1', HOST_A);
  bindHost(pool, comparison, 'vm2', HOST_B);
  const [poolRef, poolRecord] = pool.pool.poolEntry;
  comparison.binding.set('OpaqueRef:e2a6e2a4-3969-5659-2264-b69d87b3c080', poolRef);
  comparison.binding.set('3344f499-3352-5a82-3b72-6faf6ad8f99e', textOf(poolRecord, 'uuid'));
  const urls = { coordinator: first!.httpUrl, member: second!.httpUrl };
  let world: CapturedWorld = { pool, client: await new RpcClient(first!.httpUrl).login(pool), urls };
  const poolSession = world.client.session;
  let replay = new Replay('pool', world, comparison);
  const facts = new PoolOfTwoFacts(pool, comparison, world.client);
  await pool.perform('setTimings', { takeoverMs: TAKEOVER_MS });
  for (const step of stepsFor(pool, poolSession)) {
    if (await facts.check(step, replay.location)) {
      comparison.steps += 1;
      continue;
    }
    if (step.rpc === LOCAL_LOGIN) {
      comparison.steps += 1;
      comparison.answers += 1;
      const client = new RpcClient(urls[step.at ?? 'member']);
      world.client.session = String(await client.raw(LOCAL_LOGIN, [pool.username, pool.password]));
      comparison.compare(`pool: ${step.note}`, 'string', typeof world.client.session);
      continue;
    }
    if (step.http !== undefined && pool.pool.downHosts.size === 0) world.client.session = poolSession;
    if (step.note.startsWith('old session at the member')) world.client.session = poolSession;
    if (step.note === 'old session at the new coordinator') {
      world = { pool, client: new RpcClient(urls.member), urls: { ...urls, coordinator: urls.member } };
      world.client.session = poolSession;
      replay = new Replay('pool', world, comparison);
    }
    if (step.note === 'old VM ref, new session') await world.client.login(pool);
    await replay.run([step]);
    await facts.after(step);
  }
}

/** Addresses, the password and what is redirected, in the words of the simulated pool. */
function stepsFor(pool: RunningPool, session: string): readonly CapturedStep[] {
  const [first, second] = pool.hosts;
  const text = capturedText('pool-of-two-flow.json')
    .replaceAll('https://10.99.0.2/', `${first!.url}/`)
    .replaceAll('https://10.99.0.3/', `${second!.url}/`)
    .replaceAll('?session_id=<session>', `?session_id=${session}`)
    .replaceAll('10.99.0.2', first!.address)
    .replaceAll('"PW"', JSON.stringify(pool.password));
  return JSON.parse(text) as readonly CapturedStep[];
}

/** A host, its storage, the PBD, the VM, its disk, the control domain and the metrics of the host. */
function bindHost({ pool }: RunningPool, { binding }: Comparison, name: string, captured: readonly string[]): void {
  const { store } = pool;
  const [host = '', record = {}] = store.all('host').find(([, { name_label: label }]) => label === name) ?? [];
  const pbd =
    setOf(record, 'PBDs').find(
      (ref) => textOf(store.get('SR', textOf(store.get('PBD', ref), 'SR')), 'type') === 'file',
    ) ?? '';
  const sr = textOf(store.get('PBD', pbd), 'SR');
  const [vdi = ''] = setOf(store.get('SR', sr), 'VDIs');
  const [vbd = ''] = setOf(store.get('VDI', vdi), 'VBDs');
  const vm = textOf(store.get('VBD', vbd), 'VM');
  const own = [host, sr, pbd, vm, vdi, textOf(record, 'control_domain'), textOf(record, 'metrics')];
  for (const [index, ref] of own.entries()) binding.set(`OpaqueRef:${captured[index] ?? ''}`, ref);
  const isFirst = name === 'vm1';
  binding.set(
    isFirst ? 'aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb' : 'aaaaaaaa-2222-4222-8333-bbbbbbbbbbbb',
    textOf(record, 'uuid'),
  );
  if (isFirst) binding.set('2f278ca3-7bb9-17cc-f5a3-63aa4be8cb3d', textOf(store.get('VM', vm), 'uuid'));
}
