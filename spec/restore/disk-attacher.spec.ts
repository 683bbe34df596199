import { expect } from 'chai';
import { CleanupStack } from '../../src/common/cleanup-stack.js';
import { DiskAttacher } from '../../src/restore/disk-attacher.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { type OpenPool, openSmallPool } from '../journeys/support/open-pool.js';
import { PLAIN_DISK } from '../support/new-records.js';

describe('DiskAttacher', () => {
  const { signal } = new AbortController();
  let open: OpenPool;
  let disk: RefOf<'VDI'>;
  let cleanup: CleanupStack;

  beforeEach(async () => {
    open = await openSmallPool();
    cleanup = new CleanupStack();
    const [storage] = open.running.pool.store.all('SR')[0]!;
    const record = { ...PLAIN_DISK, SR: storage, virtual_size: 1024 ** 2 };
    disk = (await open.connection.callTask('VDI.create', [record])) as RefOf<'VDI'>;
  });

  afterEach(() => open.close());

  async function attach(): Promise<string> {
    const { connection } = open;
    const [ref] = (await connection.call<RefOf<'VM'>[]>('VM.get_by_name_label', ['db'])) as [RefOf<'VM'>];
    const holder = { ref, record: await connection.record('VM', ref) };
    await new DiskAttacher(connection).attach(disk, holder, 'RW', cleanup, signal);
    const [drive = ''] = (await connection.record('VDI', disk)).VBDs;
    return drive;
  }

  it('gives the place up again when the restore fails', async () => {
    const drive = await attach();
    const { store } = open.running.pool;
    expect(store.has('VBD', drive)).to.equal(true);
    expect(await cleanup.run()).to.deep.equal([]);
    expect(store.has('VBD', drive)).to.equal(false);
  });

  it('has nothing to give up when somebody has removed the disk meanwhile (found by torture)', async () => {
    const drive = await attach();
    const { store } = open.running.pool;
    store.destroy('VBD', drive);
    store.destroy('VDI', disk);
    expect(await cleanup.run()).to.deep.equal([]);
  });
});
