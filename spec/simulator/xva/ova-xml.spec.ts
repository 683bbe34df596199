import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/common/package-root.js';
import { Datamodel } from '../../../src/simulator/datamodel/datamodel.js';
import { RecordStore } from '../../../src/simulator/record-store.js';
import { NULL_REF, type WireValue } from '../../../src/simulator/wire/wire-value.js';
import { collectExport, ExportIds } from '../../../src/simulator/xva/export-graph.js';
import { type ArchiveObject, readOvaXml } from '../../../src/simulator/xva/ova-reader.js';
import { writeOvaXml } from '../../../src/simulator/xva/ova-xml.js';

const VERSION = {
  hostname: 'localhost',
  date: '20261122T13:48:36Z',
  productVersion: '8.3.0',
  productBrand: 'XCP-ng',
  buildNumber: 'cloud',
  xapiMajor: 0,
  xapiMinor: 0,
};
/** References that the captured metadata archive gives away; XAPI sorts by them. */
const KNOWN_REFS: Readonly<Record<string, string>> = {
  'Ref:28': 'OpaqueRef:2e6b914c-e7c3-d4ee-2735-c7b3987c9faf',
  'Ref:34': 'OpaqueRef:aefe5a25-b109-1509-40d1-1da3037297ee',
  'Ref:32': 'OpaqueRef:f85d8dc3-6346-f4f8-1b8a-ca28c8502df0',
  'Ref:37': 'OpaqueRef:30dfbb7b-db2b-43d8-4df3-1260f2629229',
  'Ref:36': 'OpaqueRef:f',
  'Ref:31': 'OpaqueRef:e',
  'Ref:29': 'OpaqueRef:d',
  'Ref:35': 'OpaqueRef:c',
};
const CREATE_ORDER = ['SR', 'network', 'VDI', 'VM', 'VBD', 'VIF'];

function captured(name: string): string {
  return readFileSync(join(packageRoot(), `fixtures/captured/xapi-24.19.2-${name}.ova.xml`), 'utf8');
}

/** A store with the objects of an archive, and the counter where XAPI's stood. */
function storeOf(objects: readonly ArchiveObject[], datamodel: Datamodel): RecordStore {
  let count = 0;
  const store = new RecordStore(datamodel, () => `uuid-${(count += 1)}`);
  const ids = new Set(objects.map(({ id }) => id));
  const refOf = (id: string): string => (ids.has(id) ? (KNOWN_REFS[id] ?? `OpaqueRef:made-from-${id}`) : NULL_REF);
  const real = (value: WireValue): WireValue => {
    if (typeof value === 'string') return value.startsWith('Ref:') ? refOf(value) : value;
    return Array.isArray(value) ? (value as readonly WireValue[]).map(real) : value;
  };
  for (const cls of CREATE_ORDER) {
    for (const { id, record } of objects.filter((object) => object.cls === cls).reverse()) {
      const fields = Object.entries(record).map(([name, value]) => [name, real(value)] as const);
      store.create(cls, Object.fromEntries(fields), refOf(id));
    }
  }
  return store;
}

describe('writeOvaXml', () => {
  for (const { name, firstId, vm, withSnapshots } of [
    { name: 'vm', firstId: 14, vm: 'OpaqueRef:made-from-Ref:14', withSnapshots: false },
    { name: 'metadata', firstId: 28, vm: KNOWN_REFS['Ref:28']!, withSnapshots: true },
  ]) {
    it(`makes the very text that XAPI 24.19.2 made (${name})`, () => {
      const datamodel = new Datamodel('8.3');
      const text = captured(name);
      const store = storeOf(readOvaXml(text, datamodel).objects, datamodel);
      const ids = new ExportIds();
      for (let id = 0; id < firstId; id += 1) ids.next();
      const detail = { withSnapshots, preservePowerState: withSnapshots, withVmMetrics: false };
      const table = collectExport(store, { ...detail, vms: [vm], includeVhdParents: false, excludedDevices: [] }, ids);
      expect(writeOvaXml(store, datamodel, table, VERSION, detail).replaceAll('<member>', '\n<member>')).to.equal(
        text.replaceAll('<member>', '\n<member>'),
      );
    });
  }
});

describe('readOvaXml', () => {
  it('reads fields by their type and drops unknown ones', () => {
    const text = captured('vm').replace(
      '<member><name>user_version</name>',
      '<member><name>nonsense</name><value>1</value></member>$&',
    );
    const [vm] = readOvaXml(text, new Datamodel('8.3')).objects;
    expect(vm?.record).to.deep.include({
      memory_static_max: 1_073_741_824,
      is_a_template: false,
      VCPUs_params: {},
      HVM_shadow_multiplier: 1,
    });
    expect(vm?.record).not.to.have.property('nonsense');
    expect(vm?.present.has('nonsense')).to.equal(true);
  });
});
