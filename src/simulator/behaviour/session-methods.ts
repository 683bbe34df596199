import { type CallContext, type MethodTable } from '../rpc/method.js';
import { eventFrom, injectEvent } from '../rpc/event-from.js';
import { eventNext, registerForEvents, unregisterForEvents } from '../rpc/event-next.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { mapOf, setOf, textOf } from '../wire/wire-value.js';

export const sessionMethods: MethodTable = {
  'session.login_with_password': (context, args) => login(context, args.text(0), args.text(1), args.text(3), false),
  'session.slave_local_login_with_password': (context, args) => login(context, args.text(0), args.text(1), '', true),
  'session.logout': ({ pool, session }) => {
    pool.sessions.end(session);
    return undefined;
  },
  'session.local_logout': ({ pool, session }) => {
    pool.sessions.end(session);
    return undefined;
  },
  'session.change_password': ({ pool }, args) => {
    const { username, password } = pool.sessions.credentials;
    if (args.text(0) !== password) {
      throw new SimulatedFailure('SESSION_AUTHENTICATION_FAILED', [username, 'Authentication failure']);
    }
    pool.sessions.credentials = { username, password: args.text(1) };
    return undefined;
  },
  'session.get_all_subject_identifiers': () => [],

  'event.from': (context, args) => eventFrom(context, args.strings(0), args.text(1), args.number(2)),
  'event.inject': ({ pool }, args) => injectEvent(pool, args.text(0), args.text(1)),
  'event.get_current_id': ({ pool }) => pool.store.generation,
  'event.register': (context, args) => {
    registerForEvents(context, args.strings(0));
  },
  'event.unregister': (context, args) => {
    unregisterForEvents(context, args.strings(0));
  },
  'event.next': eventNext,
};

const DESTROY_KEY = 'task';

export const taskMethods: MethodTable = {
  'task.create': ({ pool, session, host }, args) =>
    pool.tasks.create({ label: args.text(0), description: args.text(1), session, host }),
  'task.cancel': ({ pool, task }, args) => {
    pool.tasks.cancel(args.text(0), task);
    return undefined;
  },
  'task.destroy': ({ pool }, args) => {
    const ref = args.text(0);
    const record = pool.store.get('task', ref);
    if (textOf(record, 'status') !== 'pending') {
      for (const subtask of setOf(record, 'subtasks')) {
        if (pool.store.has('task', subtask)) pool.store.destroy('task', subtask);
      }
      pool.store.destroy('task', ref);
      return undefined;
    }
    // The key is this very word, whoever asks: a second wish is one too many.
    const current = mapOf(record, 'current_operations');
    if (DESTROY_KEY in current) {
      throw new SimulatedFailure('MAP_DUPLICATE_KEY', ['task', 'current_operations', ref, DESTROY_KEY]);
    }
    pool.store.patch('task', ref, { current_operations: { ...current, [DESTROY_KEY]: 'destroy' } });
    return undefined;
  },
  'task.set_progress': ({ pool }, args) => {
    pool.store.patch('task', args.text(0), { progress: args.number(1) });
    return undefined;
  },
  'task.set_status': ({ pool }, args) => {
    pool.tasks.setStatus(args.text(0), args.text(1));
    return undefined;
  },
};

async function login(
  { pool, host, signal }: CallContext,
  username: string,
  password: string,
  originator: string,
  isLocal: boolean,
): Promise<string> {
  try {
    return pool.sessions.login(username, password, originator, host, isLocal);
  } catch (thrown) {
    await pool.clock.sleep(pool.loginDelayMs, signal);
    throw thrown;
  }
}
