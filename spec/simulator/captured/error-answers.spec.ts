import { expect } from 'chai';
import { setOf, textOf } from '../../../src/simulator/wire/wire-value.js';
import { capturedJson } from './captured-fixtures.js';
import { type CapturedWorld, startCapturedWorld } from './captured-world.js';
import { Comparison } from './comparison.js';
import { surprisesIn } from './known-differences.js';

interface CapturedCase {
  readonly case: string;
  readonly r: { readonly error?: readonly string[]; readonly ok?: string };
}

/** A call without its session. */
type Call = readonly [method: string, ...params: readonly unknown[]];

const VM = 'OpaqueRef:3ae683d7-d4f0-3ddd-5c4f-de2c0f03a98b';
const VM_UUID = '84053236-bd31-61c1-50fa-21d50ed96879';
const VDI = 'OpaqueRef:d4bb4186-de50-3a83-2a98-f165b291633f';
/** A disk of the halted VM. */
const FREE_VDI = 'OpaqueRef:863ac9b8-939f-1471-ba0b-90aa56909947';
const VDI_UUID = '0305a3c9-f441-4865-8724-78f0f9d537ce';
const SR = 'OpaqueRef:e7db2765-b6f1-7d9f-78b7-329d62bd5a7e';
const NETWORK = 'OpaqueRef:00000000-0000-0000-0000-00000000beef';
const ZERO_UUID = '00000000-0000-0000-0000-000000000000';

const VIF = {
  VM,
  network: NETWORK,
  device: '0',
  MAC: '',
  MTU: '1500',
  other_config: {},
  qos_algorithm_type: '',
  qos_algorithm_params: {},
};
const VBD = {
  VM,
  VDI,
  userdevice: '0',
  bootable: false,
  mode: 'RW',
  type: 'Disk',
  empty: false,
  other_config: {},
  qos_algorithm_type: '',
  qos_algorithm_params: {},
};

/** The calls behind the captured cases, in their order; the VM runs until it is shut down. */
const CALLS: Readonly<Record<string, Call>> = {
  'bad ref VM.get_record': ['VM.get_record', 'OpaqueRef:bogus'],
  'null ref VM.get_record': ['VM.get_record', 'OpaqueRef:NULL'],
  'other class ref': ['VM.get_record', VDI],
  'uuid as ref': ['VM.get_record', VM_UUID],
  'get_by_uuid bogus': ['VM.get_by_uuid', ZERO_UUID],
  'get_by_uuid other class': ['VM.get_by_uuid', VDI_UUID],
  'unknown method': ['VM.nosuch'],
  'unknown class': ['Nope.get_all'],
  'too few params': ['VM.start', VM],
  'too many params': ['VM.get_record', VM, 'extra'],
  'wrong type bool': ['VM.set_is_a_template', VM, 'yes'],
  'wrong type int': ['VM.set_user_version', VM, 'abc'],
  'enum bad': ['VM.set_actions_after_crash', VM, 'nosuch'],
  'start running': ['VM.start', VM, false, false],
  'destroy running': ['VM.destroy', VM],
  'VDI.destroy in use': ['VDI.destroy', VDI],
  'SR.destroy attached': ['SR.destroy', SR],
  'network.destroy in use': ['network.destroy', NETWORK],
  'VDI resize smaller': ['VDI.resize', VDI, '1024'],
  'VIF dup device': ['VIF.create', VIF],
  'VIF bad mac': ['VIF.create', { ...VIF, device: '3', MAC: 'zz' }],
  'VBD dup userdevice': ['VBD.create', VBD],
  'add_to_other_config dup': ['VM.add_to_other_config', VM, 'mac_seed', 'v'],
  'remove_from_other_config absent': ['VM.remove_from_other_config', VM, 'nosuch'],
  'memory limits bad': ['VM.set_memory_limits', VM, '1', '2', '3', '4'],
  'set_VCPUs_max running': ['VM.set_VCPUs_max', VM, '1'],
  'VM.query_services': ['VM.query_services', VM],
  'call_plugin missing': ['host.call_plugin', '<host>', 'nope', 'f', {}],
  import_convert: ['VM.import_convert', 'vmware', 'u', 'p', SR, {}],
  'SR.create unknown type': ['SR.create', '<host>', {}, '0', 'n', 'd', 'nosuch', 'user', false, {}],
  'task unknown': ['task.get_record', 'OpaqueRef:x'],
  'Async returns task': ['Async.VM.get_record', VM],
  'event.next unregistered': ['event.next'],
  'event.register': ['event.register', ['vm']],
  'event.unregister': ['event.unregister', ['vm']],
  'event.from bad token': ['event.from', ['vm'], 'zzz', 1],
  'event.from unknown class': ['event.from', ['nosuch'], '', 0.1],
  'event.inject': ['event.inject', 'VM', VM],
  'message.create': ['message.create', 'HELLO', '3', 'VM', VM_UUID, 'body'],
  'VM.get_all_records_where': ['VM.get_all_records_where', 'field "name__label" = "vmA"'],
  'VM.get_all_records_where bad': ['VM.get_all_records_where', 'nonsense'],
  secret: ['secret.create', { value: 'x', other_config: {} }],
  'session.get_this_host': ['session.get_this_host', '<session>'],
  'snapshot on missing': ['VM.snapshot', 'OpaqueRef:q', 'x'],
  'VDI.copy': ['VDI.copy', FREE_VDI, SR],
  clean_shutdown: ['VM.clean_shutdown', VM],
  state: ['VM.get_power_state', VM],
  'clean_shutdown halted': ['VM.clean_shutdown', VM],
  snapshot: ['VM.snapshot', VM, 'after'],
};
/** `add_to` of a key that is there: the capture had set another one before. */
const OWN_KEYS: Readonly<Record<string, string>> = { k: 'mac_seed' };

