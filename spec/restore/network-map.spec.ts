import { expect } from 'chai';
import { isBackupError } from '../../src/contract/index.js';
import { type MachineDetailsInterface } from '../../src/format/machine-details.js';
import { type NetworkRule, type NetworkSituation, planNetworks } from '../../src/restore/network-map.js';
import { readRecord, type RefOf } from '../../src/xapi/xapi-records.js';

const uuid = (number: number): string => `00000000-0000-4000-8000-00000000000${number}`;
const ref = (name: string): RefOf<'network'> => `OpaqueRef:${name}` as RefOf<'network'>;

const situation: NetworkSituation = {
  networks: new Map(
    (
      [
        ['prod', 1, 'Production'],
        ['lab', 2, 'Lab'],
        ['twin-a', 3, 'twin'],
        ['twin-b', 4, 'twin'],
        ['hundred', 5, '100'],
      ] as const
    ).map(([name, number, label]) => [ref(name), readRecord('network', { uuid: uuid(number), name_label: label })]),
  ),
  cards: new Map([
    ['a', { network: ref('lab'), VLAN: 42 }],
    ['b', { network: ref('lab'), VLAN: 42 }],
    ['c', { network: ref('prod'), VLAN: -1 }],
    ['d', { network: ref('twin-a'), VLAN: 100 }],
    ['e', { network: ref('twin-a'), VLAN: 7 }],
    ['f', { network: ref('twin-b'), VLAN: 7 }],
  ]),
};

const saved = (position: string, networkId: string, networkName: string, vlan?: number): MachineDetailsInterface => ({
  position,
  networkId,
  networkName,
  mac: '02:00:00:00:00:01',
  mtu: 1500,
  ...(vlan === undefined ? {} : { vlan }),
});
const here = saved('0', uuid(1), 'Production', 12);
const gone = saved('1', uuid(9), 'Elsewhere', 13);

const planned = (interfaces: readonly MachineDetailsInterface[], rules: readonly NetworkRule[]): unknown =>
  Object.fromEntries(
    [...planNetworks(interfaces, rules, situation)].map(([position, chosen]) => [position, chosen.ref]),
  );

describe('planNetworks', () => {
  const cases: readonly (readonly [
    what: string,
    interfaces: readonly MachineDetailsInterface[],
    rules: readonly (readonly [from: string, to: string])[],
    expected: Readonly<Record<string, string>>,
  ])[] = [
    ['keeps a network that is still there, by its UUID', [here], [], { 0: ref('prod') }],
    ['finds it under another name', [saved('0', uuid(2), 'Old name')], [], { 0: ref('lab') }],
    ['finds one of the same name in another pool', [saved('0', uuid(9), 'Lab')], [], { 0: ref('lab') }],
    ['leaves out what the pool does not have', [here, gone], [], { 0: ref('prod') }],
    ['maps by name to a name', [here], [['Production', 'Lab']], { 0: ref('lab') }],
    ['maps by UUID to a UUID', [here], [[uuid(1), uuid(2)]], { 0: ref('lab') }],
    ['takes a UUID in capitals', [here], [[uuid(1).toUpperCase(), uuid(2).toUpperCase()]], { 0: ref('lab') }],
    ['maps by VLAN to a VLAN', [here, gone], [['vlan:13', 'VLAN 42']], { 0: ref('prod'), 1: ref('lab') }],
    ['takes a bare number as a VLAN', [gone], [['13', '42']], { 1: ref('lab') }],
    ['prefers a name that looks like a number', [here], [['Production', '100']], { 0: ref('hundred') }],
    [
      'maps every interface of the network',
      [here, saved('1', uuid(1), 'Production')],
      [['Production', 'Lab']],
      { 0: ref('lab'), 1: ref('lab') },
    ],
    [
      'maps two networks to one',
      [here, gone],
      [
        ['Production', 'Lab'],
        ['Elsewhere', 'Lab'],
      ],
      { 0: ref('lab'), 1: ref('lab') },
    ],
    [
      'bears the same rule said twice',
      [here],
      [
        ['Production', 'Lab'],
        [uuid(1), uuid(2)],
      ],
      { 0: ref('lab') },
    ],
    ['settles an ambiguous name by a rule', [saved('0', uuid(9), 'twin')], [['twin', uuid(4)]], { 0: ref('twin-b') }],
  ];
  for (const [what, interfaces, rules, expected] of cases) {
    it(what, () => {
      const list = rules.map(([from, to]) => ({ from, to }));
      expect(planned(interfaces, list)).to.deep.equal(expected);
    });
  }

  const refusals: readonly (readonly [
    what: string,
    interfaces: readonly MachineDetailsInterface[],
    rules: readonly (readonly [from: string, to: string])[],
    code: string,
    says: RegExp,
  ])[] = [
    [
      'an unknown target',
      [here],
      [['Production', 'nowhere']],
      'OBJECT_NOT_FOUND',
      /no network "nowhere".*"Lab" \(.*VLAN 42\)/,
    ],
    ['an unknown VLAN', [here], [['Production', 'vlan:9']], 'OBJECT_NOT_FOUND', /no network "vlan:9"/],
    ['a target of several', [here], [['Production', 'twin']], 'OBJECT_AMBIGUOUS', /"twin".*0003.*0004/],
    ['a VLAN of several', [here], [['Production', '7']], 'OBJECT_AMBIGUOUS', /0003.*0004/],
    [
      'a network that the backup does not have',
      [here],
      [['Lab', 'Lab']],
      'REQUEST_INVALID',
      /in a network "Lab".*Map one of: "Production"/,
    ],
    ['a map for a machine without interfaces', [], [['Lab', 'Lab']], 'REQUEST_INVALID', /leave the map out/],
    [
      'a name of two saved networks',
      [gone, saved('2', uuid(8), 'Elsewhere')],
      [['Elsewhere', 'Lab']],
      'OBJECT_AMBIGUOUS',
      /fits 2 networks of the backup/,
    ],
    [
      'rules that contradict each other',
      [here],
      [
        ['Production', 'Lab'],
        [uuid(1), '100'],
      ],
      'REQUEST_INVALID',
      /mapped to both "Lab" and "100"/,
    ],
    [
      'a saved name that fits two networks here',
      [saved('0', uuid(9), 'twin')],
      [],
      'OBJECT_AMBIGUOUS',
      /network\.0.*=<UUID>.*0003/,
    ],
  ];
  for (const [what, interfaces, rules, code, says] of refusals) {
    it(`refuses ${what}`, () => {
      try {
        planned(
          interfaces,
          rules.map(([from, to]) => ({ from, to })),
        );
      } catch (error) {
        if (!isBackupError(error)) throw error;
        expect(error.code).to.equal(code);
        expect([error.message, error.hint, ...((error.context.candidates ?? []) as string[])].join(' ')).to.match(says);
        return;
      }
      expect.fail('it was taken');
    });
  }
});
