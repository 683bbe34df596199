import { resolveHost } from '../browser/pool-source-name.js';
import { BackupError } from '../contract/index.js';
import { type HostRecord, type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';
import { type ChosenNetwork } from './network-map.js';

/** The hosts of a pool as a choice needs them. */
export interface HostSituation {
  readonly hosts: ReadonlyMap<RefOf<'host'>, HostRecord>;
  readonly cards: ReadonlyMap<string, Pick<XapiRecordTypes['PIF'], 'network' | 'host'>>;
}

export interface ChosenHost {
  readonly ref: RefOf<'host'>;
  readonly record: HostRecord;
}

/**
 * The host that a restored machine shall run on, by UUID or name.
 * @throws {BackupError} OBJECT_NOT_FOUND, OBJECT_AMBIGUOUS; REQUEST_INVALID for one that takes no machines now.
 */
export function chooseHost(wanted: string, { hosts }: HostSituation): ChosenHost {
  const { uuid } = resolveHost(wanted, hosts.values());
  const [found] = [...hosts].filter(([, record]) => record.uuid === uuid);
  if (found?.[1].enabled === true) return { ref: found[0], record: found[1] };
  const others = [...hosts.values()]
    .filter(({ enabled }) => enabled)
    .map((host) => `"${host.name_label}" (${host.uuid})`);
  throw new BackupError('REQUEST_INVALID', `The host "${wanted}" takes no machines now: it is disabled.`, {
    hint: 'Take it out of maintenance mode, or name another one.',
    context: { host: uuid, candidates: others },
  });
}

/**
 * A network without any interface of a host is inside the pool and on every host; the others only where they have one.
 * @throws {BackupError} REQUEST_INVALID when the host can't reach a network that the machine needs.
 */
export function assertReaches(
  { ref, record }: ChosenHost,
  networks: Iterable<ChosenNetwork>,
  { cards }: Pick<HostSituation, 'cards'>,
): void {
  const all = [...cards.values()];
  const isMissing = (network: ChosenNetwork): boolean => {
    const its = all.filter((card) => card.network === network.ref);
    return its.length > 0 && its.every((card) => card.host !== ref);
  };
  const names = [...new Set([...networks].filter(isMissing).map((network) => `"${network.record.name_label}"`))];
  if (names.length === 0) return;
  throw new BackupError('REQUEST_INVALID', `The host "${record.name_label}" has no interface in ${names.join(', ')}.`, {
    hint: 'Map the network to another one (network.<from>=<to>), or name another host.',
    context: { host: record.uuid, networks: names },
  });
}
