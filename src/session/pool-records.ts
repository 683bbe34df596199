import { isRefusal } from '../xapi/task-follower.js';
import { isXapiError } from '../xapi/xapi-error.js';
import {
  fieldsReader,
  isNullRef,
  readRecord,
  type RecordClass,
  type RefOf,
  type XapiRecordTypes,
} from '../xapi/xapi-records.js';
import { type CallOptions, type PoolAndHosts, type PoolMember } from './pool-connection.js';

type Call = (method: string, args: readonly unknown[], options?: CallOptions) => Promise<unknown>;

interface Wanted<Class extends RecordClass> {
  readonly cls: Class;
  readonly ref: RefOf<Class>;
}

interface Seen {
  readonly class: string;
  readonly ref: string;
  readonly snapshot?: unknown;
}

interface Batch {
  readonly events?: readonly Seen[];
}

/** The key in the pool's `other_config` that names the network for bulk data by its UUID; Xen Orchestra's. */
const BACKUP_NETWORK_KEY = 'xo:backupNetwork';

/** A call's body may have 300 KiB; one subscription has about 60 bytes. */
const MAX_SUBSCRIPTIONS = 2000;

/**
 * Reads many records in one round trip: `event.from` with an empty token brings the present state of what it is
 * subscribed to, and with time-out 0 it answers at once (facts 1.6). Where a release refuses that, one call a record.
 */
export class PoolRecords {
  readonly #call: Call;
  #hasObjectEvents = true;

  constructor(call: Call) {
    this.#call = call;
  }

  async records<Class extends RecordClass>(
    wanted: readonly Wanted<Class>[],
    options: CallOptions = {},
  ): Promise<ReadonlyMap<string, XapiRecordTypes[Class]>> {
    const byRef = new Map(wanted.filter(({ ref }) => !isNullRef(ref)).map((one) => [one.ref as string, one]));
    const found = new Map<string, XapiRecordTypes[Class]>();
    const all = [...byRef.values()];
    for (let at = 0; at < all.length && this.#hasObjectEvents; at += MAX_SUBSCRIPTIONS) {
      await this.#byEvents(all.slice(at, at + MAX_SUBSCRIPTIONS), byRef, found, options);
    }
    // None at all may mean a release that takes such subscriptions and then matches nothing.
    if (found.size === 0) await this.#oneByOne(all, found, options);
    return found;
  }

  async record<Class extends RecordClass>(
    cls: Class,
    ref: RefOf<Class>,
    options: CallOptions = {},
  ): Promise<XapiRecordTypes[Class]> {
    return readRecord(cls, await this.#call(`${cls}.get_record`, [ref], options));
  }

  async allRecords<Class extends RecordClass>(
    cls: Class,
    options: CallOptions = {},
  ): Promise<ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]>> {
    return await this.#table(cls, (wire) => readRecord(cls, wire), options);
  }

  async allWithFields<Class extends RecordClass, Field extends keyof XapiRecordTypes[Class]>(
    cls: Class,
    fields: readonly Field[],
    options: CallOptions = {},
  ): Promise<ReadonlyMap<RefOf<Class>, Pick<XapiRecordTypes[Class], Field>>> {
    return await this.#table(cls, fieldsReader(cls, fields), options);
  }

  /** All members, coordinator first. Two calls when backups have a network of their own, else none. */
  async members({ pool, hosts }: PoolAndHosts, options: CallOptions = {}): Promise<readonly PoolMember[]> {
    const master = pool?.master;
    const network = pool?.other_config[BACKUP_NETWORK_KEY];
    const dataAddresses = network === undefined ? undefined : await this.#addressesOn(network, options);
    return [...hosts]
      .sort(([first], [second]) => Number(second === master) - Number(first === master))
      .map(([ref, { uuid, name_label: name, hostname, address }]) => {
        return { uuid, name, hostname, address, dataAddress: dataAddresses?.get(ref) };
      });
  }