describe('wrong calls', () => {
  let world: CapturedWorld;
  const comparison = new Comparison();

  before(async () => {
    world = await startCapturedWorld(comparison);
    const { store } = world.pool.pool;
    const vm = store.all('VM').find(([, record]) => record.name_label === 'vmA');
    const vbd = store.get('VBD', setOf(vm?.[1] ?? {}, 'VBDs')[0] ?? '');
    const vdi = textOf(vbd, 'VDI');
    const pairs: readonly (readonly [string, string])[] = [
      [VM, vm?.[0] ?? ''],
      [VM_UUID, textOf(vm?.[1] ?? {}, 'uuid')],
      [VDI, vdi],
      [VDI_UUID, textOf(store.get('VDI', vdi), 'uuid')],
      [SR, textOf(store.get('VDI', vdi), 'SR')],
      [NETWORK, store.all('network').find(([, record]) => record.name_label === 'net0')?.[0] ?? ''],
    ];
    for (const [captured, own] of pairs) comparison.binding.set(captured, own);
    await world.client.call('VM.start', vm?.[0], false, false);
  });
  after(() => world.pool.close());

  it('are answered as a real XAPI 24.19.2 answers them', async () => {
    const { client, pool } = world;
    const cases = new Map((capturedJson('error-answers') as readonly CapturedCase[]).map((one) => [one.case, one.r]));
    for (const [name, [method, ...params]] of Object.entries(CALLS)) {
      const captured = cases.get(name);
      comparison.steps += 1;
      const own = comparison.binding
        .translate(JSON.stringify(params))
        .replaceAll('<host>', pool.pool.coordinator)
        .replaceAll('<session>', client.session);
      const answer = await client.error(method, ...(JSON.parse(own) as unknown[]));
      const error = answer[0] === 'no error' ? undefined : answer;
      comparison.answers += 1;
      const expected = captured?.error?.map((text) => OWN_KEYS[text] ?? text);
      comparison.compare(`errors: ${name}.data`, expected ?? 'none', error ?? 'none');
    }
    expect(surprisesIn('errors', comparison)).to.deep.equal([]);
    expect(comparison.answers).to.be.at.least(48);
  });
});
