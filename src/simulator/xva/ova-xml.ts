import { type Datamodel } from '../datamodel/datamodel.js';
import { type RecordStore } from '../record-store.js';
import { rpcString, rpcStruct, toRpc, type RpcValue } from '../wire/rpc-value.js';
import { EPOCH, flagOf, mapOf, NULL_REF, setOf, textOf, type WireValue, type XapiRecord } from '../wire/wire-value.js';
import { toXmlText } from '../wire/xml-text.js';
import { type ExportTable } from './export-graph.js';

/** The version struct at the top of `ova.xml`. An importer refuses what is newer than itself. */
export interface ArchiveVersion {
  readonly hostname: string;
  readonly date: string;
  readonly productVersion: string;
  readonly productBrand: string;
  readonly buildNumber: string;
  readonly xapiMajor: number;
  readonly xapiMinor: number;
}

/** What an archive keeps of the records. */
export interface OvaDetail {
  readonly withSnapshots: boolean;
  readonly preservePowerState: boolean;
  readonly withVmMetrics: boolean;
}

/** The classes in the order in which their objects stand in `ova.xml` (facts 5.2). */
const CLASSES = [
  'host',
  'VM',
  'VM_metrics',
  'VM_guest_metrics',
  'VBD',
  'VIF',
  'network',
  'VDI',
  'SR',
  'VGPU_type',
  'VGPU',
  'GPU_group',
  'PVS_proxy',
  'PVS_site',
  'VTPM',
] as const;
type ExportedClass = (typeof CLASSES)[number];

const ARCHIVE_FORMAT = 2;

/** The text of `ova.xml` for the objects of `table`, from their records as they are now. */
export function writeOvaXml(
  store: RecordStore,
  datamodel: Datamodel,
  table: ExportTable,
  version: ArchiveVersion,
  detail: OvaDetail,
): string {
  const objects = CLASSES.flatMap((cls) =>
    store
      .all(cls)
      .filter(([ref]) => table.has(ref))
      // XAPI lists a table by reference, last first.
      .sort(([a], [b]) => (a < b ? 1 : -1))
      .map(([ref, record]) =>
        rpcStruct({
          class: rpcString(cls),
          id: rpcString(table.get(ref) ?? NULL_REF),
          snapshot: recordValue(store, datamodel, cls, { ...record, ...blanked(cls, record, table, detail) }),
        }),
      ),
  );
  return toXmlText(
    rpcStruct({
      version: rpcStruct({
        hostname: rpcString(version.hostname),
        date: rpcString(version.date),
        product_version: rpcString(version.productVersion),
        product_brand: rpcString(version.productBrand),
        build_number: rpcString(version.buildNumber),
        xapi_major: { tag: 'int64', value: version.xapiMajor },
        xapi_minor: { tag: 'int64', value: version.xapiMinor },
        export_vsn: { tag: 'int64', value: ARCHIVE_FORMAT },
      }),
      objects: { tag: 'list', items: objects },
    }),
  );
}

function recordValue(store: RecordStore, datamodel: Datamodel, cls: ExportedClass, record: XapiRecord): RpcValue {
  if (cls === 'VTPM') return vtpmValue(store, record);
  const fields = [...(datamodel.classes.get(cls)?.fields.values() ?? [])];
  return {
    tag: 'struct',
    members: fields.map(
      ({ name, type, defaultValue }) => [name, toRpc(record[name] ?? defaultValue, type, NO_SHAPES)] as const,
    ),
  };
}

/** No field of an exported class holds a record. */
const NO_SHAPES = { fieldType: () => undefined };

/** A VTPM goes along with its secret and little else. */
function vtpmValue(store: RecordStore, record: XapiRecord): RpcValue {
  const contents = textOf(record, 'contents');
  const secret = store.find('secret', contents);
  const text = contents === NULL_REF ? '' : contents;
  return rpcStruct({
    "vTPM'_VM": rpcString(textOf(record, 'VM')),
    "vTPM'_uuid": rpcString(textOf(record, 'uuid')),
    "vTPM'_is_unique": { tag: 'bool', value: flagOf(record, 'is_unique') },
    "vTPM'_is_protected": { tag: 'bool', value: flagOf(record, 'is_protected') },
    "vTPM'_content": rpcString(secret === undefined ? text : textOf(secret, 'value')),
  });
}