  /** Address of each host on a network, by the host's reference. A network that is gone has none. */
  async #addressesOn(uuid: string, options: CallOptions): Promise<ReadonlyMap<string, string>> {
    try {
      const ref = (await this.#call('network.get_by_uuid', [uuid], options)) as RefOf<'network'>;
      const { PIFs: refs } = await this.record('network', ref, options);
      const interfaces = await this.records(
        refs.map((pif) => ({ cls: 'PIF', ref: pif }) as const),
        options,
      );
      const attached = [...interfaces.values()].filter((pif) => pif.currently_attached);
      return new Map(
        attached.flatMap(({ host, IP: ipv4, IPv6: ipv6 }) => {
          const [address = ''] = [ipv4, ...ipv6.map((text) => text.replace(/\/.*$/, ''))].filter((text) => text !== '');
          return address === '' ? [] : [[host, address] as const];
        }),
      );
    } catch (error) {
      if (!isXapiError(error, 'UUID_INVALID', 'HANDLE_INVALID')) throw error;
      return new Map();
    }
  }

  /** In one call, where the release can do that. */
  async poolAndHosts(options: CallOptions = {}): Promise<PoolAndHosts> {
    try {
      const classes = ['pool', 'host', 'host_metrics'];
      const { events = [] } = (await this.#call('event.from', [classes, '', 0], options)) as Batch;
      const hosts = ofClass('host', events);
      const [pool] = ofClass('pool', events).values();
      if (hosts.size > 0) return { pool, hosts, hostMetrics: ofClass('host_metrics', events) };
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    const [pool] = (await this.allRecords('pool', options)).values();
    const hosts = await this.allRecords('host', options);
    return { pool, hosts, hostMetrics: await this.allRecords('host_metrics', options) };
  }

  async #table<Class extends RecordClass, Entry>(
    cls: Class,
    read: (wire: unknown) => Entry,
    options: CallOptions,
  ): Promise<ReadonlyMap<RefOf<Class>, Entry>> {
    const table = (await this.#call(`${cls}.get_all_records`, [], options)) as Readonly<Record<string, unknown>>;
    return new Map(Object.entries(table).map(([ref, wire]) => [ref as RefOf<Class>, read(wire)]));
  }

  async #byEvents<Class extends RecordClass>(
    wanted: readonly Wanted<Class>[],
    byRef: ReadonlyMap<string, Wanted<Class>>,
    found: Map<string, XapiRecordTypes[Class]>,
    options: CallOptions,
  ): Promise<void> {
    try {
      const subscriptions = wanted.map(({ cls, ref }) => `${cls}/${ref}`);
      const { events = [] } = (await this.#call('event.from', [subscriptions, '', 0], options)) as Batch;
      for (const { ref, snapshot } of events) {
        const one = byRef.get(ref);
        if (one !== undefined && snapshot !== undefined) found.set(ref, readRecord(one.cls, snapshot));
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#hasObjectEvents = false;
      found.clear();
    }
  }

  async #oneByOne<Class extends RecordClass>(
    wanted: readonly Wanted<Class>[],
    found: Map<string, XapiRecordTypes[Class]>,
    options: CallOptions,
  ): Promise<void> {
    for (const { cls, ref } of wanted) {
      try {
        found.set(ref, await this.record(cls, ref, options));
      } catch (error) {
        if (!isXapiError(error, 'HANDLE_INVALID')) throw error;
      }
    }
  }
}

function ofClass<Class extends RecordClass>(
  cls: Class,
  events: readonly Seen[],
): ReadonlyMap<RefOf<Class>, XapiRecordTypes[Class]> {
  const seen = events.filter((event) => event.class === cls && event.snapshot !== undefined);
  return new Map(seen.map(({ ref, snapshot }) => [ref as RefOf<Class>, readRecord(cls, snapshot)]));
}
