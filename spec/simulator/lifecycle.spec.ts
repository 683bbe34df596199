import { expect } from 'chai';
import { connect } from 'node:net';
import { startSimulatedPool, type RunningPool } from '../../src/simulator/index.js';
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
    it('go 65 minutes after their end, and a day after their start', async () => {
      const open = await client.call<string>('task.create', 'never ends', '');
      const done = await client.call<string>('task.create', 'ends', '');
      await client.call('task.set_status', done, 'success');
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
      for (let count = 0; count < 203; count += 1) {
        const task = await client.call<string>('task.create', `task ${count}`, '');
        await client.call('task.set_status', task, 'success');
        tasks.push(task);
      }
      await advance(60_000);
      expect(await client.call<string[]>('task.get_all'))
        .to.have.lengthOf(200)
        .and.not.include(tasks[0]);
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
    it('takes nothing but the way out, and the old coordinator finds itself a member', async () => {
      const [first, member] = pool.hosts;
      const emergency = new RpcClient(member?.httpUrl ?? '');
      await pool.perform('killHost', { host: 'host-a' });
      const login = { jsonrpc: '2.0', id: 7, method: 'session.login_with_password', params: ['root', 'simulated'] };
      expect(await emergency.post(login)).to.deep.equal({ jsonrpc: '2.0', error: ['HOST_STILL_BOOTING'], id: 0 });
      const local = 'session.slave_local_login_with_password';
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
