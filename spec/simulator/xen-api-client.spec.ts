import { expect } from 'chai';
import { Readable } from 'node:stream';
import { setOf, textOf } from '../../src/simulator/wire/wire-value.js';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { quietConsole } from './support/quiet-console.js';
import { untilImported, type XenApi, xenApiClient } from './support/xen-api.js';

describe('the npm client xen-api', () => {
  quietConsole();
  let pool: RunningPool;

  beforeEach(async () => {
    pool = await startSimulatedPool();
  });
  afterEach(() => pool.close());

  async function connect(url: string): Promise<XenApi> {
    const client = await xenApiClient(pool, { url, watchEvents: true, eventPollDelay: 10 });
    await client.connect();
    return client;
  }

  it('connects, watches, runs a task, waits for its result and leaves', async () => {
    const client = await connect(pool.httpUrl);
    await client.objectsFetched;
    const objects = Object.values(client.objects.all);
    const web = objects.find(({ $type, name_label }) => $type === 'VM' && name_label === 'web-01');
    expect(objects.length).to.be.greaterThan(50);

    const snapshot = await client.callAsync('VM.snapshot', web?.$ref, 'by xen-api');
    expect((await client.barrier(snapshot)).name_label).to.equal('by xen-api');
    await client.callAsync('VM.destroy', snapshot);
    expect(pool.pool.store.has('VM', snapshot)).to.equal(false);

    const left = new Promise<void>((resolve) => {
      pool.pool.sessions.onEnd(() => {
        resolve();
      });
    });
    await client.disconnect();
    await left;
    expect(pool.pool.sessions.count).to.equal(0);
  });

  it('gets the code and parameters of a failed task', async () => {
    const client = await connect(pool.url);
    const [gold] = (await client.call('VM.get_by_name_label', 'gold')) as string[];
    const failure = await client.callAsync('VM.snapshot', gold, 'x').then(
      () => undefined,
      (error: unknown) => error as { code: string; params: string[] },
    );
    expect(failure?.code).to.equal('VM_IS_TEMPLATE');
    expect(failure?.params).to.deep.equal([gold, 'snapshot']);
    await client.disconnect();
  });

  it('reads an export and sends it back: a probe without a body, and a length of 1 PiB', async () => {
    const client = await connect(pool.httpUrl);
    await client.objectsFetched;
    const [vm] = (await client.call('VM.get_by_name_label', 'twin')) as string[];
    const response = await client.getResource('/export/', { query: { ref: vm }, task: true });
    const pieces: Buffer[] = [];
    for await (const piece of response.body) pieces.push(piece);
    const archive = Buffer.concat(pieces);
    expect(archive.length).to.be.greaterThan(8_000_000);

    const before = pool.pool.store.count('VM');
    const sent = Object.assign(Readable.from([archive]), { length: archive.length });
    const known = await client.putResource(sent, '/import/', { task: true, query: { sr_id: defaultSr() } });
    const unknown = await client.putResource(Readable.from(untilImported(pool, archive)), '/import/', {
      task: true,
      query: { sr_id: defaultSr() },
    });
    expect(pool.pool.store.count('VM')).to.equal(before + 2);
    for (const result of [known, unknown]) {
      const [ref = ''] = /OpaqueRef:[0-9a-f-]+/.exec(String(result)) ?? [];
      expect(textOf(pool.pool.store.get('VM', ref), 'name_label')).to.equal('twin');
      expect(setOf(pool.pool.store.get('VM', ref), 'VBDs')).to.have.length(1);
    }
    await client.disconnect();
  });

  it('logs in again when its session is gone', async () => {
    const client = await connect(pool.httpUrl);
    await client.objectsFetched;
    pool.expireSessions();
    expect(await client.call('pool.get_all')).to.have.length(1);
    await client.disconnect();
  });

  it('speaks XML-RPC to a server that does not know JSON-RPC', async () => {
    pool.addFault({ match: { call: 'session.login_with_password' }, times: 1, action: { httpStatus: 200 } });
    const client = await connect(pool.httpUrl);
    const [vm] = (await client.call('VM.get_by_name_label', 'twin')) as string[];
    expect(vm).to.match(/^OpaqueRef:/);
    await client.objectsFetched;
    expect(Object.keys(client.objects.all).length).to.be.greaterThan(50);
    await client.disconnect();
  });

  function defaultSr(): string {
    return textOf(pool.pool.poolEntry[1], 'default_SR');
  }
});
