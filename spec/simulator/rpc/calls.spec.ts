import { expect } from 'chai';
import { type RunningPool } from '../../../src/simulator/index.js';
import { type Json, named, RpcClient, startWithClient } from '../support/rpc-client.js';

interface Batch {
  readonly token: string;
  readonly valid_ref_counts: Readonly<Record<string, number>>;
  readonly events: readonly {
    readonly class: string;
    readonly operation: string;
    readonly ref: string;
    readonly snapshot?: Json;
  }[];
}

describe('calls', () => {
  let pool: RunningPool;
  let client: RpcClient;
  let vm: string;

  beforeEach(async () => {
    ({ pool, client } = await startWithClient());
    vm = await named(client, 'VM', 'db-01');
  });
  afterEach(() => pool.close());

  describe('errors', () => {
    it('are those of XAPI 24.19.2, code and parameters', async () => {
      const bogus = 'OpaqueRef:bogus';
      const expectations: readonly (readonly [readonly string[], string, ...unknown[]])[] = [
        [['HANDLE_INVALID', 'VM', bogus], 'VM.get_record', bogus],
        [
          ['UUID_INVALID', 'VM', '00000000-0000-0000-0000-000000000000'],
          'VM.get_by_uuid',
          '00000000-0000-0000-0000-000000000000',
        ],
        [['MESSAGE_METHOD_UNKNOWN', 'VM.nosuch'], 'VM.nosuch'],
        [['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.start', '3', '1'], 'VM.start', vm],
        [['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.get_record', '1', '2'], 'VM.get_record', vm, 'x'],
        [['INTERNAL_ERROR', 'Failure("Expected bool, got \'S(yes)\'")'], 'VM.set_is_a_template', vm, 'yes'],
        [['INTERNAL_ERROR', 'Failure("Int64.of_string")'], 'VM.set_VCPUs_max', vm, 'x'],
        [['INTERNAL_ERROR', 'Failure("Unknown tag/contents")'], 'VM.set_actions_after_shutdown', vm, 'nonsense'],
        [['Fault', 'No async mode for this operation (rpc: VM.get_record)'], 'Async.VM.get_record', vm],
        [['MESSAGE_REMOVED'], 'VMPP.get_all_records'],
        [['EVENT_FROM_TOKEN_PARSE_FAILURE', 'zzz'], 'event.from', ['vm'], 'zzz', 1],
        [['INVALID_VALUE', 'nonsense', 'Failure("lexing: empty token")'], 'VM.get_all_records_where', 'nonsense'],
      ];
      for (const [error, method, ...params] of expectations) {
        expect(await client.error(method, ...params), method).to.deep.equal(error);
      }
    });

    it('tell a key that is there already, and let an absent one be removed', async () => {
      await client.call('VM.add_to_other_config', vm, 'k', 'v');
      expect(await client.error('VM.add_to_other_config', vm, 'k', 'w')).to.deep.equal([
        'MAP_DUPLICATE_KEY',
        'VM',
        'other_config',
        vm,
        'k',
      ]);
      expect(await client.call('VM.remove_from_other_config', vm, 'never there')).to.equal('');
    });

    it('name a bad session before an unknown method', async () => {
      client.session = 'OpaqueRef:none';
      expect(await client.error('VM.nosuch')).to.deep.equal(['SESSION_INVALID', 'OpaqueRef:none']);
    });

    it('count the parameters of an object as none', async () => {
      const answer = await client.post({ jsonrpc: '2.0', id: 1, method: 'VM.get_name_label', params: { self: vm } });
      expect(answer.error).to.have.property('message');
    });

    it('name a constructor field that is missing', async () => {
      const [code, text] = await client.error('VM.create', { name_label: 'x' });
      expect([code, text]).to.deep.equal(['INTERNAL_ERROR', 'Server_helpers.Dispatcher_FieldNotFound("user_version")']);
    });
  });

  describe('sessions', () => {
    it('refuse a wrong password with user and reason', async () => {
      const answer = await client.post({
        jsonrpc: '2.0',
        id: 1,
        method: 'session.login_with_password',
        params: ['root', 'no'],
      });
      expect(answer.error).to.deep.equal({
        code: 1,
        message: 'SESSION_AUTHENTICATION_FAILED',
        data: ['root', 'Authentication failure'],
      });
    });

    it('end with logout, and every one of them when they expire', async () => {
      const other = await new RpcClient(pool.httpUrl).login(pool);
      await other.call('session.logout');
      expect(await other.error('VM.get_all')).to.deep.equal(['SESSION_INVALID', other.session]);
      pool.expireSessions();
      expect(await client.error('VM.get_all')).to.deep.equal(['SESSION_INVALID', client.session]);
    });
  });

  describe('a member', () => {
    it('sends logins and calls to the coordinator, wherever that is now', async () => {
      const [first, second] = pool.hosts;
      const member = new RpcClient(second?.httpUrl ?? '');
      member.session = client.session;
      const slave = ['HOST_IS_SLAVE', first?.address];
      expect(await member.error('VM.get_all')).to.deep.equal(slave);
      expect(await member.error('VM.nosuch')).to.deep.equal(slave);
      const login = await member.post({
        jsonrpc: '2.0',
        id: 1,
        method: 'session.login_with_password',
        params: ['root', 'wrong'],
      });
      expect(login.error).to.deep.include({ message: 'HOST_IS_SLAVE', data: [first?.address] });

      pool.makeCoordinator(second?.uuid ?? '');
      expect(await member.call('VM.get_name_label', vm)).to.equal('db-01');
      expect(await client.error('VM.get_all')).to.deep.equal(['HOST_IS_SLAVE', second?.address]);
    });

    it('gives a local session that reads through it', async () => {
      const member = new RpcClient(pool.hosts[1]?.httpUrl ?? '');
      member.session = (await member.raw('session.slave_local_login_with_password', [
        pool.username,
        pool.password,
      ])) as string;
      expect(await member.call('VM.get_name_label', vm)).to.equal('db-01');
    });
  });

  describe('tasks', () => {
    it('tell the end of an asynchronous call with the result as XML', async () => {
      const task = await client.call<string>('Async.VM.clone', vm, 'db-02');
      const end = await client.taskEnd(task);
      const clone = await named(client, 'VM', 'db-02');
      expect(end).to.deep.include({
        name_label: 'Async.VM.clone',
        status: 'success',
        progress: 1,
        result: `<value>${clone}</value>`,
      });
    });

    it('carry the failure of the work', async () => {
      const end = await client.taskEnd(await client.call<string>('Async.VM.unpause', vm));
      expect(end).to.deep.include({
        status: 'failure',
        progress: 1,
        error_info: ['VM_BAD_POWER_STATE', vm, 'paused', 'halted'],
      });
    });

    it('of a client are its own: pending until it says otherwise, and only then destroyed', async () => {
      const task = await client.call<string>('task.create', 'mine', 'for a spec');
      expect(await client.call('task.destroy', task)).to.equal('');
      expect((await client.error('task.destroy', task))[0]).to.equal('MAP_DUPLICATE_KEY');
      await client.call('task.set_status', task, 'success');
      await client.call('task.destroy', task);
      expect(await client.error('task.get_record', task)).to.deep.equal(['HANDLE_INVALID', 'task', task]);
    });
  });

  describe('event.from', () => {
    it('gives all there is first, then only what changed, merged', async () => {
      const first = await client.call<Batch>('event.from', ['VM'], '', 1);
      expect(first.events.length).to.equal(first.valid_ref_counts.vm);
      expect(first.events.every(({ operation }) => operation === 'add')).to.equal(true);

      await client.call('VM.set_name_description', vm, 'one');
      await client.call('VM.set_name_description', vm, 'two');
      const second = await client.call<Batch>('event.from', ['vm'], first.token, 5);
      expect(
        second.events.map(({ operation, ref, snapshot }) => [operation, ref, snapshot?.name_description]),
      ).to.deep.equal([['mod', vm, 'two']]);

      await client.call('VM.set_name_description', vm, 'two');
      const third = await client.call<Batch>('event.from', ['vm'], second.token, 0);
      expect(third).to.deep.include({ events: [], token: second.token });
    });

    it('tells what was deleted, but nothing that came and went unseen', async () => {
      const { token } = await client.call<Batch>('event.from', ['vm'], '', 1);
      const passing = await client.call<string>('VM.clone', vm, 'passing');
      await client.call('VM.destroy', passing);
      const twin = (await client.call<string[]>('VM.get_by_name_label', 'twin'))[0];
      await client.call('VM.destroy', twin);
      const { events } = await client.call<Batch>('event.from', ['vm'], token, 5);
      expect(events.some(({ ref }) => ref === passing)).to.equal(false);
      const deleted = events.filter(({ operation }) => operation === 'del');
      expect(deleted.map(({ ref }) => ref)).to.deep.equal([twin]);
      expect(deleted[0]).not.to.have.property('snapshot');
    });

    it('waits for a change of the one object it was asked about', async () => {
      const { token } = await client.call<Batch>('event.from', [`vm/${vm}`], '', 1);
      const waiting = client.call<Batch>('event.from', [`vm/${vm}`], token, 10);
      const other = await new RpcClient(pool.httpUrl).login(pool);
      await other.call('VM.add_tags', await named(other, 'VM', 'gold'), 'unseen');
      await other.call('VM.add_tags', vm, 'seen');
      const { events } = await waiting;
      expect(events.map(({ ref, snapshot }) => [ref, snapshot?.tags])).to.deep.equal([[vm, ['production', 'seen']]]);
    });

    it('brings back an injected event from the token of the injection', async () => {
      const token = await client.call<string>('event.inject', 'VM', vm);
      const { events } = await client.call<Batch>('event.from', ['vm'], token, 1);
      expect(events.map(({ ref }) => ref)).to.deep.equal([vm]);
      expect(await client.error('event.inject', 'vm', vm)).to.deep.equal(['HANDLE_INVALID', 'vm', vm]);
    });

    it('ends with the session', async () => {
      const { token } = await client.call<Batch>('event.from', ['vm'], '', 1);
      const waiting = client.error('event.from', ['vm'], token, 30);
      const other = new RpcClient(pool.httpUrl);
      other.session = client.session;
      await other.call('session.logout');
      expect(await waiting).to.deep.equal(['SESSION_INVALID', client.session]);
    });
  });
});
