import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { contentOf } from '../../../src/simulator/behaviour/disks.js';
import { dataPathSettings } from '../../../src/simulator/handlers/data-path-settings.js';
import { type RunningPool, startSimulatedPool } from '../../../src/simulator/index.js';
import { flagOf, mapOf, numberOf, setOf, textOf, type XapiRecord } from '../../../src/simulator/wire/wire-value.js';

interface Answer {
  readonly status: number;
  readonly version: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

const DEFINITION = {
  name: 'pool',
  hosts: [{ name: 'one' }, { name: 'two' }],
  networks: [{ name: 'net0', bridge: 'xenbr0', device: 'eth0', isManagement: true }],
  storage: [
    { name: 'sr', type: 'nfs' as const, isDefault: true },
    { name: 'isos', type: 'iso' as const, images: [{ name: 'guest-tools.iso', sizeMiB: 1 }] },
    { name: 'local-two', type: 'ext' as const, host: 'two' },
  ],
  vms: [
    {
      name: 'vm',
      disks: [
        { name: 'd0', sizeMiB: 4, content: { kind: 'random' as const, fillPercent: 50 } },
        { name: 'd1', sizeMiB: 1.5, content: { kind: 'text' as const } },
      ],
      cdDrive: 'guest-tools.iso',
      interfaces: [{ network: 'net0', mac: '02:00:00:00:00:01' }],
    },
    { name: 'busy', powerState: 'Running' as const, disks: [{ name: 'b0', sizeMiB: 1 }] },
    { name: 'elsewhere', disks: [{ name: 'e0', sizeMiB: 1, storage: 'local-two' }] },
  ],
};

describe('transfer routes', () => {
  let running: RunningPool;
  let session: string;
  let xva: Buffer;

  const store = (): RunningPool['pool']['store'] => running.pool.store;
  const refOf = (cls: string, name: string): string =>
    store()
      .all(cls)
      .find(([, record]) => textOf(record, 'name_label') === name)![0];
  const newTask = (): string => running.pool.tasks.create({ label: 'test', host: running.pool.coordinator });
  const taskOf = (ref: string): XapiRecord => store().get('task', ref);

  function query(parts: Readonly<Record<string, string>>): string {
    return new URLSearchParams({ session_id: session, ...parts }).toString();
  }

  function get(path: string, parts: Readonly<Record<string, string>>, base = running.httpUrl): Promise<Answer> {
    return new Promise((resolve, reject) => {
      httpRequest(`${base}${path}?${query(parts)}`, (response) => {
        collect(response, resolve, reject);
      })
        .on('error', reject)
        .end();
    });
  }

  function put(
    path: string,
    parts: Readonly<Record<string, string>>,
    body: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const length: Record<string, string> =
        'transfer-encoding' in headers ? {} : { 'content-length': String(body.length) };
      const upload = httpRequest(
        `${running.httpUrl}${path}?${query(parts)}`,
        { method: 'PUT', headers: { ...length, ...headers } },
        (response) => {
          collect(response, resolve, reject);
        },
      );
      upload.on('error', reject).end(body);
    });
  }

  function collect(response: IncomingMessage, resolve: (answer: Answer) => void, reject: (error: Error) => void): void {
    const pieces: Buffer[] = [];
    response.on('data', (piece: Buffer) => pieces.push(piece));
    response.on('error', reject);
    response.on('end', () => {
      const body = Buffer.concat(pieces);
      resolve({ status: response.statusCode ?? 0, version: response.httpVersion, headers: response.rawHeaders, body });
    });
  }

