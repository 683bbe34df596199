import { type ClassModel, type FieldModel, type MessageModel } from '../datamodel/datamodel.js';
import { SimulatedFailure } from '../simulated-failure.js';
import { isList, isMap, textOf, type WireMap, type WireValue } from '../wire/wire-value.js';
import { type CallContext, type Method } from './method.js';
import { parseQuery } from './query.js';

/**
 * The behaviour that follows from the datamodel alone: reading, finding and setting fields, `create` and `destroy` of
 * classes without behaviour. A message that needs behaviour written by hand throws NOT_IMPLEMENTED [name].
 */
export function genericMethod(message: MessageModel, cls: ClassModel): Method {
  const whole = wholeObjectMethod(message, cls);
  if (whole !== undefined) return whole;
  const { verb } = message;
  for (const [prefix, make] of FIELD_METHODS) {
    const field = verb.startsWith(prefix) ? cls.fields.get(verb.slice(prefix.length)) : undefined;
    const method = field && make(cls.name, field, message);
    if (method !== undefined) return method;
  }
  return notImplemented(message);
}

/** A message that needs behaviour which nobody wrote; a reference that leads nowhere is told first, as XAPI does. */
function notImplemented({ name, params }: MessageModel): Method {
  const [self] = params;
  return ({ pool }, args) => {
    if (self?.type.kind === 'ref' && self.name === 'self') pool.store.get(self.type.cls, args.text(0));
    throw new SimulatedFailure('NOT_IMPLEMENTED', [name]);
  };
}

function wholeObjectMethod(message: MessageModel, { name: cls, fields }: ClassModel): Method | undefined {
  switch (message.verb) {
    case 'get_all':
      return ({ pool }) => pool.store.all(cls).map(([ref]) => ref);
    case 'get_all_records':
      return ({ pool }) => Object.fromEntries(pool.store.all(cls));
    case 'get_all_where':
      return ({ pool }, args) => matching({ pool }, cls, args.text(0)).map(([ref]) => ref);
    case 'get_all_records_where':
      return ({ pool }, args) => Object.fromEntries(matching({ pool }, cls, args.text(0)));
    case 'get_record':
      return ({ pool }, args) => pool.store.get(cls, args.text(0));
    case 'get_by_uuid':
      return ({ pool }, args) => pool.store.refByUuid(cls, args.text(0));
    case 'get_by_name_label':
      return ({ pool }, args) =>
        pool.store
          .all(cls)
          .filter(([, record]) => textOf(record, 'name_label') === args.text(0))
          .map(([ref]) => ref);
    case 'create':
      return message.isImplicit
        ? ({ pool }, args) => pool.store.create(cls, constructorFields(args.map(0), fields))
        : undefined;
    case 'destroy':
      return message.isImplicit
        ? ({ pool }, args) => {
            pool.store.destroy(cls, args.text(0));
            return undefined;
          }
        : undefined;
    default:
      return undefined;
  }
}

/**
 * What a constructor may set: everything that is not decided at run time. Throws INTERNAL_ERROR for a mandatory field
 * that is not there.
 */
export function constructorFields(args: WireMap, fields: ReadonlyMap<string, FieldModel>): Record<string, WireValue> {
  for (const field of fields.values()) {
    if (field.isMandatory && !(field.name in args)) {
      throw new SimulatedFailure('INTERNAL_ERROR', [`Server_helpers.Dispatcher_FieldNotFound("${field.name}")`]);
    }
  }
  return Object.fromEntries(Object.entries(args).filter(([name]) => fields.get(name)?.qualifier !== 'runtime'));
}

type FieldMethod = (cls: string, field: FieldModel, message: MessageModel) => Method | undefined;

const FIELD_METHODS: readonly (readonly [prefix: string, make: FieldMethod])[] = [
  [
    'get_',
    (cls, field) =>
      ({ pool }, args) =>
        pool.store.get(cls, args.text(0))[field.name],
  ],
  [
    'set_',
    (cls, field, message) =>
      message.params.length === 2
        ? ({ pool }, args) => {
            pool.store.patch(cls, args.text(0), { [field.name]: args.value(1) });
            return undefined;
          }
        : undefined,
  ],
  [
    'add_to_',
    (cls, field) =>
      ({ pool }, args) => {
        addToMap({ pool }, cls, args.text(0), field.name, args.text(1), args.value(2));
        return undefined;
      },
  ],
  [
    'remove_from_',
    (cls, field) =>
      ({ pool }, args) => {
        removeFromMap({ pool }, cls, args.text(0), field.name, args.text(1));
        return undefined;
      },
  ],
  [
    'add_',
    (cls, field) =>
      ({ pool }, args) => {
        addToSet({ pool }, cls, args.text(0), field.name, args.value(1));
        return undefined;
      },
  ],
  [
    'remove_',
    (cls, field) =>
      ({ pool }, args) => {
        removeFromSet({ pool }, cls, args.text(0), field.name, args.value(1));
        return undefined;
      },
  ],
];

type Pool = Pick<CallContext, 'pool'>;

function matching({ pool }: Pool, cls: string, query: string): ReturnType<typeof pool.store.all> {
  const predicate = parseQuery(query);
  return pool.store.all(cls).filter(([, record]) => predicate(record));
}

function addToMap({ pool }: Pool, cls: string, ref: string, field: string, key: string, value: WireValue): void {
  const map = pool.store.get(cls, ref)[field];
  const before = isMap(map) ? map : {};
  if (key in before) throw new SimulatedFailure('MAP_DUPLICATE_KEY', [cls, field, ref, key]);
  pool.store.patch(cls, ref, { [field]: { ...before, [key]: value } });
}

function removeFromMap({ pool }: Pool, cls: string, ref: string, field: string, key: string): void {
  const map = pool.store.get(cls, ref)[field];
  if (!isMap(map) || !(key in map)) return;
  pool.store.patch(cls, ref, { [field]: Object.fromEntries(Object.entries(map).filter(([name]) => name !== key)) });
}

function addToSet({ pool }: Pool, cls: string, ref: string, field: string, value: WireValue): void {
  const set = pool.store.get(cls, ref)[field];
  const before = isList(set) ? set : [];
  if (!before.includes(value)) pool.store.patch(cls, ref, { [field]: [...before, value] });
}

function removeFromSet({ pool }: Pool, cls: string, ref: string, field: string, value: WireValue): void {
  const set = pool.store.get(cls, ref)[field];
  if (isList(set)) pool.store.patch(cls, ref, { [field]: set.filter((item) => item !== value) });
}
