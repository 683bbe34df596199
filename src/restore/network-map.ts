import { isUuid } from '../browser/source-name.js';
import { BackupError } from '../contract/index.js';
import { type MachineDetailsInterface } from '../format/machine-details.js';
import { type NetworkRecord, type RefOf, type XapiRecordTypes } from '../xapi/xapi-records.js';

/** `network.<from>=<to>`: interfaces saved in one network go to another. Both by UUID, name or VLAN tag. */
export interface NetworkRule {
  readonly from: string;
  readonly to: string;
}

/** The networks of a pool as a choice needs them. */
export interface NetworkSituation {
  readonly networks: ReadonlyMap<RefOf<'network'>, NetworkRecord>;
  /** The PIFs of all hosts: they know the VLAN tags. */
  readonly cards: ReadonlyMap<string, Pick<XapiRecordTypes['PIF'], 'network' | 'VLAN'>>;
}

export interface ChosenNetwork {
  readonly ref: RefOf<'network'>;
  readonly record: NetworkRecord;
}

/**
 * The network of each saved interface, by its position; a position is absent when no rule names its network and the
 * pool has none of that UUID or name.
 * @throws {BackupError} REQUEST_INVALID for a rule that fits no interface and for rules that contradict each other,
 *   OBJECT_NOT_FOUND and OBJECT_AMBIGUOUS for networks, with the candidates.
 */
export function planNetworks(
  interfaces: readonly MachineDetailsInterface[],
  rules: readonly NetworkRule[],
  situation: NetworkSituation,
): ReadonlyMap<string, ChosenNetwork> {
  const ruled = new Map<string, ChosenNetwork & { readonly rule: NetworkRule }>();
  for (const rule of rules) {
    const chosen = namedNetwork(rule.to, situation);
    for (const { position, networkName } of fittingInterfaces(rule, interfaces)) {
      const earlier = ruled.get(position);
      if (earlier !== undefined && earlier.ref !== chosen.ref) {
        throw new BackupError(
          'REQUEST_INVALID',
          `The network "${networkName}" is mapped to both "${earlier.rule.to}" and "${rule.to}".`,
          { hint: 'Name each network of the backup once.' },
        );
      }
      ruled.set(position, { ...chosen, rule });
    }
  }
  const found = new Map<string, ChosenNetwork>();
  for (const saved of interfaces) {
    const chosen = ruled.get(saved.position) ?? sameNetwork(saved, situation);
    if (chosen !== undefined) found.set(saved.position, { ref: chosen.ref, record: chosen.record });
  }
  return found;
}

/** The saved interfaces that a rule is about. */
function fittingInterfaces(
  { from }: NetworkRule,
  interfaces: readonly MachineDetailsInterface[],
): readonly MachineDetailsInterface[] {
  const wanted = from.toLowerCase();
  const byUuid = interfaces.filter(({ networkId }) => networkId.toLowerCase() === wanted);
  const byName = interfaces.filter(({ networkName }) => networkName === from);
  const tag = vlanTag(from);
  const byVlan = interfaces.filter(({ vlan }) => vlan !== undefined && vlan === tag);
  const fitting = [byUuid, byName, byVlan].find((some) => some.length > 0) ?? [];
  const networks = new Map(fitting.map((saved) => [saved.networkId, describeSaved(saved)]));
  if (networks.size > 1) {
    throw new BackupError('OBJECT_AMBIGUOUS', `"${from}" fits ${networks.size} networks of the backup.`, {
      hint: 'Name the network by its UUID.',
      context: { network: from, candidates: [...networks.values()] },
    });
  }
  if (fitting.length > 0) return fitting;
  const candidates = [...new Set(interfaces.map(describeSaved))];
  throw new BackupError('REQUEST_INVALID', `No interface of the backup is in a network "${from}".`, {
    hint:
      candidates.length === 0
        ? 'The backup has no network interfaces; leave the map out.'
        : `Map one of: ${candidates.join(', ')}.`,
    context: { network: from },
  });
}

/** The network of the pool that a rule's target names. */
function namedNetwork(to: string, situation: NetworkSituation): ChosenNetwork {
  const all = [...situation.networks].map(([ref, record]) => ({ ref, record }));
  const byUuid = isUuid(to) ? all.filter(({ record }) => record.uuid === to.toLowerCase()) : [];
  const byName = all.filter(({ record }) => record.name_label === to);
  const tag = vlanTag(to);
  const byVlan = tag === undefined ? [] : all.filter(({ ref }) => tagsOf(ref, situation).has(tag));
  const fitting = [byUuid, byName, byVlan].find((some) => some.length > 0) ?? [];
  const [first, second] = fitting;
  if (first === undefined) {
    const candidates = all.map((network) => describe(network, situation));
    throw new BackupError('OBJECT_NOT_FOUND', `The pool has no network "${to}".`, {
      hint: 'Name a network of the pool by UUID, name or VLAN tag.',
      context: { network: to, candidates },
    });
  }
  if (second !== undefined) throw ambiguous(to, fitting, situation);
  return first;
}

/** The network that is still the saved one: the same UUID, or else the only one of the same name. */
function sameNetwork(saved: MachineDetailsInterface, situation: NetworkSituation): ChosenNetwork | undefined {
  const all = [...situation.networks].map(([ref, record]) => ({ ref, record }));
  const byUuid = all.find(({ record }) => record.uuid === saved.networkId);
  if (byUuid !== undefined) return byUuid;
  const byName = all.filter(({ record }) => record.name_label === saved.networkName);
  if (byName.length > 1) throw ambiguous(saved.networkName, byName, situation, saved);
  return byName[0];
}

function ambiguous(
  name: string,
  fitting: readonly ChosenNetwork[],
  situation: NetworkSituation,
  saved?: MachineDetailsInterface,
): BackupError {
  const hint =
    saved === undefined
      ? 'Name the network by its UUID.'
      : `Say which one is meant for interface ${saved.position}: network.${saved.networkId}=<UUID>.`;
  return new BackupError('OBJECT_AMBIGUOUS', `${fitting.length} networks of the pool fit "${name}".`, {
    hint,
    context: { network: name, candidates: fitting.map((network) => describe(network, situation)) },
  });
}

/** `vlan:100`, `VLAN 100` or `100`. */
function vlanTag(text: string): number | undefined {
  const digits = /^(?:vlan[: -]?)?(\d{1,4})$/i.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function tagsOf(ref: RefOf<'network'>, { cards }: NetworkSituation): ReadonlySet<number> {
  return new Set(
    [...cards.values()].filter(({ network, VLAN }) => network === ref && VLAN >= 0).map(({ VLAN }) => VLAN),
  );
}

function describe({ ref, record }: ChosenNetwork, situation: NetworkSituation): string {
  const tags = [...tagsOf(ref, situation)].map((tag) => `, VLAN ${tag}`).join('');
  return `"${record.name_label}" (${record.uuid}${tags})`;
}

function describeSaved({ networkId, networkName, vlan }: MachineDetailsInterface): string {
  return `"${networkName}" (${networkId}${vlan === undefined ? '' : `, VLAN ${vlan}`})`;
}
