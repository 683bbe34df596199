import { expect } from 'chai';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Clock, systemClock } from '../../src/common/clock.js';
import { type ConnectionSettings } from '../../src/session/connection-settings.js';
import { Credentials } from '../../src/session/credentials.js';
import { redactingLogger, Redactor } from '../../src/session/redact.js';
import { XapiPoolConnection } from '../../src/session/xapi-pool-connection.js';
import { type RunningPool, startSimulatedPool } from '../../src/simulator/index.js';
import { SimulatedFailure } from '../../src/simulator/simulated-failure.js';
import { type RefOf } from '../../src/xapi/xapi-records.js';
import { taskResultValues } from '../../src/xapi/task-result.js';
import { XenApiClient } from '../../src/xapi/xen-api-client.js';
import { failureOf } from '../support/failure-of.js';
import { RecordingLogger } from '../support/recording-logger.js';

const LIMITS = {
  connectTimeoutMs: 2000,
  callTimeoutMs: 5000,
  firstByteTimeoutMs: 5000,
  idleTimeoutMs: 5000,
  reconnectTimeoutMs: 3000,
};

describe('XapiPoolConnection, with a simulated pool', () => {
  let sim: RunningPool;
  let log: RecordingLogger;
  const connections: XapiPoolConnection[] = [];

  beforeEach(async () => {
    sim = await startSimulatedPool();
    log = new RecordingLogger();
  });
  afterEach(async () => {
    await Promise.all(connections.splice(0).map((one) => one.close()));
    await sim.close();
  });

  const connect = (parts: Partial<ConnectionSettings> = {}, clock: Clock = systemClock): XapiPoolConnection => {
    const settings: ConnectionSettings = {
      ...LIMITS,
      endpoint: { protocol: 'https:', host: '127.0.0.1', port: Number(new URL(sim.url).port) },
      credentials: new Credentials(sim.username, sim.password),
      trust: { mode: 'pinned', fingerprints: sim.hosts.map((host) => host.fingerprint256) },
      dataTransport: 'https',
      httpPort: Number(new URL(sim.httpUrl).port),
      ...parts,
    };
    const redactor = new Redactor();
    const connection = new XapiPoolConnection(
      settings,
      (endpoint) => new XenApiClient({ endpoint, trust: settings.trust, connectTimeoutMs: settings.connectTimeoutMs }),
      clock,
      redactingLogger(log, redactor),
      redactor,
    );
    connections.push(connection);
    return connection;
  };
  const open = async (parts?: Partial<ConnectionSettings>): Promise<XapiPoolConnection> => {
    const connection = connect(parts);
    await connection.open();
    return connection;
  };
  const openSessions = (): number => sim.pool.store.all('session').length;
  const vm = async (connection: XapiPoolConnection, name: string): Promise<RefOf<'VM'>> => {
    const [ref] = [...(await connection.allRecords('VM'))].find(([, record]) => record.name_label === name)!;
    return ref;
  };

  describe('open and close', () => {
    it('logs in, knows the members with the coordinator first, and leaves no session behind', async () => {
      const connection = await open();
      expect(connection.members.map(({ name, address }) => [name, address])).to.deep.equal([
        ['host-a', '127.0.0.1'],
        ['host-b', '127.0.0.2'],
      ]);
      expect(connection.coordinatorAddress).to.equal('127.0.0.1');
      expect(openSessions()).to.equal(1);
      await connection.close();
      expect(openSessions()).to.equal(0);
    });

    it('names itself to the pool, so that its sessions are counted apart', async () => {
      await open();
      expect(sim.pool.store.all('session').map(([, record]) => record.originator)).to.deep.equal(['xen-backup-source']);
    });

    it('follows a member to its coordinator', async () => {
      const port = Number(new URL(sim.url).port);
      const connection = await open({ endpoint: { protocol: 'https:', host: '127.0.0.2', port } });
      expect(connection.coordinatorAddress).to.equal('127.0.0.1');
    });

    it('sends no credentials to a host with another certificate, and leaves no session', async () => {
      const connection = connect({ trust: { mode: 'pinned', fingerprints: [sim.hosts[1]!.fingerprint256] } });
      expect(await failureOf(connection.open())).to.include({ kind: 'untrusted', fingerprint: sim.fingerprint256 });
      expect(openSessions()).to.equal(0);
    });

    it('refuses a coordinator with another certificate that a trusted member names', async () => {
      const port = Number(new URL(sim.url).port);
      const connection = connect({
        endpoint: { protocol: 'https:', host: '127.0.0.2', port },
        trust: { mode: 'pinned', fingerprints: [sim.hosts[1]!.fingerprint256] },
      });
      expect(await failureOf(connection.open())).to.include({ kind: 'untrusted' });
    });

    it('tries a refused password once', async () => {
      const connection = connect({ credentials: new Credentials('root', 'wrong-one') });
      expect(await failureOf(connection.open())).to.include({ code: 'SESSION_AUTHENTICATION_FAILED' });
      expect(JSON.stringify(log.lines)).not.to.contain('wrong-one');
    });

    it('logs out again when opening fails after the log-in', async () => {
      sim.addFault({ match: { call: 'event.from' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } });
      expect(await failureOf(connect().open())).to.include({ code: 'INTERNAL_ERROR' });
      expect(openSessions()).to.equal(0);
    });

    it('logs out a session that comes after the caller gave up', async () => {
      const controller = new AbortController();
      const reason = new Error('enough');
      const connection = connect();
      const opening = failureOf(connection.open(controller.signal));
      controller.abort(reason);
      expect(await opening).to.equal(reason);
      await connection.close();
      expect(openSessions()).to.equal(0);
    });

    it('refuses everything after close', async () => {
      const connection = await open();
      await connection.close();
      for (const work of [connection.call('VM.get_all'), connection.open()]) {
        expect(await failureOf(work)).to.include({ code: 'REQUEST_INVALID' });
      }
    });
  });

  describe('call', () => {
    it('logs in again once when the session died, for calls of any kind', async () => {
      const connection = await open();
      sim.expireSessions();
      const task = await connection.call<RefOf<'task'>>('task.create', ['a', 'b']);
      expect(sim.pool.store.has('task', task)).to.equal(true);
      expect(openSessions()).to.equal(1);
    });

    it('logs in again once for many calls at the same time', async () => {
      const connection = await open();
      sim.expireSessions();
      await Promise.all(Array.from({ length: 5 }, () => connection.call('VM.get_all')));
      expect(openSessions()).to.equal(1);
    });

    it('follows the coordinator in a live session, and keeps that session', async () => {
      const connection = await open();
      sim.makeCoordinator(sim.hosts[1]!.uuid);
      const task = await connection.call<RefOf<'task'>>('task.create', ['a', 'b']);
      expect(sim.pool.store.has('task', task)).to.equal(true);
      expect(connection.coordinatorAddress).to.equal('127.0.0.2');
      expect(openSessions()).to.equal(1);
      await connection.close();
      expect(openSessions()).to.equal(0);
    });

    it('logs out at the new coordinator when the old one moved without a call in between', async () => {
      const connection = await open();
      sim.makeCoordinator(sim.hosts[1]!.uuid);
      await connection.close();
      expect(openSessions()).to.equal(0);
    });

    it("gives the pool's errors unchanged", async () => {
      const connection = await open();
      const error = await failureOf(connection.call('VM.get_by_uuid', ['nosuch']));
      expect(error).to.deep.include({ code: 'UUID_INVALID', params: ['VM', 'nosuch'] });
    });
  });

  describe('records', () => {
    it('reads objects of several classes, and leaves out what is gone', async () => {
      const connection = await open();
      const ref = await vm(connection, 'web-01');
      const machine = await connection.record('VM', ref);
      const wanted = [
        { cls: 'VM' as const, ref },
        ...machine.VBDs.map((vbd) => ({ cls: 'VBD' as const, ref: vbd })),
        { cls: 'VDI' as const, ref: 'OpaqueRef:NULL' as RefOf<'VDI'> },
        { cls: 'VDI' as const, ref: 'OpaqueRef:gone' as RefOf<'VDI'> },
      ] as const;
      const records = await connection.records(wanted);
      expect([...records.keys()]).to.have.members([ref, ...machine.VBDs]);
      expect(records.get(ref)).to.deep.equal(machine);
    });

    it('needs no call for nothing', async () => {
      const connection = await open();
      sim.addFault({ match: { call: 'event.from' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } });
      expect((await connection.records([])).size).to.equal(0);
    });
  });

  describe('tasks', () => {
    it('runs a call as a task, gives its result, and removes the task', async () => {
      const connection = await open();
      const snapshot = await connection.callTask('VM.snapshot', [await vm(connection, 'web-01'), 'spec']);
      expect((await connection.record('VM', snapshot as RefOf<'VM'>)).is_a_snapshot).to.equal(true);
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it("rejects with the task's error and the method, and removes the task", async () => {
      const connection = await open();
      const error = await failureOf(connection.callTask('VM.start', [await vm(connection, 'web-01'), false, false]));
      expect(error).to.include({ code: 'VM_BAD_POWER_STATE', call: 'VM.start' });
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('tells the verdict of a task that a handler completes', async () => {
      const connection = await open();
      const task = await connection.createTask('label', 'description');
      expect(task.uuid).to.equal((await connection.record('task', task.ref)).uuid);
      await connection.call('task.set_status', [task.ref, 'success']);
      expect(await task.verdict).to.equal('');
      await task.release();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('removes a task that was never completed, on release or on close', async () => {
      const connection = await open();
      const task = await connection.createTask('label', 'description');
      await task.release();
      await task.release();
      await failureOf(task.verdict);
      expect(sim.pool.store.all('task')).to.deep.equal([]);
      await connection.createTask('another', '');
      await connection.close();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('ends with the reason of the signal', async () => {
      const connection = await open();
      const controller = new AbortController();
      const reason = new Error('enough');
      const task = await connection.createTask('label', 'description', controller.signal);
      controller.abort(reason);
      expect(await failureOf(task.verdict)).to.equal(reason);
      await task.release();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('leaves no task of a call that nobody waits for when it is closed (found by torture)', async () => {
      const connection = await open();
      const [storage] = sim.pool.store.all('SR')[0]!;
      sim.addFault({ match: { call: 'task.destroy' }, occurrence: 1, action: { delayMs: 100 } });
      const scan = connection.callTask('SR.scan', [storage]).catch((error: unknown) => error);
      await connection.close();
      await scan;
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('waits for the end of a task that was cancelled, and not for ever (found by torture)', async () => {
      const connection = await open();
      const controller = new AbortController();
      const task = await connection.createTask('label', 'description', controller.signal);
      // The pool is told to cancel, and works on.
      const remove = sim.addFault({ match: { call: 'task.cancel' }, action: { failWith: ['INTERNAL_ERROR', 'x'] } });
      controller.abort(new Error('enough'));
      await failureOf(task.verdict);
      let isSettled = false;
      const settled = task.settled(60_000).then(() => (isSettled = true));
      await connection.record('task', task.ref);
      expect(isSettled).to.equal(false);
      await connection.call('task.set_status', [task.ref, 'cancelled']);
      await settled;
      await task.release();
      const endless = await connection.createTask('label', 'description');
      await endless.settled(1);
      await endless.release();
      remove();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('tells the pool to end a task before it waits for that (found by torture)', async () => {
      const connection = await open();
      const { tasks } = sim.pool;
      const cut = await connection.createTask('label', 'description');
      const work = tasks.signalOf(cut.ref);
      work.addEventListener('abort', () => {
        tasks.fail(cut.ref, new SimulatedFailure('TASK_CANCELLED', [cut.ref]));
      });
      await cut.settled(600_000);
      expect(work.aborted).to.equal(true);
      await cut.release();
      // One that has ended is not waited for.
      const ended = await connection.createTask('label', 'description');
      tasks.succeed(ended.ref, '');
      await ended.verdict;
      await ended.settled(600_000);
      await ended.release();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });

    it('says that a task was lost when it vanishes', async () => {
      const connection = await open();
      const task = await connection.createTask('label', 'description');
      sim.pool.store.destroy('task', task.ref);
      expect(await failureOf(task.verdict)).to.include({ code: 'TASK_LOST' });
      await task.release();
    });
  });

  describe('transfers', () => {
    const signal = new AbortController().signal;

    for (const dataTransport of ['https', 'http'] as const) {
      it(`exports and imports a machine over ${dataTransport}`, async () => {
        const connection = await open({ dataTransport });
        const ref = await vm(connection, 'archive-01');
        const exporting = await connection.createTask('export', '');
        const body = await connection.download({ path: '/export', query: { ref }, task: exporting, signal });
        const archive = await buffer(body);
        expect(await exporting.verdict).to.equal('');
        await exporting.release();
        const importing = await connection.createTask('import', '');
        const sr = [...(await connection.allRecords('pool')).values()][0]!.default_SR;
        const result = await connection.upload({
          path: '/import',
          query: { sr_id: sr },
          task: importing,
          signal,
          body: Readable.from([archive]),
          bytes: archive.length,
        });
        await importing.release();
        const [made = ''] = taskResultValues(result);
        expect((await connection.record('VM', made as RefOf<'VM'>)).name_label).to.equal('archive-01');
        expect(sim.pool.store.all('task')).to.deep.equal([]);
      });
    }

    it('gets a new session when a handler refuses the old one', async () => {
      const connection = await open();
      const ref = await vm(connection, 'archive-01');
      const task = await connection.createTask('export', '');
      sim.expireSessions();
      const body = await connection.download({ path: '/export_metadata', query: { ref }, task, signal });
      expect((await buffer(body)).length).to.be.greaterThan(1024);
      expect(await task.verdict).to.equal('');
      await task.release();
      expect(openSessions()).to.equal(1);
    });

    it('rejects with what the handler says', async () => {
      const connection = await open();
      const task = await connection.createTask('export', '');
      const query = { ref: await vm(connection, 'web-01') };
      const error = await failureOf(connection.download({ path: '/export', query, task, signal }));
      expect(error).to.include({ code: 'VM_BAD_POWER_STATE' });
      await task.release();
      expect(sim.pool.store.all('task')).to.deep.equal([]);
    });
  });

  it('leaves no trace of secrets in the log', async () => {
    const connection = await open();
    const [[session]] = sim.pool.store.all('session') as [[string, unknown]];
    sim.makeCoordinator(sim.hosts[1]!.uuid);
    await connection.call('VM.get_all');
    sim.expireSessions();
    await connection.call('VM.get_all');
    expect(log.lines.length).to.be.greaterThan(1);
    const logged = JSON.stringify(log.lines);
    for (const secret of [sim.password, session]) expect(logged).not.to.contain(secret);
  });
});