/** The fields that an archive has otherwise than the pool: references become `Ref:<n>`, passing state is left out. */
function blanked(
  cls: ExportedClass,
  record: XapiRecord,
  table: ExportTable,
  detail: OvaDetail,
): Readonly<Record<string, WireValue>> {
  const one = (field: string): string => table.get(textOf(record, field)) ?? NULL_REF;
  const many = (field: string): readonly string[] =>
    setOf(record, field).flatMap((ref) => {
      const id = table.get(ref);
      return id === undefined ? [] : [id];
    });
  const idle = { current_operations: {}, allowed_operations: [] };
  const attached = { currently_attached: detail.preservePowerState && record.currently_attached === true };
  switch (cls) {
    case 'host':
      return {
        ...BLANK_HOST,
        crash_dump_sr: one('crash_dump_sr'),
        suspend_image_sr: one('suspend_image_sr'),
        resident_VMs: many('resident_VMs'),
      };
    case 'VM':
      return {
        ...idle,
        ...(detail.preservePowerState
          ? { suspend_VDI: one('suspend_VDI') }
          : { power_state: 'Halted', suspend_VDI: NULL_REF }),
        ...(detail.withSnapshots ? { snapshot_of: one('snapshot_of'), parent: one('parent') } : BLANK_SNAPSHOT),
        VIFs: many('VIFs'),
        VBDs: many('VBDs'),
        VGPUs: many('VGPUs'),
        VTPMs: many('VTPMs'),
        crash_dumps: [],
        consoles: [],
        resident_on: one('resident_on'),
        affinity: one('affinity'),
        metrics: detail.withVmMetrics ? one('metrics') : NULL_REF,
        guest_metrics: one('guest_metrics'),
        protection_policy: NULL_REF,
        blobs: {},
      };
    case 'VBD':
      return { ...idle, ...attached, VM: one('VM'), VDI: one('VDI'), metrics: NULL_REF };
    case 'VIF':
      return { ...idle, ...attached, VM: one('VM'), network: one('network'), metrics: NULL_REF };
    case 'network':
      return { ...idle, VIFs: many('VIFs'), PIFs: [] };
    case 'VDI':
      return { ...idle, VBDs: many('VBDs'), crash_dumps: [], SR: one('SR') };
    case 'SR':
      return { ...idle, VDIs: many('VDIs'), PBDs: [] };
    case 'VGPU':
      return { ...attached, GPU_group: one('GPU_group'), type: one('type'), VM: one('VM') };
    case 'GPU_group':
      return { VGPUs: many('VGPUs'), PGPUs: [] };
    case 'PVS_proxy':
      return { site: one('site'), VIF: one('VIF'), currently_attached: false };
    case 'PVS_site':
      return { cache_storage: [], servers: [], proxies: many('proxies') };
    case 'VTPM':
      return { VM: one('VM') };
    case 'VM_metrics':
    case 'VM_guest_metrics':
    case 'VGPU_type':
      return {};
  }
}

const BLANK_SNAPSHOT = {
  is_a_snapshot: false,
  snapshot_of: NULL_REF,
  snapshots: [],
  snapshot_time: EPOCH,
  transportable_snapshot_id: '',
  parent: NULL_REF,
};

const BLANK_HOST: Readonly<Record<string, WireValue>> = {
  PIFs: [],
  PBDs: [],
  PGPUs: [],
  PCIs: [],
  host_CPUs: [],
  license_params: {},
  blobs: {},
  external_auth_type: '',
  external_auth_service_name: '',
  external_auth_configuration: {},
  metrics: NULL_REF,
  patches: [],
  crashdumps: [],
  logging: {},
  supported_bootloaders: [],
  cpu_configuration: {},
  other_config: {},
  capabilities: [],
  software_version: {},
  sched_policy: '',
  ha_statefiles: [],
  ha_network_peers: [],
  tags: [],
};

/** The version struct that a host writes. */
export function archiveVersion(datamodel: Datamodel, host: XapiRecord): ArchiveVersion {
  const software = mapOf(host, 'software_version');
  const [major, minor] = xapiVersionOf(datamodel);
  return {
    hostname: software.hostname ?? 'localhost',
    date: software.date ?? EPOCH,
    productVersion: software.product_version ?? datamodel.release.productVersion,
    productBrand: software.product_brand ?? 'XCP-ng',
    buildNumber: software.build_number ?? '',
    xapiMajor: major,
    xapiMinor: minor,
  };
}

/** [major, minor] of the XAPI behind a release. */
export function xapiVersionOf(datamodel: Datamodel): readonly [major: number, minor: number] {
  const [major = 0, minor = 0] = datamodel.release.xapiVersion.split('.').map(Number);
  return [major, minor];
}
