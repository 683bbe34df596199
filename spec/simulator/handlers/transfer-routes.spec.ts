import { expect } from 'chai';
import { MIB } from '../../../src/common/byte-size.js';
import { dataPathSettings } from '../../../src/simulator/handlers/data-path-settings.js';
import { startSimulatedPool } from '../../../src/simulator/index.js';
import { flagOf, mapOf, setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { TRANSFER_POOL, useTransferPool } from '../support/transfer-pool.js';

describe('transfer routes', () => {
  const transfers = useTransferPool();
  const { store, refOf, newTask, taskOf, query, get, raw, importAs } = transfers;

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
        `https://127.0.0.2:${transfers.running.pool.httpsPort}/export?`,
      );
      const there = transfers.running.hosts[1]!.httpUrl;
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
      const other = await startSimulatedPool({ poolFile: TRANSFER_POOL, clock: slow });
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
      transfers.running.pool.tasks.signalOf(task);
      transfers.running.pool.tasks.cancel(task, 'key');
      const answer = await get('/export', { ref: refOf('VM', 'vm'), task_id: task });
      expect(answer.body.toString('latin1')).to.contain(`TASK_CANCELLED: [ ${task} ]`);
      expect(taskOf(task)).to.deep.include({ status: 'cancelled', error_info: [] });
    });

    it('suffers the faults of the plan', async () => {
      transfers.running.addFault({
        match: { path: '/export' },
        occurrence: 1,
        action: { truncateAtByte: 2 * MIB, task: 'success' },
      });
      transfers.running.addFault({
        match: { path: '/export' },
        occurrence: 2,
        action: { bodyError: ['VDI_IO_ERROR', 'x'], atByte: MIB },
      });
      transfers.running.addFault({ match: { path: '/export' }, occurrence: 3, action: { corruptAtByte: 2 * MIB } });
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
});
