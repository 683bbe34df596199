import { expect } from 'chai';
import { connect } from 'node:net';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
import { PLAIN_DISK } from '../support/new-records.js';
import { named, RpcClient } from './support/rpc-client.js';

const HOUR_MS = 3_600_000;

/** `connected`, or the code of the refusal. */
function knock(url: string): Promise<string> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname, () => {
      socket.destroy();
      resolve('connected');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
}

describe('the life of a pool', () => {
  let pool: RunningPool;
  let client: RpcClient;
  const advance = (ms: number): Promise<unknown> => pool.perform('advanceClock', { ms });

  beforeEach(async () => {
    pool = await startSimulatedPool({ clockStandsAtMs: Date.UTC(2026, 0, 31, 22) });
    client = await new RpcClient(pool.httpUrl).login(pool);
  });
  afterEach(() => pool.close());

  describe('sessions', () => {
    it('last as long as they are used, and a day when they are not', async () => {
      await advance(23 * HOUR_MS);
      expect(await client.call('VM.get_all')).to.be.an('array');
      await advance(23 * HOUR_MS);
      expect(await client.call('VM.get_all')).to.be.an('array');
      await advance(24 * HOUR_MS + 1000);
      expect(await client.error('VM.get_all')).to.deep.equal(['SESSION_INVALID', client.session]);
    });
  });

  describe('tasks', () => {
    /** A task of the pool's own that has ended. */
    async function ended(): Promise<string> {
      const task = await client.call<string>('Async.pool.sync_database');
      await client.taskEnd(task);
      return task;
    }

    it('go 65 minutes after their end, and a day after their start', async () => {
      const open = await client.call<string>('task.create', 'never ends', '');
      const done = await ended();
      await advance(64 * 60_000);
      expect(await client.call('task.get_status', done)).to.equal('success');
      await advance(2 * 60_000);
      expect(await client.error('task.get_status', done)).to.deep.equal(['HANDLE_INVALID', 'task', done]);
      await advance(22 * HOUR_MS);
      expect(await client.call('task.get_status', open)).to.equal('pending');
      await advance(2 * HOUR_MS);
      expect(await client.error('task.get_status', open)).to.deep.equal(['HANDLE_INVALID', 'task', open]);
    });

    it('go early when there are too many', async () => {
      const tasks: string[] = [];
      for (let count = 0; count < 203; count += 1) tasks.push(await ended());
      await advance(60_000);
      expect(await client.call<string[]>('task.get_all'))
        .to.have.lengthOf(200)
        .and.not.include(tasks[0]);
    });

    it('that a client ended have no date of it, and go with the next look at old ones', async () => {
      const task = await client.call<string>('task.create', 'mine', '');
      await client.call('task.set_status', task, 'failure');
      const record = await client.call<object>('task.get_record', task);
      expect(record).to.include({ status: 'failure', finished: '19700101T00:00:00Z', progress: 0 });
      await advance(60_000);
      expect(await client.error('task.get_status', task)).to.deep.equal(['HANDLE_INVALID', 'task', task]);
    });

    it('that were to be destroyed while they ran go after their end, however young', async () => {
      const task = await client.call<string>('task.create', 'mine', '');
      await client.call('task.destroy', task);
      expect(await client.call('task.get_current_operations', task)).to.deep.equal({ task: 'destroy' });
      const second = await client.error('task.destroy', task);
      expect(second).to.deep.equal(['MAP_DUPLICATE_KEY', 'task', 'current_operations', task, 'task']);
      await advance(60_000);
      expect(await client.call('task.get_status', task)).to.equal('pending');
      pool.pool.tasks.succeed(task, '');
      expect(await client.call('task.get_current_operations', task)).to.deep.equal({ task: 'destroy' });
      await advance(60_000);
      expect(await client.error('task.get_status', task)).to.deep.equal(['HANDLE_INVALID', 'task', task]);
    });
  });

  describe('event.next', () => {
    it('tells a registered session what changed', async () => {
      const [code, track] = await client.error('event.next');
      expect([code, track?.slice(0, 8)]).to.deep.equal(['SESSION_NOT_REGISTERED', 'trackid=']);
      await client.call('event.register', ['vm']);
      const vm = await named(client, 'VM', 'db-01');
      await client.call('VM.set_name_description', vm, 'changed');
      type Events = readonly {
        class: string;
        operation: string;
        ref: string;
        snapshot: { name_description: string };
      }[];
      const [event] = await client.call<Events>('event.next');
      expect(event).to.include({ class: 'vm', operation: 'mod', ref: vm });
      expect(event?.snapshot.name_description).to.equal('changed');
      await client.call('event.unregister', ['vm']);
      expect((await client.error('event.next'))[0]).to.equal('SESSION_NOT_REGISTERED');
    });
  });

  describe('a host that is down', () => {
    it('refuses connections on all its ports, and is back on the same ones', async () => {
      const [, member] = pool.hosts;
      await pool.perform('killHost', { host: 'host-b' });
      expect(await knock(member?.url ?? '')).to.equal('ECONNREFUSED');
      expect(await knock(member?.httpUrl ?? '')).to.equal('ECONNREFUSED');
      const vm = await named(client, 'VM', 'db-01');
      const host = await named(client, 'host', 'host-b');
      expect(await client.error('VM.start_on', vm, host, false, false)).to.deep.equal(['HOST_OFFLINE', host]);
      expect(await client.error('host.get_servertime', host)).to.deep.equal(['HOST_OFFLINE', host]);
      await pool.perform('startHost', { host: 'host-b' });
      expect(await knock(member?.url ?? '')).to.equal('connected');
      expect(await client.call('host.get_servertime', host)).to.equal('20260131T22:00:00Z');
    });

    it('comes back by itself when it was restarted', async () => {
      await pool.perform('restartHost', { host: 'host-b' });
      expect(await knock(pool.hosts[1]?.url ?? '')).to.equal('ECONNREFUSED');
      await advance(pool.timings.restartMs);
      expect(await knock(pool.hosts[1]?.url ?? '')).to.equal('connected');
    });
  });

  describe('a member whose coordinator is gone', () => {
    const login = { jsonrpc: '2.0', id: 7, method: 'session.login_with_password', params: ['root', 'simulated'] };
    const local = 'session.slave_local_login_with_password';

    it('goes on naming it, and keeps whoever has a session waiting until there is one again', async () => {
      const member = new RpcClient(pool.hosts[1]?.httpUrl ?? '');
      await pool.perform('killHost', { host: 'host-a' });
      const answer = await member.post(login);
      expect(answer.error).to.deep.equal({ code: 1, message: 'HOST_IS_SLAVE', data: ['127.0.0.1'] });
      member.session = (await member.raw(local, ['root', 'simulated'])) as string;
      expect(await member.call('host.is_in_emergency_mode')).to.equal(false);

      const events: string[] = [];
      const held = member.error('VM.get_all').then(([code = '']) => events.push(code));
      const transfer = fetch(`${pool.hosts[1]?.httpUrl ?? ''}/export?session_id=${client.session}&uuid=x`).then(
        ({ status }) => events.push(`HTTP ${status}`),
      );
      expect((await fetch(`${pool.hosts[1]?.httpUrl ?? ''}/export?uuid=x`)).status).to.equal(401);
      expect(await member.raw(local, ['root', 'simulated'])).to.match(/^OpaqueRef:/);
      expect(events).to.deep.equal([]);
      await pool.perform('startHost', { host: 'host-a' });
      await Promise.all([held, transfer]);
      expect(events).to.have.members(['no error', 'HTTP 401']);
    });

    it('lets clients in again some time after it was told to take over, and has nothing since the last sync', async () => {
      const member = new RpcClient(pool.hosts[1]?.httpUrl ?? '');
      await pool.perform('setTimings', { takeoverMs: 8000 });
      const kept = await named(client, 'VM', 'db-01');
      await client.call('pool.sync_database');
      await client.call('VM.set_name_description', kept, 'changed after the sync');
      const [sr] = Object.entries(await client.call<Record<string, { type: string }>>('SR.get_all_records')).find(
        ([, { type }]) => type === 'nfs',
      ) ?? [''];
      const vdi = await client.call<string>('VDI.create', { ...NEW_DISK, SR: sr });
      const uuid = await client.call<string>('VDI.get_uuid', vdi);
      await pool.perform('writeDisk', { disk: uuid, offset: 0, base64: 'a2VwdA==' });

      await pool.perform('killHost', { host: 'host-a' });
      member.session = (await member.raw(local, ['root', 'simulated'])) as string;
      await member.call('pool.emergency_transition_to_master');
      expect((await member.post(login)).error).to.deep.include({ message: 'HOST_IS_SLAVE' });
      await advance(7000);
      expect(await knock(pool.hosts[1]?.httpUrl ?? '')).to.equal('ECONNREFUSED');
      await advance(1000);
      await member.login(pool);
      expect(await member.call('VM.get_name_description', kept)).to.not.equal('changed after the sync');
      expect(await member.error('VDI.get_uuid', vdi)).to.deep.equal(['HANDLE_INVALID', 'VDI', vdi]);
      await member.call('SR.scan', sr);
      const found = await member.call<string>('VDI.get_by_uuid', uuid);
      expect(found).to.not.equal(vdi);
      expect(await pool.perform('readDisk', { disk: uuid, offset: 0, length: 4 })).to.deep.equal({
        base64: 'a2VwdA==',
      });
    });

    it('that was booted without it takes nothing but the way out; the old coordinator finds itself a member', async () => {
      const [first, member] = pool.hosts;
      const emergency = new RpcClient(member?.httpUrl ?? '');
      await pool.perform('killHost', { host: 'host-a' });
      await pool.perform('killHost', { host: 'host-b' });
      await pool.perform('startHost', { host: 'host-b' });
      expect(await emergency.post(login)).to.deep.equal({ jsonrpc: '2.0', error: ['HOST_STILL_BOOTING'], id: 0 });
      emergency.session = (await emergency.raw(local, ['root', 'simulated'])) as string;
      await emergency.call('pool.emergency_transition_to_master');
      await emergency.login(pool);
      expect(await emergency.call('VM.get_all')).to.be.an('array');
      await pool.perform('startHost', { host: 'host-a' });
      const old = new RpcClient(first?.httpUrl ?? '');
      const answer = await old.post(login);
      expect(answer.error).to.deep.include({ message: 'HOST_IS_SLAVE', data: ['127.0.0.2'] });
    });
  });
});

