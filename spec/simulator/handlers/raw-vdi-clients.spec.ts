import { expect } from 'chai';
import { Readable } from 'node:stream';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { textOf } from '../../../src/simulator/wire/wire-value.js';
import { quietConsole } from '../support/quiet-console.js';
import { bodyOf, exchangeRaw } from '../support/raw-exchange.js';
import { type XenApi, xenApiClient } from '../support/xen-api.js';

describe('raw disks and other clients', () => {
  let pool: RunningPool;
  let vdi: string;

  beforeEach(async () => {
    pool = await startSimulatedPool({
      poolFile: {
        name: 'raw',
        hosts: [{ name: 'one' }, { name: 'two' }],
        storage: [{ name: 'local', type: 'ext', host: 'two', isDefault: true }],
        vms: [{ name: 'vm', disks: [{ name: 'disk', sizeMiB: 4, content: { kind: 'random', seed: 3 } }] }],
      },
    });
    vdi = pool.pool.store.all('VDI').find(([, record]) => textOf(record, 'name_label') === 'disk')![0];
  });
  afterEach(() => pool.close());

  const bytes = (): Buffer => contentOf(pool.pool, vdi).read(0, 4 * MIB);

  describe('npm xen-api', () => {
    quietConsole();
    let client: XenApi;

    beforeEach(async () => {
      client = await xenApiClient(pool, { url: pool.url, watchEvents: ['task'], eventPollDelay: 10 });
      await client.connect();
    });
    afterEach(() => client.disconnect());

    it('gets a disk from the host that has it', async () => {
      const query = { vdi, format: 'raw' };
      const { body } = await client.getResource('/export_raw_vdi/', { query, task: true });
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(bytes())).to.equal(true);
    });

    it('puts a stream of known length: a probe, a redirect, the data', async () => {
      const data = Buffer.alloc(4 * MIB, 'known');
      const stream = Object.assign(Readable.from([data.subarray(0, MIB), data.subarray(MIB)]), { length: data.length });
      await client.putResource(stream, '/import_raw_vdi/', { query: { vdi, format: 'raw' }, task: true });
      expect(bytes().equals(data)).to.equal(true);
    });

    it('puts a stream of a length nobody knows: what comes before it cuts the connection is written', async () => {
      const data = Buffer.alloc(4 * MIB, 'unknown');
      const pieces = Array.from({ length: 64 }, (_, index) => data.subarray(index * 65_536, (index + 1) * 65_536));
      const query = { vdi, format: 'raw' };
      // The client tells the failure of the task on the console and takes it for a success: it cut the data off itself.
      await client.putResource(Readable.from(pieces), '/import_raw_vdi/', { query, task: true });
      // It does not wait until its own last pieces are out.
      expect(
        bytes()
          .subarray(0, 3 * MIB)
          .equals(data.subarray(0, 3 * MIB)),
      ).to.equal(true);
      const tasks = pool.pool.store.all('task').map(([, task]) => task.error_info);
      expect(tasks).to.deep.include(['VDI_IO_ERROR', 'Device I/O errors']);
    });
  });

  describe('HTTP/1.0', () => {
    const host = (): string => pool.hosts[1]!.httpUrl;
    const authorization = (): string =>
      `Authorization: Basic ${Buffer.from(`${pool.username}:${pool.password}`).toString('base64')}`;

    it('sends the status before the body is sent, and nothing about what is expected', async () => {
      const head = `PUT /import_raw_vdi?vdi=${vdi} HTTP/1.0\r\n${authorization()}\r\nContent-Length: 512\r\nExpect: 100-continue\r\n\r\n`;
      const { text } = await exchangeRaw(host(), head, (answer) => answer.includes('\r\n\r\n'));
      expect(text).to.match(/^HTTP\/1\.1 200 OK\r\n/);
      expect(text).to.match(/\r\ntask-id:OpaqueRef:/);
      expect(bodyOf(text)).to.equal('');
    });

    it('is what a format that nobody knows is answered with', async () => {
      const head = `GET /export_raw_vdi?vdi=${vdi}&format=nosuch HTTP/1.1\r\n${authorization()}\r\n\r\n`;
      const { text } = await exchangeRaw(host(), head);
      expect(text).to.match(/^HTTP\/1\.0 404 Not Found\r\n/);
    });
  });
});
