import { expect } from 'chai';
import { type DeviceState, type InterfaceState, type MachineState } from '../../src/restore/machine-state.js';
import { type StateStep, stepsBetween } from '../../src/restore/state-steps.js';

const device = (position: string, mediumUuid: string, more: Partial<DeviceState> = {}): DeviceState => ({
  position,
  type: 'Disk',
  mode: 'RW',
  isBootable: position === '0',
  isUnpluggable: true,
  mediumUuid,
  otherConfig: {},
  qosType: '',
  qosParams: {},
  ...more,
});
const vif = (position: string, mac: string): InterfaceState => ({
  position,
  mac,
  network: 'OpaqueRef:net',
  mtu: 1500,
  otherConfig: {},
  lockingMode: 'network_default',
  ipv4Allowed: [],
  ipv6Allowed: [],
  qosType: '',
  qosParams: {},
});
const state = (more: Partial<MachineState> = {}): MachineState => ({
  fields: { name_label: 'web', tags: ['a', 'b'], platform: { acpi: '1' } },
  memory: [1, 4, 2, 3],
  vcpus: { max: 4, atStartup: 2 },
  otherConfig: { owner: 'sales' },
  devices: [device('0', 'old-0')],
  interfaces: [vif('0', 'aa')],
  ...more,
});
const words = (steps: readonly StateStep[]): string[] =>
  steps.map((step) => {
    switch (step.action) {
      case 'call':
        return `${step.method}(${JSON.stringify(step.args)})`;
      case 'add-device':
        return `add ${step.device.position}=${step.device.mediumUuid}`;
      case 'add-interface':
        return `plug ${step.networkInterface.position}=${step.networkInterface.mac}`;
      case 'remove-device':
        return `remove ${step.position}`;
      case 'remove-interface':
        return `unplug ${step.position}`;
    }
  });

describe('stepsBetween', () => {
  const cases: readonly (readonly [what: string, wanted: Partial<MachineState>, steps: readonly string[]])[] = [
    ['nothing when nothing differs', {}, []],
    ['nothing for sets in another order', { fields: { tags: ['b', 'a'] } }, []],
    ['only fields that are named', { fields: { name_label: 'db' } }, ['VM.set_name_label(["db"])']],
    ['a disk in its place', { devices: [device('0', 'new-0')] }, ['remove 0', 'add 0=new-0']],
    [
      'a disk more and a disk less, each place emptied before it is filled',
      { devices: [device('0', 'new-0'), device('2', 'new-2')] },
      ['remove 0', 'add 0=new-0', 'add 2=new-2'],
    ],
    ['a disk that the backup did not have', { devices: [] }, ['remove 0']],
    ['another mode of the same disk', { devices: [device('0', 'old-0', { mode: 'RO' })] }, ['remove 0', 'add 0=old-0']],
    ['an interface with its MAC', { interfaces: [vif('0', 'bb')] }, ['unplug 0', 'plug 0=bb']],
    ['memory as one call', { memory: [1, 8, 2, 3] }, ['VM.set_memory_limits([1,8,2,3])']],
    [
      'more CPUs: the maximum first',
      { vcpus: { max: 8, atStartup: 8 } },
      ['VM.set_VCPUs_max([8])', 'VM.set_VCPUs_at_startup([8])'],
    ],
    [
      'fewer CPUs: the maximum last',
      { vcpus: { max: 1, atStartup: 1 } },
      ['VM.set_VCPUs_at_startup([1])', 'VM.set_VCPUs_max([1])'],
    ],
    [
      'single keys of other_config, never the whole map',
      { otherConfig: { owner: 'it', extra: 'x' } },
      [
        'VM.remove_from_other_config(["owner"])',
        'VM.add_to_other_config(["owner","it"])',
        'VM.add_to_other_config(["extra","x"])',
      ],
    ],
    ['keys to go', { otherConfig: {} }, ['VM.remove_from_other_config(["owner"])']],
  ];
  for (const [what, wanted, expected] of cases) {
    it(`gives ${what}`, () => {
      expect(words(stepsBetween(state(), state(wanted)))).to.deep.equal(expected);
    });
  }
});
