import { expect } from 'chai';
import { request } from 'node:http';
import { startSimulatedPool, type RunningPool } from '../../../src/simulator/index.js';
import { RpcClient } from '../support/rpc-client.js';

type Answer = Readonly<Record<string, unknown>>;

describe('the control port', () => {
  let pool: RunningPool;

  const post = async (operation: string, input: object = {}): Promise<Answer> => {
    const response = await fetch(`${pool.controlUrl ?? ''}/${operation}`, {
      method: 'POST',
      body: JSON.stringify(input),
    });
    return { status: response.status, ...((await response.json()) as object) };
  };
  const refusal = async (operation: string, input: object = {}): Promise<readonly unknown[]> => {
    const { status, error } = await post(operation, input);
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    expect(hint).to.match(/^[A-Z].*\.$/);
    return [status, code, message];
  };

  beforeEach(async () => {
    pool = await startSimulatedPool({ controlPort: 0 });
  });
  afterEach(() => pool.close());

  /** The status of a GET with such headers, Host included. */
  const statusWith = (headers: Readonly<Record<string, string>>): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request(pool.controlUrl ?? '', { headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });

  it('is deaf to web pages, whichever way they come', async () => {
    expect(pool.controlUrl).to.match(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await statusWith({})).to.equal(200);
    expect(await statusWith({ origin: 'http://127.0.0.1' })).to.equal(403);
    expect(await statusWith({ 'sec-fetch-site': 'cross-site' })).to.equal(403);
    expect(await statusWith({ host: 'rebound.example' })).to.equal(403);
  });

  it('tells what there is, and says where a mistake is', async () => {
    const list = (await (await fetch(pool.controlUrl ?? '')).json()) as { operations: { name: string }[] };
    expect(list.operations.map(({ name }) => name)).to.include.members(['state', 'writeDisk', 'stop']);
    expect(await refusal('explode')).to.deep.equal([404, 'UNKNOWN_OPERATION', 'There is no operation "explode".']);
    expect(await refusal('toString')).to.include(404);
    expect(await refusal('killHost', { host: 'nobody' })).to.deep.equal([
      409,
      'UUID_INVALID',
      'UUID_INVALID host nobody',
    ]);
    const [status, code, message] = await refusal('addFault', {
      fault: { match: { call: 'VM.start', colour: 'red' }, action: { stall: true } },
    });
    expect([status, code]).to.deep.equal([400, 'INVALID_VALUE']);
    expect(message).to.include('colour').and.include('fault.match');
    expect(await refusal('writeDisk', { disk: { vm: 'web-01', position: 0 }, offset: 0 })).to.include(400);
    const broken = await fetch(`${pool.controlUrl ?? ''}/state`, { method: 'POST', body: '{' });
    expect(broken.status).to.equal(400);
    expect((await fetch(`${pool.controlUrl ?? ''}/state`)).status).to.equal(405);
  });

  it('reads and writes the disk of a running machine', async () => {
    const disk = { vm: 'web-01', position: 1 };
    const before = await post('digestDisk', { disk });
    const bytes = Buffer.from('written by a guest');
    expect(await post('writeDisk', { disk, offset: 4096, base64: bytes.toString('base64') })).to.include({
      writtenBytes: 18,
    });
    expect((await post('readDisk', { disk, offset: 4096, length: 18 })).base64).to.equal(bytes.toString('base64'));
    expect((await post('digestDisk', { disk })).sha256)
      .to.be.a('string')
      .and.not.equal(before.sha256);
    expect(await post('writeDisk', { disk, offset: 65_536, random: { length: 131_072, seed: 3 } })).to.include({
      writtenBytes: 131_072,
    });
    expect(await refusal('writeDisk', { disk, offset: 2 ** 30, base64: 'AAAA' })).to.include('VDI_IO_ERROR');
    expect(await refusal('readDisk', { disk: { vm: 'web-01', position: 9 }, offset: 0, length: 1 })).to.include(
      'INVALID_VALUE',
    );
  });

  it('brings machines from any power state to any other', async () => {
    const client = await new RpcClient(pool.httpUrl).login(pool);
    const [vm] = await client.call<string[]>('VM.get_by_name_label', 'web-01');
    for (const state of [
      'Suspended',
      'Paused',
      'Halted',
      'Suspended',
      'Running',
      'Paused',
      'Running',
      'Halted',
      'Running',
    ]) {
      expect(await post('setPowerState', { vm: 'web-01', state })).to.deep.equal({ status: 200 });
      expect(await client.call('VM.get_power_state', vm)).to.equal(state);
    }
    expect(await post('setGuest', { vm: 'web-01', guest: { shutdown: 'ignored' } })).to.deep.equal({ status: 200 });
    await post('setTimings', { shutdownAcknowledgeMs: 1 });
    expect(await client.error('VM.clean_shutdown', vm)).to.deep.equal(['VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT', vm]);
  });

  it('plans faults, counts them and takes them away', async () => {
    const client = await new RpcClient(pool.httpUrl).login(pool);
    const fault = { match: { call: 'VM.get_all*' }, times: 1, action: { failWith: ['INTERNAL_ERROR', 'planned'] } };
    const { id } = await post('addFault', { fault });
    expect(await client.error('VM.get_all_records')).to.deep.equal(['INTERNAL_ERROR', 'planned']);
    expect(await client.call('VM.get_all')).to.be.an('array');
    const { faults } = await post('state', { classes: [] });
    expect(faults).to.deep.equal([{ id, fault, seen: 2, hits: 1 }]);
    expect(await post('removeFault', { id })).to.deep.equal({ status: 200 });
    expect(await refusal('removeFault', { id })).to.include('HANDLE_INVALID');
  });

  it('fills storage, tells the state of everything, and ends sessions', async () => {
    await post('setForeignUsage', { storage: 'Shared NFS', bytes: 5 });
    await post('fillStorage', { storage: 'Shared NFS', roomBytes: 1_000_000 });
    const client = await new RpcClient(pool.httpUrl).login(pool);
    const state = await post('state', { classes: ['pool', 'SR'], withDigests: true });
    expect(Object.keys(state.records as object)).to.have.members(['pool', 'SR']);
    const storage = state.storage as { name: string; roomBytes: number }[];
    expect(storage.find(({ name }) => name === 'Shared NFS')?.roomBytes).to.equal(1_000_000);
    const disks = state.disks as { name: string; sha256: string }[];
    expect(disks.find(({ name }) => name === 'web-01 root')?.sha256).to.match(/^[0-9a-f]{64}$/);
    expect(state.sessions).to.have.lengthOf(1);
    expect(JSON.stringify(state)).to.not.include(client.session);
    expect(await post('expireSessions', { user: 'nobody' })).to.include({ ended: 0 });
    expect(await post('expireSessions')).to.include({ ended: 1 });
    expect(await client.error('VM.get_all')).to.deep.equal(['SESSION_INVALID', client.session]);
  });

  it('does the same in this process, and stops the pool', async () => {
    expect(await pool.perform('expireSessions')).to.deep.equal({ ended: 0 });
    const failure = await pool.perform('killHost', { hots: 'host-a' }).catch((error: unknown) => error);
    expect(failure).to.include({ code: 'INVALID_VALUE', status: 400 });
    expect(await post('stop')).to.deep.equal({ status: 200 });
    if (!pool.closed.aborted)
      await new Promise((resolve) => {
        pool.closed.addEventListener('abort', resolve, { once: true });
      });
    await pool.close();
    expect(
      await fetch(pool.controlUrl ?? '').then(
        () => 'answered',
        () => 'refused',
      ),
    ).to.equal('refused');
  });
});
