import { type Datamodel } from '../datamodel/datamodel.js';
import { type ValueType } from '../datamodel/value-type.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { type WireValue, type XapiRecord } from '../wire/wire-value.js';
import { parseXmlValue, type XmlStruct, type XmlTree } from './parse-xml-value.js';

/** An object of an archive: its record typed by the importing pool's datamodel, absent fields at their defaults. */
export interface ArchiveObject {
  readonly cls: string;
  readonly id: string;
  readonly record: XapiRecord;
  /** The names of the fields that the archive really has. */
  readonly present: ReadonlySet<string>;
}

export interface OvaDocument {
  readonly xapiMajor: number;
  readonly xapiMinor: number;
  /** 2 since checksums stand in line; older archives are not written by any release that is played here. */
  readonly exportVersion: number;
  readonly objects: readonly ArchiveObject[];
}

/** Reads `ova.xml`. Fields that the datamodel does not know are dropped. Throws INTERNAL_ERROR for anything else. */
export function readOvaXml(xml: string, datamodel: Datamodel): OvaDocument {
  const root = structOf(parseXmlValue(xml), 'header');
  const version = structOf(member(root, 'version', 'header'), 'version data');
  const objects = member(root, 'objects', 'header');
  if (!Array.isArray(objects)) throw unreadable('objects');
  return {
    xapiMajor: integerOf(member(version, 'xapi_major', 'version data')),
    xapiMinor: integerOf(member(version, 'xapi_minor', 'version data')),
    exportVersion: 'export_vsn' in version ? integerOf(version.export_vsn) : 0,
    objects: (objects as readonly XmlTree[]).map((tree) => objectOf(structOf(tree, 'object'), datamodel)),
  };
}

function objectOf(tree: XmlStruct, datamodel: Datamodel): ArchiveObject {
  const cls = textOfTree(member(tree, 'class', 'object'));
  const snapshot = structOf(member(tree, 'snapshot', 'object'), 'snapshot');
  const fields = datamodel.classes.get(cls)?.fields;
  const record =
    fields === undefined || cls === 'VTPM'
      ? Object.fromEntries(Object.entries(snapshot).map(([name, value]) => [name, plain(value)]))
      : Object.fromEntries(
          [...fields.values()].map(({ name, type, defaultValue }) => {
            const value = snapshot[name];
            return [name, value === undefined ? defaultValue : typed(value, type)];
          }),
        );
  return { cls, id: textOfTree(member(tree, 'id', 'object')), record, present: new Set(Object.keys(snapshot)) };
}

function typed(tree: XmlTree, type: ValueType): WireValue {
  switch (type.kind) {
    case 'int':
    case 'float':
      return Number(textOfTree(tree));
    case 'bool':
      return tree === true;
    case 'set':
      return Array.isArray(tree) ? (tree as readonly XmlTree[]).map((item) => typed(item, type.of)) : [];
    case 'map':
      return isStruct(tree)
        ? Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, typed(item, type.value)]))
        : {};
    case 'string':
    case 'datetime':
    case 'ref':
    case 'record':
    case 'enum':
    case 'option':
    case 'void':
    case 'any':
      return typeof tree === 'string' ? tree : plain(tree);
  }
}

function plain(tree: XmlTree): WireValue {
  if (Array.isArray(tree)) return (tree as readonly XmlTree[]).map(plain);
  return isStruct(tree) ? Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, plain(item)])) : tree;
}

function isStruct(tree: XmlTree): tree is XmlStruct {
  return typeof tree === 'object' && !Array.isArray(tree);
}

function structOf(tree: XmlTree, where: string): XmlStruct {
  if (!isStruct(tree)) throw unreadable(where);
  return tree;
}

function member(struct: XmlStruct, name: string, where: string): XmlTree {
  const value = struct[name];
  if (value === undefined)
    throw new SimulatedFailure('INTERNAL_ERROR', [`Importexport.Failure("Failed to find key '${name}' in ${where}")`]);
  return value;
}

function textOfTree(tree: XmlTree | undefined): string {
  return typeof tree === 'string' ? tree : '';
}

function integerOf(tree: XmlTree | undefined): number {
  const value = Number(textOfTree(tree));
  return Number.isInteger(value) ? value : 0;
}

function unreadable(where: string): SimulatedFailure {
  return new SimulatedFailure('INTERNAL_ERROR', [`Rpc.Runtime_error("${where}")`]);
}
