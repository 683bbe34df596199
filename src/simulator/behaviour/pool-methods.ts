import { type MethodTable } from '../rpc/method.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type SimulatedPool } from '../simulated-pool.js';
import { flagOf, setOf, textOf, wireDate } from '../wire/wire-value.js';
import { updateVdiSpace } from './disks.js';
import { createMessage } from './messages.js';
import { refreshSrSpace } from './sr-space.js';
import { findUnknownDisks, syncDatabase } from './synced-database.js';

/** Storage whose driver can keep what hosts under HA tell each other. */
const CAN_HOLD_STATEFILE = new Set(['lvmoiscsi', 'lvmohba', 'nfs', 'smb']);

/** Calls on storage, hosts, the pool and its messages. */
export const poolMethods: MethodTable = {
  'SR.scan': ({ pool }, args) => {
    const sr = args.text(0);
    const pbds = setOf(pool.store.get('SR', sr), 'PBDs');
    if (!pbds.some((pbd) => flagOf(pool.store.get('PBD', pbd), 'currently_attached'))) {
      throw new SimulatedFailure('SR_NO_PBDS', [sr]);
    }
    findUnknownDisks(pool, sr);
    for (const vdi of setOf(pool.store.get('SR', sr), 'VDIs')) updateVdiSpace(pool, vdi);
    refreshSrSpace(pool, sr);
    return undefined;
  },
  'SR.update': ({ pool }, args) => {
    for (const vdi of setOf(pool.store.get('SR', args.text(0)), 'VDIs')) updateVdiSpace(pool, vdi);
    refreshSrSpace(pool, args.text(0));
    return undefined;
  },
  'SR.create': ({ pool }, args) => {
    const type = args.text(5);
    if (!pool.store.all('SM').some(([, record]) => textOf(record, 'type') === type)) {
      throw new SimulatedFailure('SR_UNKNOWN_DRIVER', [type]);
    }
    const isShared = args.flag(7);
    const sr = pool.store.create('SR', {
      name_label: args.text(3),
      name_description: args.text(4),
      type,
      content_type: args.text(6),
      shared: isShared,
      physical_size: args.number(2),
      sm_config: args.map(8),
    });
    for (const [host] of pool.store.all('host')) {
      if (!isShared && host !== args.text(0)) continue;
      pool.store.create('PBD', { host, SR: sr, device_config: args.map(1), currently_attached: true });
    }
    return sr;
  },
  'SR.destroy': ({ pool }, args) => {
    assertUnplugged(pool, args.text(0));
    pool.store.destroy('SR', args.text(0));
    return undefined;
  },
  'SR.forget': ({ pool }, args) => {
    assertUnplugged(pool, args.text(0));
    pool.store.destroy('SR', args.text(0));
    return undefined;
  },
  'SR.get_supported_types': ({ pool }) => pool.store.all('SM').map(([, record]) => textOf(record, 'type')),

  'host.get_server_certificate': ({ pool }, args) => {
    pool.store.get('host', args.text(0));
    return pool.certificates.get(args.text(0)) ?? '';
  },
  'host.get_servertime': ({ pool }, args) => wireDate(hostTimeMs(pool, args.text(0))),
  'host.get_server_localtime': ({ pool }, args) => wireDate(hostTimeMs(pool, args.text(0))),
  'host.set_https_only': ({ pool }, args) => {
    pool.store.patch('host', args.text(0), { https_only: args.flag(1) });
    return undefined;
  },
  'pool.set_https_only': ({ pool }, args) => {
    for (const [host] of pool.store.all('host')) pool.store.patch('host', host, { https_only: args.flag(1) });
    return undefined;
  },
  'host.enable': ({ pool }, args) => {
    pool.store.patch('host', args.text(0), { enabled: true });
    return undefined;
  },
  'host.disable': ({ pool }, args) => {
    pool.store.patch('host', args.text(0), { enabled: false });
    return undefined;
  },
  'host.call_plugin': (_context, args) => {
    throw new SimulatedFailure('XENAPI_MISSING_PLUGIN', [args.text(1)]);
  },

  'pool.sync_database': ({ pool }) => {
    syncDatabase(pool);
    return undefined;
  },
  'pool.designate_new_master': ({ pool }, args) => {
    pool.store.get('host', args.text(0));
    pool.store.patch('pool', pool.poolEntry[0], { master: args.text(0) });
    return undefined;
  },
  'pool.enable_ha': ({ pool }, args) => {
    const unfit = args.strings(0).find((sr) => !CAN_HOLD_STATEFILE.has(textOf(pool.store.get('SR', sr), 'type')));
    if (unfit !== undefined) throw new SimulatedFailure('SR_OPERATION_NOT_SUPPORTED', [unfit]);
    throw new SimulatedFailure('NOT_IMPLEMENTED', ['pool.enable_ha']);
  },
  'pool.eject': ({ pool }, args) => {
    if (args.text(0) === pool.coordinator) {
      throw new SimulatedFailure('INTERNAL_ERROR', ['Xapi_pool.Cannot_eject_master']);
    }
    throw new SimulatedFailure('NOT_IMPLEMENTED', ['pool.eject']);
  },

  'message.create': ({ pool }, args) => {
    const [name, priority, cls, uuid, body] = [args.text(0), args.number(1), args.text(2), args.text(3), args.text(4)];
    if (cls in CLASS_OF) pool.store.refByUuid(CLASS_OF[cls] ?? cls, uuid);
    return createMessage(pool, { name, priority, cls, obj_uuid: uuid, body });
  },
  'message.destroy': ({ pool }, args) => {
    pool.store.destroy('message', args.text(0));
    return undefined;
  },
  'message.destroy_many': ({ pool }, args) => {
    for (const message of args.strings(0)) pool.store.destroy('message', message);
    return undefined;
  },
  'message.get_all': ({ pool }) => newestFirst(pool.store.all('message')).map(([ref]) => ref),
  'message.get_all_records': ({ pool }) => Object.fromEntries(newestFirst(pool.store.all('message'))),
  'message.get_since': ({ pool }, args) =>
    Object.fromEntries(
      newestFirst(pool.store.all('message')).filter(([, record]) => textOf(record, 'timestamp') > args.text(0)),
    ),
  'message.get': ({ pool }, args) =>
    Object.fromEntries(
      newestFirst(pool.store.all('message')).filter(
        ([, record]) =>
          textOf(record, 'cls') === args.text(0) &&
          textOf(record, 'obj_uuid') === args.text(1) &&
          textOf(record, 'timestamp') > args.text(2),
      ),
    ),
};

/** The class behind the `cls` of a message. */
const CLASS_OF: Readonly<Record<string, string>> = { VM: 'VM', Host: 'host', SR: 'SR', Pool: 'pool', VDI: 'VDI' };

function newestFirst<T>(items: readonly T[]): readonly T[] {
  return [...items].reverse();
}

function assertUnplugged(pool: SimulatedPool, sr: string): void {
  const plugged = setOf(pool.store.get('SR', sr), 'PBDs')[0];
  if (plugged !== undefined) throw new SimulatedFailure('SR_HAS_PBD', [sr]);
}

/** What the clock of a host shows. */
function hostTimeMs(pool: SimulatedPool, host: string): number {
  pool.store.get('host', host);
  return pool.nowMs() + (pool.clockOffsetsMs.get(host) ?? 0);
}
