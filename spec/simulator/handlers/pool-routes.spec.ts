import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { readDatabase } from '../../../src/simulator/database/database-reader.js';
import { type RunningPool } from '../../../src/simulator/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { bodyOf, exchangeRaw, putRequest } from '../support/raw-exchange.js';
import { type RpcClient, startWithClient } from '../support/rpc-client.js';

const HEAD = 'HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n\r\n';

describe('pool routes', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let clock: ManualClock;

  beforeEach(async () => {
    clock = new ManualClock();
    ({ pool, client } = await startWithClient({ clock }));
  });
  afterEach(() => pool.close());

  const newTask = (): Promise<string> => client.call<string>('task.create', 'transfer', '');
  const pathOf = (path: string, task: string, more = ''): string =>
    `${path}?session_id=${client.session}&task_id=${task}${more}`;
  const taskOf = async (task: string): Promise<readonly unknown[]> => {
    const record = await client.call<{ status: string; error_info: string[] }>('task.get_record', task);
    return [record.status, ...record.error_info];
  };

  async function get(path: string, url = pool.httpUrl): Promise<{ text: string; task: string }> {
    const task = await newTask();
    const { text } = await exchangeRaw(url, `GET ${pathOf(path, task)} HTTP/1.1\r\n\r\n`);
    return { text, task };
  }

  /** The answer up to where it must be enough: after success the server leaves the connection open. */
  async function put(path: string, body: string | Buffer, more = '', url = pool.httpUrl): Promise<readonly unknown[]> {
    const task = await newTask();
    const upload = exchangeRaw(url, putRequest(pathOf(path, task, more), body), (text) => text === HEAD);
    await client.taskEnd(task);
    expect((await upload).text).to.satisfy((text: string) => text.startsWith(HEAD));
    return taskOf(task);
  }

  const dump = async (): Promise<string> => bodyOf((await get('/pool/xmldbdump')).text);

  describe('GET /pool/xmldbdump', () => {
    it('gives every table, with rows only for what outlives a restart, in the database’s names', async () => {
      const { text, task } = await get('/pool/xmldbdump');
      expect(text.startsWith(HEAD)).to.equal(true);
      expect(await taskOf(task)).to.deep.equal(['success']);
      const xml = bodyOf(text);
      expect(xml).to.match(
        /^<\?xml version="1.0" encoding="UTF-8"\?>\n<database><manifest><pair key="schema_major_vsn"/,
      );
      const { tables, schemaMinor } = readDatabase(xml);
      expect(schemaMinor).to.equal(779);
      expect(tables.get('session')).to.deep.equal([]);
      expect(tables.get('VBD_metrics')).to.deep.equal([]);
      const web = tables.get('VM')?.find((row) => row.name__label === 'web-01');
      expect(web).to.deep.include({ memory__static_max: '536870912', name__description: 'Shop front' });
      expect(web?.tags).to.equal("('production' 'nightly')");
      expect(xml).to.include('name__description="Shop%.front"');
      expect(tables.get('pool')?.[0]).to.include({ name_label: 'Small pool' });
      expect([...tables.keys()]).to.include.members(['auth', 'data_source', 'event', 'VLAN']);
    });

    it('is without the database at a member, and says so in the body only', async () => {
      const { text, task } = await get('/pool/xmldbdump', pool.hosts[1]?.httpUrl);
      expect(text.startsWith(`${HEAD}HTTP/1.1 500 Internal Error`)).to.equal(true);
      const info = 'Xapi_database.Db_ref.Database_not_in_memory';
      expect(text).to.include(info);
      expect(await taskOf(task)).to.deep.equal(['failure', 'INTERNAL_ERROR', info]);
    });

    it('is a dummy while the pool is upgraded', async () => {
      const [ref] = pool.pool.poolEntry;
      await client.call('pool.add_to_other_config', ref, 'rolling_upgrade_in_progress', 'true');
      const { tables, schemaMinor } = readDatabase(await dump());
      expect(schemaMinor).to.equal(35);
      expect([...tables.values()].every((rows) => rows.length === 0)).to.equal(true);
      expect(tables.has('host')).to.equal(true);
    });
  });

  describe('PUT /pool/xmldbdump', () => {
    it('accepts its own dump in a dry run, and changes nothing', async () => {
      const before = pool.snapshotState();
      expect(await put('/pool/xmldbdump', await dump(), '&dry_run=true')).to.deep.equal(['success']);
      expect(pool.databaseRestores).to.deep.equal([]);
      expect(pool.snapshotState()).to.deep.equal(before);
    });

    it('fails as XAPI does for dumps that are cut short, of another kind or another release', async () => {
      const xml = await dump();
      const restore = (text: string): Promise<readonly unknown[]> => put('/pool/xmldbdump', text, '&dry_run=true');
      expect(await restore(xml.slice(0, 39_885))).to.deep.equal([
        'failure',
        'INTERNAL_ERROR',
        'Xmlm.Error(2:39847, "unexpected end of input")',
      ]);
      expect(await restore('<x>12345678901234567</x>\n')).to.deep.equal([
        'failure',
        'INTERNAL_ERROR',
        'Xapi_database.Db_xml.Unmarshall_error("Unexpected tag: x")',
      ]);
      expect(await restore(xml.replace('value="779"', 'value="780"'))).to.deep.equal([
        'failure',
        'RESTORE_INCOMPATIBLE_VERSION',
      ]);
    });

    it('wants the cards of the backup, and its own management card in it', async () => {
      const xml = await dump();
      expect(
        await put('/pool/xmldbdump', xml.replaceAll('device="eth1"', 'device="eth7"'), '&dry_run=true'),
      ).to.deep.equal(['failure', 'RESTORE_TARGET_MISSING_DEVICE', 'eth7']);
      const moved = xml.replaceAll('device="eth0"', 'device="eth1"');
      expect(await put('/pool/xmldbdump', moved, '&dry_run=true')).to.deep.equal([
        'failure',
        'RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP',
        'eth1',
        'eth1',
      ]);
    });

    it('is refused without a length, and its task succeeds with nothing done', async () => {
      const task = await newTask();
      const head = `PUT ${pathOf('/pool/xmldbdump', task)} HTTP/1.1\r\n\r\n`;
      const { text } = await exchangeRaw(pool.httpUrl, head, (got) => got.endsWith('\r\n\r\n'));
      expect(text).to.match(/^HTTP\/1.1 400 Bad Request\r\n/);
      expect(await taskOf(task)).to.deep.equal(['success']);
      expect(pool.databaseRestores).to.deep.equal([]);
    });

    it('restarts the host after a while, which ends sessions and takes no connection meanwhile', async () => {
      expect(await put('/pool/xmldbdump', await dump())).to.deep.equal(['success']);
      expect(pool.databaseRestores).to.have.lengthOf(1);
      expect(pool.databaseRestores[0]?.rowCounts.host).to.equal(2);
      await clock.advance(pool.timings.restoreFuseMs);
      const failure = await client.login(pool).catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(TypeError);
      await clock.advance(pool.timings.restartMs);
      expect((await client.error('VM.get_all'))[0]).to.equal('SESSION_INVALID');
      await client.login(pool);
      expect(await client.call('host.get_all')).to.have.lengthOf(2);
    });
  });

  describe('GET /host_backup', () => {
    it('is a packed archive of the host that is asked, with a dump of the database in it', async () => {
      const member = pool.hosts[1];
      const { text, task } = await get('/host_backup', member?.httpUrl);
      expect(text).to.match(/^HTTP\/1.1 200 OK\r\nConnection: keep-alive\r\n/);
      expect(await taskOf(task)).to.deep.equal(['success']);
      const tar = gunzipSync(Buffer.from(bodyOf(text), 'latin1')).toString('latin1');
      expect(tar).to.include(`INSTALLATION_UUID='${member?.uuid ?? ''}'`);
      expect(tar).to.match(/var\/backup\/pool-database-/);
      expect(tar).to.include('<table name="VM">');
    });

    it('fails inside the body when its script does', async () => {
      pool.addFault({
        match: { path: '/host_backup' },
        action: { bodyError: ['BACKUP_SCRIPT_FAILED', 'no space left'], atByte: 0 },
      });
      const { text, task } = await get('/host_backup');
      expect(bodyOf(text)).to.match(/^HTTP\/1.1 500 Internal Error/);
      expect(await taskOf(task)).to.deep.equal(['failure', 'BACKUP_SCRIPT_FAILED', 'no space left']);
    });
  });

  describe('PUT /host_restore', () => {
    it('takes its own backup, and refuses what is none', async () => {
      const archive = Buffer.from(bodyOf((await get('/host_backup')).text), 'latin1');
      expect(await put('/host_restore', archive)).to.deep.equal(['success']);
      expect(pool.hostRestores[0]?.fileNames).to.include('etc/xensource-inventory');
      expect((await put('/host_restore', 'no archive')).slice(0, 2)).to.deep.equal([
        'failure',
        'RESTORE_SCRIPT_FAILED',
      ]);
      expect((await put('/host_restore', archive.subarray(0, 5000))).slice(0, 2)).to.deep.equal([
        'failure',
        'RESTORE_SCRIPT_FAILED',
      ]);
      expect(pool.hostRestores).to.have.lengthOf(1);
    });
  });
});
