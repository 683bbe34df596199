import { type MessageModel } from '../datamodel/datamodel.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { setOf, textOf } from '../wire/wire-value.js';
import { type Arguments } from './method.js';

/** Calls on a VM that the coordinator has the host do where the VM runs. */
const WHERE_THE_VM_RUNS = new Set([
  'clean_shutdown',
  'hard_shutdown',
  'shutdown',
  'clean_reboot',
  'hard_reboot',
  'suspend',
  'pause',
  'unpause',
  'checkpoint',
  'snapshot_with_quiesce',
  'pool_migrate',
]);
/** Calls that name the host to do it as their second argument. */
const ON_A_HOST = new Set(['start_on', 'resume_on', 'pool_migrate']);
/** Calls on a host that need it. The others only read or write the database. */
const AT_THE_HOST = new Set([
  'get_server_certificate',
  'get_servertime',
  'get_server_localtime',
  'reboot',
  'call_plugin',
]);

/** Throws HOST_OFFLINE [host] for a call that needs a host which is down. */
export function assertReachable(pool: SimulatedPool, message: MessageModel, args: Arguments): void {
  if (pool.downHosts.size === 0) return;
  const needed = neededHosts(pool, message, args);
  const [first] = needed;
  if (first !== undefined && needed.every((host) => pool.downHosts.has(host))) {
    throw new SimulatedFailure('HOST_OFFLINE', [first]);
  }
}

/** Any of these will do; none: no host is needed. */
function neededHosts(pool: SimulatedPool, { cls, verb, isImplicit }: MessageModel, args: Arguments): readonly string[] {
  const { store } = pool;
  switch (cls) {
    case 'VM': {
      if (ON_A_HOST.has(verb) && pool.downHosts.has(args.text(1))) return [args.text(1)];
      const resident = textOf(store.find('VM', args.text(0)) ?? {}, 'resident_on');
      return WHERE_THE_VM_RUNS.has(verb) && store.has('host', resident) ? [resident] : [];
    }
    case 'VDI':
      if (isImplicit && verb !== 'create') return [];
      return hostsOf(pool, textOf(store.find('VDI', args.text(0)) ?? args.map(0), 'SR'));
    case 'SR':
      return verb === 'scan' || verb === 'update' ? hostsOf(pool, args.text(0)) : [];
    case 'host':
      return AT_THE_HOST.has(verb) && store.has('host', args.text(0)) ? [args.text(0)] : [];
    default:
      return [];
  }
}

function hostsOf(pool: SimulatedPool, sr: string): readonly string[] {
  return setOf(pool.store.find('SR', sr) ?? {}, 'PBDs').map((pbd) => textOf(pool.store.get('PBD', pbd), 'host'));
}
