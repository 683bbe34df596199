import { type Datamodel, type FieldModel } from '../datamodel/datamodel.js';
import { zeroOf, type ValueType } from '../datamodel/value-type.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { printRpc, type RpcValue } from '../wire/rpc-value.js';
import { type WireMap, type WireValue } from '../wire/wire-value.js';

/** Reads one argument as the type that the datamodel asks for. Throws INTERNAL_ERROR in XAPI's words. */
export function readArgument(value: RpcValue, type: ValueType, datamodel: Datamodel): WireValue {
  switch (type.kind) {
    case 'string':
    case 'ref':
      return readString(value);
    case 'enum':
      return readEnum(readString(value), datamodel.enums[type.name]);
    case 'int':
      return readInt(value);
    case 'float':
      return readFloat(value);
    case 'bool':
      if (value.tag === 'bool') return value.value;
      throw expected('bool', value);
    case 'datetime':
      if (value.tag === 'date' || value.tag === 'string') return value.value;
      throw expected('DateTime', value);
    case 'set':
      if (value.tag === 'list') return value.items.map((item) => readArgument(item, type.of, datamodel));
      throw expected('enum', value);
    case 'map':
      if (value.tag !== 'struct') throw expected('dict', value);
      return Object.fromEntries(
        value.members.map(([name, item]) => {
          readKey(name, type.key, datamodel);
          return [name, readArgument(item, type.value, datamodel)];
        }),
      );
    case 'record':
      return readRecord(value, type.cls, datamodel);
    case 'option':
    case 'void':
    case 'any':
      return plain(value);
  }
}

/** The value of a parameter that the caller left out. */
export function defaultArgument(type: ValueType): WireValue {
  return zeroOf(type);
}

function readString(value: RpcValue): string {
  if (value.tag === 'string' || value.tag === 'date') return value.value;
  throw expected('string', value);
}

function readEnum(text: string, values: readonly string[] | undefined): string {
  const known = values?.find((one) => one.toLowerCase() === text.toLowerCase());
  if (values !== undefined && known === undefined) throw failure('Unknown tag/contents');
  return known ?? text;
}

function readInt(value: RpcValue): number {
  if (value.tag === 'int64' || value.tag === 'int32') return value.value;
  if (value.tag !== 'string') throw expected('int64', value);
  if (!/^\s*[-+]?(0x[0-9a-f]+|\d+)\s*$/i.test(value.value)) throw failure('Int64.of_string');
  return Number(value.value);
}

function readFloat(value: RpcValue): number {
  if (value.tag === 'float' || value.tag === 'int64' || value.tag === 'int32') return value.value;
  if (value.tag !== 'string') throw expected('float', value);
  const number = Number(value.value);
  if (value.value.trim() === '' || Number.isNaN(number)) throw failure('float_of_string');
  return number;
}

function readKey(name: string, type: ValueType, datamodel: Datamodel): void {
  if (type.kind === 'enum') readEnum(name, datamodel.enums[type.name]);
}

/** The struct of a constructor: unknown members are ignored, absent ones are left to the defaults. */
function readRecord(value: RpcValue, cls: string, datamodel: Datamodel): WireMap {
  if (value.tag !== 'struct') throw expected('dict', value);
  const fields: ReadonlyMap<string, FieldModel> = datamodel.classes.get(cls)?.fields ?? new Map<string, FieldModel>();
  const record: Record<string, WireValue> = {};
  for (const [name, item] of value.members) {
    const field = fields.get(name);
    if (field !== undefined) record[name] = readArgument(item, field.type, datamodel);
  }
  return record;
}

function plain(value: RpcValue): WireValue {
  switch (value.tag) {
    case 'nil':
      return '';
    case 'list':
      return value.items.map(plain);
    case 'struct':
      return Object.fromEntries(value.members.map(([name, item]) => [name, plain(item)]));
    case 'bool':
    case 'int32':
    case 'int64':
    case 'float':
    case 'string':
    case 'date':
      return value.value;
  }
}

function expected(what: string, value: RpcValue): SimulatedFailure {
  return failure(`Expected ${what}, got '${printRpc(value)}'`);
}

function failure(text: string): SimulatedFailure {
  return new SimulatedFailure('INTERNAL_ERROR', [`Failure("${text}")`]);
}
