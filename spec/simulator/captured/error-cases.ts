import { PLAIN_DRIVE } from '../../support/new-records.js';

/** A call without its session. */
export type Call = readonly [method: string, ...params: readonly unknown[]];

export const VM = 'OpaqueRef:3ae683d7-d4f0-3ddd-5c4f-de2c0f03a98b';
export const VM_UUID = '84053236-bd31-61c1-50fa-21d50ed96879';
export const VDI = 'OpaqueRef:d4bb4186-de50-3a83-2a98-f165b291633f';
/** A disk of the halted VM. */
const FREE_VDI = 'OpaqueRef:863ac9b8-939f-1471-ba0b-90aa56909947';
export const VDI_UUID = '0305a3c9-f441-4865-8724-78f0f9d537ce';
export const SR = 'OpaqueRef:e7db2765-b6f1-7d9f-78b7-329d62bd5a7e';
export const NETWORK = 'OpaqueRef:00000000-0000-0000-0000-00000000beef';
const UNICODE = 'v\u00e9\u2603 <&>"';
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
const VBD = { ...PLAIN_DRIVE, VM, VDI, userdevice: '0' };

/** The calls behind the captured cases, in their order; the VM runs until it is shut down. The last one's answer counts. */
export const CALLS: Readonly<Record<string, Call | readonly Call[]>> = {
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
  set_other_config: ['VM.set_other_config', VM, {}],
  'memory limits bad': ['VM.set_memory_limits', VM, '1', '2', '3', '4'],
  'set_VCPUs_max running': ['VM.set_VCPUs_max', VM, '1'],
  'set_name_label unicode': [
    ['VM.set_name_label', VM, UNICODE],
    ['VM.get_name_label', VM],
  ],
  'VM.query_services': ['VM.query_services', VM],
  'call_plugin missing': ['host.call_plugin', '<host>', 'nope', 'f', {}],
  import_convert: ['VM.import_convert', 'vmware', 'u', 'p', SR, {}],
  'SR.create unknown type': ['SR.create', '<host>', {}, '0', 'n', 'd', 'nosuch', 'user', false, {}],
  'host.disable/enable': [
    ['host.disable', '<host>'],
    ['host.get_enabled', '<host>'],
    ['host.enable', '<host>'],
  ],
  'pool.eject master': ['pool.eject', '<host>'],
  'pool.set_ha': ['pool.enable_ha', [SR], {}],
  'task unknown': ['task.get_record', 'OpaqueRef:x'],
  'Async returns task': ['Async.VM.get_record', VM],
  Async: ['Async.VM.pause', VM],
  unpause: ['VM.unpause', VM],
  'event.next unregistered': ['event.next'],
  'event.register': ['event.register', ['vm']],
  'event.unregister': ['event.unregister', ['vm']],
  'event.from bad token': ['event.from', ['vm'], 'zzz', 1],
  'event.from unknown class': ['event.from', ['nosuch'], '', 0.1],
  'event.inject': ['event.inject', 'VM', VM],
  'message.create': ['message.create', 'HELLO', '3', 'VM', VM_UUID, 'body'],
  'message.get_all_records': ['message.get_all_records'],
  'VM.get_all_records_where': ['VM.get_all_records_where', `field "name__label" = "${UNICODE.replaceAll('"', '\\"')}"`],
  'VM.get_all_records_where bad': ['VM.get_all_records_where', 'nonsense'],
  secret: ['secret.create', { value: 'x', other_config: {} }],
  'session.get_this_host': ['session.get_this_host', '<session>'],
  'snapshot on missing': ['VM.snapshot', 'OpaqueRef:q', 'x'],
  'VM.migrate_send': ['VM.migrate_send', VM, {}, true, {}, {}, {}],
  'VM.pool_migrate self': ['VM.pool_migrate', VM, '<host>', {}],
  'VDI.copy': ['VDI.copy', FREE_VDI, SR],
  clean_shutdown: ['VM.clean_shutdown', VM],
  state: ['VM.get_power_state', VM],
  'clean_shutdown halted': ['VM.clean_shutdown', VM],
  snapshot: ['VM.snapshot', VM, 'after'],
  'export halted allowed': ['VM.get_allowed_operations', VM],
};

/** Bodies of JSON-RPC requests behind the captured cases; `<session>` is a good one. */
export const ENVELOPES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'JSON-RPC 2 error': { jsonrpc: '2.0', method: 'VM.get_record', params: ['<session>', 'OpaqueRef:zz'], id: 7 },
  'JSON-RPC version field 1.0': { jsonrpc: '1.0', method: 'VM.get_uuid', params: ['<session>', VM], id: 7 },
  'JSON-RPC 1 error': { method: 'VM.get_record', params: ['<session>', 'OpaqueRef:zz'], id: 7 },
  'JSON-RPC 1 ok': { method: 'VM.get_uuid', params: ['<session>', VM], id: 7 },
  'JSON-RPC 2 bad session': { jsonrpc: '2.0', method: 'VM.get_all', params: ['zz'], id: 7 },
  'logout twice': { jsonrpc: '2.0', method: 'session.logout', params: ['<session>'], id: 7 },
  'after logout': { jsonrpc: '2.0', method: 'VM.get_all', params: [null], id: 7 },
};

/** A request to a handler; `<session>` is a good one, `<basic>` the right credentials. */
export interface CapturedRequest {
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly target: string;
  readonly authorization?: string;
}

export const REQUESTS: Readonly<Record<string, CapturedRequest>> = {
  'HTTP export no session': { target: '/export?uuid=x' },
  'HTTP export bad session': { target: '/export?session_id=OpaqueRef:bogus&uuid=x' },
  'HTTP export bad uuid': { target: '/export?session_id=<session>&uuid=bogus' },
  'HTTP export no uuid': { target: '/export?session_id=<session>' },
  'HTTP export_metadata all': { target: '/export_metadata?session_id=<session>&all=true' },
  'HTTP xmldbdump no session': { target: '/pool/xmldbdump' },
  'HTTP HEAD': { method: 'HEAD', target: '/export?session_id=<session>' },
  'HTTP unknown': { target: '/nosuch' },
  'HTTP root': { target: '/' },
  'HTTP get jsonrpc': { target: '/jsonrpc' },
  'HTTP export_raw_vdi bad': { target: '/export_raw_vdi?session_id=<session>&vdi=bogus' },
  'HTTP export_raw bad fmt': { target: '/export_raw_vdi?session_id=<session>&vdi=<vdi>&format=nosuch' },
  'HTTP blob': { target: '/blob?session_id=<session>&ref=OpaqueRef:bogus' },
  'HTTP console': { target: '/console?session_id=<session>&ref=OpaqueRef:bogus' },
  'HTTP services': { target: '/services?session_id=<session>' },
  'HTTP post garbage': { method: 'POST', target: '/jsonrpc' },
  'HTTP host_backup': { target: '/host_backup?session_id=<session>' },
  'HTTP get_host_logs': { target: '/get_host_logs' },
  'HTTP version': { target: '/version' },
  'HTTP basic auth export': { target: '/export?uuid=<vm uuid>', authorization: '<basic>' },
  'HTTP basic auth bad': { target: '/export?uuid=<vm uuid>', authorization: 'root:nope' },
};