const NEW_DISK = { ...PLAIN_DISK, name_label: 'made after the sync', virtual_size: '1048576' };

describe('calls without behaviour', function () {
  this.timeout(60_000);

  for (const release of ['7.1', '8.2', '8.3']) {
    it(`are answered with an error that ${release} documents, not with a crash`, async () => {
      const pool = await startSimulatedPool({ release });
      try {
        const client = await new RpcClient(pool.httpUrl).login(pool);
        const { datamodel } = pool.pool;
        const undocumented: string[] = [];
        let refused = 0;
        for (const { messages, isRemoved } of datamodel.classes.values()) {
          for (const { name, verb, cls, params, isImplicit } of messages.values()) {
            if (isRemoved || isImplicit || cls === 'session' || cls === 'event' || verb === 'get_all_records') continue;
            const [code = '', text = ''] = await client.error(name, ...params.map(({ type }) => ZERO[type.kind]));
            if (code === 'NOT_IMPLEMENTED') refused += 1;
            const isKnown = code in datamodel.errors || code.startsWith('SR_BACKEND_FAILURE_') || code === 'no error';
            const isCrash = code === 'INTERNAL_ERROR' && /^(Type|Range|Reference|Syntax)?Error\(/.test(text);
            if (isCrash || !isKnown) undocumented.push(`${name}: ${code} ${text}`);
          }
        }
        expect(undocumented).to.deep.equal([]);
        expect(refused).to.be.greaterThan(100);
      } finally {
        await pool.close();
      }
    });
  }
});

/** A value of each type, and of nothing that there is. */
const ZERO: Readonly<Record<string, unknown>> = {
  string: '',
  ref: 'OpaqueRef:NULL',
  enum: '',
  int: 0,
  float: 0,
  bool: false,
  datetime: '19700101T00:00:00Z',
  set: [],
  map: {},
  record: {},
  option: null,
};
