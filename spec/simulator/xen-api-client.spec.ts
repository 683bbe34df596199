import { expect } from 'chai';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';

interface XenObject {
  readonly $ref: string;
  readonly $type: string;
  readonly name_label: string;
}
interface XenApi {
  readonly objects: { readonly all: Readonly<Record<string, XenObject>> };
  readonly objectsFetched: Promise<void>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  call(method: string, ...args: readonly unknown[]): Promise<unknown>;
  callAsync(method: string, ...args: readonly unknown[]): Promise<string>;
  barrier(ref: string): Promise<XenObject>;
  once(event: 'disconnected', listener: () => void): void;
}
interface XenApiModule {
  readonly createClient: (options: object) => XenApi;
}

describe('the npm client xen-api', () => {
  let pool: RunningPool;

  beforeEach(async () => {
    pool = await startSimulatedPool();
  });
  afterEach(() => pool.close());

  async function connect(url: string): Promise<XenApi> {
    const { createClient } = (await import('xen-api')) as unknown as XenApiModule;
    const client = createClient({
      url,
      auth: { user: pool.username, password: pool.password },
      allowUnauthorized: true,
      watchEvents: true,
    });
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
});