  /** Sends raw bytes, ends its side, and returns all that came back. */
  function raw(bytes: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(running.httpUrl);
      const pieces: Buffer[] = [];
      const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => {
        socket.end(bytes);
      });
      socket.on('data', (piece) => pieces.push(piece));
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(Buffer.concat(pieces).toString('latin1'));
      });
    });
  }

  async function importAs(parts: Readonly<Record<string, string>>, body = xva): Promise<XapiRecord> {
    const task = newTask();
    await put('/import', { task_id: task, ...parts }, body);
    return taskOf(task);
  }

  beforeEach(async () => {
    running = await startSimulatedPool({ poolFile: DEFINITION });
    session = running.pool.sessions.login(running.username, running.password, 'spec', running.pool.coordinator);
    xva = (await get('/export/', { ref: refOf('VM', 'vm') })).body;
  });
  afterEach(async () => {
    await running.close();
  });

  describe('GET /export', () => {
    it('answers HTTP/1.0 with the captured headers, and ends the task', async () => {
      const task = newTask();
      const answer = await get('/export', { ref: refOf('VM', 'vm'), task_id: task });
      expect(answer).to.include({ status: 200, version: '1.0' });
      expect(answer.headers).to.deep.equal([
        'Connection',
        'close',
        'Cache-Control',
        'no-cache, no-store',
        'task-id',
        task,
        'Server',
        'xapi/0.0',
        'content-type',
        'application/octet-stream',
        'Content-Disposition',
        'attachment; filename="export.xva"',
      ]);
      expect(taskOf(task)).to.include({ status: 'success', result: '', progress: 1 });
      expect(mapOf(store().get('VM', refOf('VM', 'vm')), 'current_operations')).to.deep.equal({});
    });

    it('packs with gzip', async () => {
      const answer = await get('/export', { ref: refOf('VM', 'vm'), use_compression: 'true' });
      expect(answer.body.readUInt16BE(0)).to.equal(0x1f8b);
      expect(textOf(await importAs({}, answer.body), 'status')).to.equal('success');
    });

    it('refuses a running VM', async () => {
      const task = newTask();
      const busy = refOf('VM', 'busy');
      const answer = await get('/export', { ref: busy, task_id: task });
      expect(answer.status).to.equal(500);
      expect(answer.body.toString()).to.contain(`VM_BAD_POWER_STATE: [ ${busy}; halted, suspended; running ]`);
      expect(taskOf(task)).to.deep.include({
        status: 'failure',
        error_info: ['VM_BAD_POWER_STATE', busy, 'halted, suspended', 'running'],
      });
    });

    it('leaves the task alone for an unknown uuid, and fails it without an answer for an unknown reference', async () => {
      const task = newTask();
      const answer = await get('/export', { uuid: 'nosuch', task_id: task });
      expect(answer.body.toString()).to.contain('UUID_INVALID: [ VM; nosuch ]');
      expect(taskOf(task)).to.include({ status: 'pending' });
      expect(
        await raw(Buffer.from(`GET /export?${query({ ref: 'OpaqueRef:gone', task_id: task })} HTTP/1.1\r\n\r\n`)),
      ).to.equal('');
      expect(taskOf(task)).to.deep.include({ status: 'failure', error_info: ['NO_HOSTS_AVAILABLE'] });
    });

    it('redirects to the host that sees the storage', async () => {
      const answer = await get('/export', { ref: refOf('VM', 'elsewhere') });
      expect(answer.status).to.equal(302);
      expect(answer.headers[answer.headers.indexOf('Location') + 1]).to.contain(
        `https://127.0.0.2:${running.pool.httpsPort}/export?`,
      );
      const there = running.hosts[1]!.httpUrl;
      expect((await get('/export', { ref: refOf('VM', 'elsewhere') }, there)).status).to.equal(200);
    });

    it('holds the disks while it runs and for a moment after', async () => {
      let wake = (): void => undefined;
      const slow = {
        nowMs: () => Date.now(),
        sleep: () =>
          new Promise<void>((resolve) => {
            wake = resolve;
          }),
      };
      const other = await startSimulatedPool({ poolFile: DEFINITION, clock: slow });
      try {
        dataPathSettings(other.pool).detachDelayMs = 1000;
        const [vm, record] = other.pool.store.all('VM').find(([, { name_label: name }]) => name === 'vm')!;
        const vdi = textOf(other.pool.store.get('VBD', setOf(record, 'VBDs')[0]!), 'VDI');
        const login = other.pool.sessions.login(other.username, other.password, 'spec', other.pool.coordinator);
        await get('/export', { ref: vm, session_id: login }, other.httpUrl);
        const attached = (): boolean =>
          setOf(other.pool.store.get('VDI', vdi), 'VBDs').some((vbd) =>
            flagOf(other.pool.store.get('VBD', vbd), 'currently_attached'),
          );
        expect(attached()).to.equal(true);
        wake();
        await Promise.resolve();
        expect(attached()).to.equal(false);
      } finally {
        await other.close();
      }
    });

    it('stops when its task is cancelled', async () => {
      const task = newTask();
      running.pool.tasks.signalOf(task);
      running.pool.tasks.cancel(task, 'key');
      const answer = await get('/export', { ref: refOf('VM', 'vm'), task_id: task });
      expect(answer.body.toString('latin1')).to.contain(`TASK_CANCELLED: [ ${task} ]`);
      expect(taskOf(task)).to.deep.include({ status: 'cancelled', error_info: [] });
    });

    it('suffers the faults of the plan', async () => {
      running.addFault({
        match: { path: '/export' },
        occurrence: 1,
        action: { truncateAtByte: 2 * MIB, task: 'success' },
      });
      running.addFault({
        match: { path: '/export' },
        occurrence: 2,
        action: { bodyError: ['VDI_IO_ERROR', 'x'], atByte: MIB },
      });
      running.addFault({ match: { path: '/export' }, occurrence: 3, action: { corruptAtByte: 2 * MIB } });
      expect((await get('/export', { ref: refOf('VM', 'vm') })).body.length).to.equal(2 * MIB);
      const failed = await get('/export', { ref: refOf('VM', 'vm') });
      expect(failed.body.toString('latin1', MIB, MIB + 31)).to.equal('HTTP/1.1 500 Internal Error\r\nco');
      const damaged = await get('/export', { ref: refOf('VM', 'vm') });
      expect(String(setOf(await importAs({}, damaged.body), 'error_info')[1])).to.match(
        /Block Ref:\d+\/\d{8} checksum failed/,
      );
    });
  });

  describe('GET /export_metadata', () => {
    it('has a length and takes running VMs', async () => {
      const answer = await get('/export_metadata', { ref: refOf('VM', 'busy') });
      expect(answer.headers).to.include.members(['Content-Length', String(answer.body.length)]);
      expect(answer.body.toString('latin1')).to.contain('<name>power_state</name><value>Running</value>');
      const all = await get('/export_metadata', { all: 'true' });
      expect(all.body.length).to.be.greaterThan(answer.body.length);
    });
  });

  describe('PUT /import', () => {
    it('makes a new VM with the same bytes on new disks', async () => {
      const task = await importAs({});
      expect(task).to.deep.include({ status: 'success', other_config: { object_creation: 'complete' } });
      const ref = /<value>(OpaqueRef:[^<]+)<\/value><\/data>/.exec(textOf(task, 'result'))![1]!;
      const [source, copy] = [refOf('VM', 'vm'), ref].map((vm) => store().get('VM', vm)) as [XapiRecord, XapiRecord];
      expect(copy.uuid).not.to.equal(source.uuid);
      expect(mapOf(copy, 'other_config').mac_seed).not.to.equal(mapOf(source, 'other_config').mac_seed);
      expect(copy).to.include({ name_label: 'vm', version: 0, power_state: 'Halted' });
      expect(mapOf(copy, 'current_operations')).to.deep.equal({});
      const vdisOf = (vm: XapiRecord): readonly string[] =>
        setOf(vm, 'VBDs').map((vbd) => textOf(store().get('VBD', vbd), 'VDI'));
      const disks = (vm: XapiRecord): string[] =>
        vdisOf(vm)
          .map(
            (vdi) =>
              `${textOf(store().get('VDI', vdi), 'name_label')} ${contentOf(running.pool, vdi)
                .read(0, numberOf(store().get('VDI', vdi), 'virtual_size'))
                .toString('base64')}`,
          )
          .sort();
      expect(disks(copy)).to.deep.equal(disks(source));
      expect(
        vdisOf(copy).filter((vdi) => vdisOf(source).includes(vdi)),
        'only the ISO is shared',
      ).to.have.length(1);
      const vif = store().get('VIF', setOf(copy, 'VIFs')[0]!);
      expect(vif).to.include({ network: refOf('network', 'net0'), MAC_autogenerated: true });
      expect(vif.MAC).not.to.equal('02:00:00:00:00:01');
    });

    it('restores under the old identity: refused when not newer, replacing when forced, plain when gone', async () => {
      const vm = refOf('VM', 'vm');
      const { uuid } = store().get('VM', vm);
      expect(setOf(await importAs({ restore: 'true' }), 'error_info')).to.deep.equal([
        'VM_TO_IMPORT_IS_NOT_NEWER_VERSION',
        vm,
        '0',
        '0',
      ]);
      const disks = store().count('VDI');
      expect(textOf(await importAs({ restore: 'true', force: 'true' }), 'status')).to.equal('success');
      expect(store().has('VM', vm)).to.equal(false);
      const back = store().get('VM', refOf('VM', 'vm'));
      expect(back).to.include({ uuid, version: 1 });
      expect(store().get('VIF', setOf(back, 'VIFs')[0]!)).to.include({
        MAC: '02:00:00:00:00:01',
        MAC_autogenerated: false,
      });
      expect(store().count('VDI'), 'old disks are orphaned').to.equal(disks + 2);
    });

    it('refuses a MAC seed of another VM', async () => {
      await importAs({});
      const seed = mapOf(store().get('VM', refOf('VM', 'vm')), 'other_config').mac_seed!;
      store().patch('VM', refOf('VM', 'busy'), { other_config: { mac_seed: seed } });
      expect(setOf(await importAs({ restore: 'true' }), 'error_info')).to.deep.equal(['DUPLICATE_MAC_SEED', seed]);
    });

    const headerless = Buffer.alloc(65_536, 'Z');
    const failures: readonly (readonly [string, (archive: Buffer) => Buffer, RegExp | readonly string[]])[] = [
      ['noise', () => headerless, ['IMPORT_ERROR_PREMATURE_EOF']],
      [
        'another first file in a packed archive',
        (archive) => gzipSync(rename(archive, 'ova.xml', 'abc.xml')),
        ['IMPORT_ERROR_UNEXPECTED_FILE', 'ova.xml', 'abc.xml'],
      ],
      [
        'another first file in a plain archive',
        (archive) => rename(archive, 'ova.xml', 'abc.xml'),
        ['IMPORT_ERROR_PREMATURE_EOF'],
      ],
      ['a packed archive cut short', (archive) => gzipSync(archive).subarray(0, MIB), ['IMPORT_ERROR_PREMATURE_EOF']],
      [
        'a flipped bit',
        (archive) => flipped(archive, archive.indexOf('/00000001') + 600),
        /Stream_vdi\.Invalid_checksum\("Block Ref:\d+\/00000001 checksum failed: original = [0-9A-F]{16}; recomputed = /,
      ],
      ['an unknown checksum', (archive) => rename(archive, '.xxhash', '.md5sum'), /Found unsupported checksum file/],
      [
        'a newer writer',
        (archive) => text(archive, '<name>xapi_major</name><value>24<', '<name>xapi_major</name><value>99<'),
        ['IMPORT_INCOMPATIBLE_VERSION'],
      ],
      [
        'broken XML',
        (archive) => text(archive, '</struct></value></data>', '<struct></value></data>.'),
        /^INTERNAL_ERROR: \[ Xmlm/,
      ],
    ];
    for (const [what, damage, expected] of failures) {
      it(`fails for ${what}, and leaves nothing behind`, async () => {
        const before = ['VM', 'VDI', 'VBD', 'VIF', 'VM_metrics', 'VBD_metrics'].map((cls) => store().count(cls));
        const info = setOf(await importAs({}, damage(xva)), 'error_info');
        if (expected instanceof RegExp)
          expect(info[0] === 'IMPORT_ERROR' && expected.test(info[1] ?? ''), info.join()).to.equal(true);
        else expect(info).to.deep.equal(expected);
        expect(['VM', 'VDI', 'VBD', 'VIF', 'VM_metrics', 'VBD_metrics'].map((cls) => store().count(cls))).to.deep.equal(
          before,
        );
      });
    }

    it('keeps what it made and lets a wrong checksum pass when forced', async () => {
      const damaged = flipped(xva, xva.indexOf('/00000001') + 600);
      expect(textOf(await importAs({ force: 'true' }, damaged), 'status')).to.equal('success');
    });

    it('waits for an archive cut short until the client ends its side', async () => {
      const task = newTask();
      const head = `PUT /import?${query({ task_id: task })} HTTP/1.1\r\nContent-Length: ${xva.length}\r\n\r\n`;
      const answer = await raw(Buffer.concat([Buffer.from(head), xva.subarray(0, 3 * MIB)]));
      expect(answer).to.match(
        /^HTTP\/1\.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\ntask-id:OpaqueRef/,
      );
      expect(answer).to.contain('HTTP/1.1 500 Internal Error').and.contain('IMPORT_ERROR_PREMATURE_EOF: [  ]');
      expect(setOf(taskOf(task), 'error_info')).to.deep.equal(['IMPORT_ERROR_PREMATURE_EOF']);
    });

    it("answers a probe without a body at once and fails nobody's task", async () => {
      const answer = await new Promise<string>((resolve, reject) => {
        const { hostname, port } = new URL(running.httpUrl);
        const socket = connect(Number(port), hostname, () => {
          socket.write(`PUT /import?${query({})} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`);
        });
        socket.once('data', (piece) => {
          socket.destroy();
          resolve(piece.toString());
        });
        socket.on('error', reject);
      });
      expect(answer).to.match(/^HTTP\/1\.1 200 OK\r\n/);
    });

    it('is done when the archive is, whatever length was announced', async () => {
      const task = newTask();
      const head = `PUT /import?${query({ task_id: task })} HTTP/1.1\r\nContent-Length: 1125899906842624\r\n\r\n`;
      await raw(Buffer.concat([Buffer.from(head), xva]));
      expect(textOf(taskOf(task), 'status')).to.equal('success');
    });

    it('refuses chunked bodies, image libraries, and nowhere to go', async () => {
      const task = newTask();
      const chunked = await put('/import', { task_id: task }, Buffer.alloc(0), { 'transfer-encoding': 'chunked' });
      expect(chunked.status).to.equal(403);
      expect(setOf(taskOf(task), 'error_info')).to.deep.equal(['IMPORT_ERROR_CANNOT_HANDLE_CHUNKED']);
      const images = newTask();
      expect((await put('/import', { task_id: images, sr_id: refOf('SR', 'isos') }, xva)).status).to.equal(400);
      expect(setOf(taskOf(images), 'error_info')).to.deep.equal(['SR_OPERATION_NOT_SUPPORTED']);
      store().patch('pool', running.pool.poolEntry[0], { default_SR: 'OpaqueRef:NULL' });
      const nowhere = newTask();
      const answer = await put('/import', { task_id: nowhere }, xva);
      expect(answer.body.toString()).to.contain('DEFAULT_SR_NOT_FOUND: [ OpaqueRef:NULL ]');
      expect(textOf(taskOf(nowhere), 'status')).to.equal('pending');
    });

    it('sends to the host that sees the storage', async () => {
      expect((await put('/import', { sr_id: refOf('SR', 'local-two') }, Buffer.alloc(0))).status).to.equal(302);
    });
  });

  describe('PUT /import_metadata', () => {
    it('brings a VM back onto its disks', async () => {
      const vm = refOf('VM', 'vm');
      const archive = (await get('/export_metadata', { ref: vm })).body;
      const disks = store().count('VDI');
      const dry = newTask();
      await put('/import_metadata', { task_id: dry, dry_run: 'true' }, archive);
      expect(taskOf(dry)).to.include({ status: 'success', result: '<value><array><data></data></array></value>' });
      const task = newTask();
      await put('/import_metadata', { task_id: task }, archive);
      expect(taskOf(task)).to.include({ status: 'success' });
      expect(store().count('VDI')).to.equal(disks);
      expect(
        store()
          .all('VM')
          .filter(([, { name_label: name }]) => name === 'vm'),
      ).to.have.length(2);
    });
  });
});

function flipped(archive: Buffer, at: number): Buffer {
  const copy = Buffer.from(archive);
  copy[at] = copy[at]! ^ 1;
  return copy;
}

/** Replaces text of the same length. */
function text(archive: Buffer, from: string, to: string): Buffer {
  const copy = Buffer.from(archive);
  copy.write(to, copy.indexOf(from), 'latin1');
  return copy;
}

/** Replaces the first name like this in a header, and its checksum. */
function rename(archive: Buffer, from: string, to: string): Buffer {
  const copy = text(archive, from, to);
  const start = Math.floor(archive.indexOf(from) / 512) * 512;
  copy.fill(0x20, start + 148, start + 156);
  const sum = copy.subarray(start, start + 512).reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(7, '0')}\0`, start + 148, 'latin1');
  return copy;
}
