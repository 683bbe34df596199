import { expect } from 'chai';
import { machineConfiguration } from '../../src/browser/machine-configuration.js';
import { configurationChanges, savedConfiguration } from '../../src/restore/plan-changes.js';
import { readRecord } from '../../src/xapi/xapi-records.js';

const GIB = 1024 ** 3;
const base = {
  name_label: 'web',
  name_description: '',
  tags: ['b', 'a'],
  memory_static_max: 2 * GIB,
  memory_static_min: GIB,
  VCPUs_max: 2,
  VCPUs_at_startup: 2,
  HVM_boot_params: { order: 'cd', firmware: 'bios' },
  platform: { viridian: 'true' },
  NVRAM: {},
  other_config: { owner: 'sales', 'XenCenter.CustomFields.Site': 'Bern', mac_seed: 'x', 'xen-backup:run': 'y' },
};
const configuration = (more: object = {}): ReturnType<typeof machineConfiguration> =>
  machineConfiguration(readRecord('VM', { ...base, ...more }));

describe('configurationChanges', () => {
  const cases: readonly (readonly [what: string, wanted: object, expected: readonly string[]])[] = [
    ['nothing when nothing differs', {}, []],
    ['nothing for tags in another order', { tags: ['a', 'b'] }, []],
    ['nothing for what the pool and this program write', { other_config: { ...base.other_config, mac_seed: 'z' } }, []],
    ['the name', { name_label: 'db' }, ['name: web -> db']],
    [
      'a text that comes and one that goes',
      { name_description: 'new', tags: [] },
      ['description: (none) -> new', 'tags: a, b -> (none)'],
    ],
    ['memory in units', { memory_static_max: 4 * GIB }, ['memory: 2.0 GiB -> 4.0 GiB']],
    ['CPUs', { VCPUs_max: 8, VCPUs_at_startup: 4 }, ['CPUs: 2 -> 8', 'CPUs at start: 2 -> 4']],
    [
      'boot order and firmware',
      { HVM_boot_params: { order: 'n', firmware: 'uefi' } },
      ['boot order: cd -> n', 'firmware: bios -> uefi'],
    ],
    [
      'keys of platform',
      { platform: { viridian: 'false', nx: 'true' } },
      ['platform viridian: true -> false', 'platform nx: (none) -> true'],
    ],
    [
      'a custom field',
      { other_config: { owner: 'sales', 'XenCenter.CustomFields.Site': 'Basel' } },
      ['custom field Site: Bern -> Basel'],
    ],
    ['autostart', { other_config: { ...base.other_config, auto_poweron: 'true' } }, ['autostart: (none) -> true']],
    ['a flag as a word', { is_a_template: true }, ['is a template: no -> yes']],
    ['high availability', { ha_restart_priority: 'restart' }, ['high availability: (none) -> restart']],
  ];
  for (const [what, wanted, expected] of cases) {
    it(`tells ${what}`, () => {
      const changes = configurationChanges(configuration(), configuration(wanted));
      const lines = changes.map((change) => `${change.what}: ${change.from ?? '(none)'} -> ${change.to ?? '(none)'}`);
      expect(lines).to.deep.equal(expected);
    });
  }

  it('shows UEFI variables by length and digest only, and tells when they differ', () => {
    const variables = (text: string): object => ({ NVRAM: { 'EFI-variables': text.repeat(1000) } });
    const same = configurationChanges(configuration(variables('a')), configuration(variables('a')));
    const [change] = configurationChanges(configuration(variables('a')), configuration(variables('b')));
    expect(same).to.deep.equal([]);
    expect(change?.what).to.equal('UEFI EFI-variables');
    expect(change?.to).to.match(/^1000 characters, [0-9a-f]{12}$/);
  });

  it('shows a long text by its beginning', () => {
    const [change] = configurationChanges(configuration(), configuration({ name_description: 'x'.repeat(500) }));
    expect(change?.to).to.match(/^x{71}…$/);
  });
});

describe('savedConfiguration', () => {
  it('takes from a record without configuration what it knows, and the rest from the machine', () => {
    const keptFields = { blocked_operations: {}, ha_restart_priority: '', order: 3, start_delay: 0, shutdown_delay: 0 };
    const saved = savedConfiguration(
      {
        version: 1,
        machine: {
          uuid: '00000000-0000-4000-8000-000000000001',
          name: 'old',
          description: '',
          powerState: 'Halted',
          isTemplate: false,
          memoryBytes: GIB,
          vcpus: 1,
          keptFields,
        },
        disks: [],
        interfaces: [],
        isOfSnapshot: false,
        release: { brand: '', version: '', build: '' },
      },
      configuration(),
    );
    const changed = configurationChanges(configuration(), saved).map(({ what }) => what);
    expect(changed).to.have.members(['name', 'memory', 'CPUs', 'start order']);
  });
});
