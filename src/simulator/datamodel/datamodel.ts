import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../common/package-root.js';
import { type ClassShape, type Fields } from '../record-store.js';
import { NULL_REF, type WireValue } from '../wire/wire-value.js';
import { type Role } from './role.js';
import { compareLifecycles, DEFAULT_RELEASE, releaseNamed, type Release } from './release.js';
import { parseType, type ValueType } from './value-type.js';

/** RO at run time, given at construction only, or free to set. */
export type Qualifier = 'runtime' | 'constructor' | 'settable';

export interface FieldModel {
  readonly name: string;
  readonly type: ValueType;
  readonly qualifier: Qualifier;
  /** A constructor fails without it. */
  readonly isMandatory: boolean;
  readonly defaultValue: WireValue;
}

export interface ParamModel {
  readonly name: string;
  readonly type: ValueType;
  readonly isOptional: boolean;
}

export interface MessageModel {
  /** `VM.snapshot`. */
  readonly name: string;
  readonly cls: string;
  readonly verb: string;
  readonly result: ValueType;
  /** Without the session. */
  readonly params: readonly ParamModel[];
  readonly needsSession: boolean;
  /** Made by rule from the fields (getters, setters, create, destroy). */
  readonly isImplicit: boolean;
  readonly hasAsync: boolean;
  /** Gone at this release: answers MESSAGE_REMOVED. */
  readonly isRemoved: boolean;
  readonly errors: readonly string[];
  /** The least role that may make the call; undefined when only the local superuser may. */
  readonly role: Role | undefined;
}

export interface ClassModel {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldModel>;
  readonly messages: ReadonlyMap<string, MessageModel>;
  /** Gone at this release: its calls answer MESSAGE_REMOVED. */
  readonly isRemoved: boolean;
}

type RawField = readonly [
  name: string,
  type: string,
  qualifier: string,
  defaultValue: WireValue,
  since: string,
  removed?: string,
];
interface RawMessage {
  readonly name: string;
  readonly result: string;
  readonly params: readonly (readonly [name: string, type: string, isOptional?: 1, since?: string])[];
  readonly since: string;
  readonly removed?: string;
  readonly implicit?: 1;
  readonly errors?: readonly string[];
  /** The least that may; `read-only` when absent. */
  readonly role?: Role | 'root';
}
interface RawDatamodel {
  readonly codeNames: readonly string[];
  readonly enums: Readonly<Record<string, readonly string[]>>;
  readonly errors: Readonly<Record<string, readonly string[]>>;
  readonly classes: readonly {
    readonly name: string;
    readonly since: string;
    readonly removed?: string;
    readonly fields: readonly RawField[];
    readonly messages: readonly RawMessage[];
  }[];
}

const QUALIFIERS: Readonly<Record<string, Qualifier>> = { R: 'runtime', C: 'constructor', W: 'settable' };
/** Their calls answer at once, and never as a task. */
const WITHOUT_ASYNC = new Set(['session', 'event', 'task']);
/** Calls that have no asynchronous form though their class has. */
const SYNCHRONOUS = new Set(['VDI.get_nbd_info']);
const ASYNC_IMPLICIT = new Set(['create', 'destroy']);
/** Fields that XAPI's database has and its records do not show. */
const INTERNAL_FIELDS: Readonly<Record<string, Fields>> = { VTPM: { contents: NULL_REF } };

let raw: RawDatamodel | undefined;

/**
 * XAPI's classes, fields, messages and errors as one release has them. Read from `fixtures/datamodel/xenapi.json`. Fields that
 * a release "removed" stay in its records, as with XAPI; only their calls are gone.
 */
export class Datamodel implements ClassShape {
  readonly release: Release;
  readonly classes: ReadonlyMap<string, ClassModel>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
  /** Error code to the names of its parameters, as documented. */
  readonly errors: Readonly<Record<string, readonly string[]>>;
  readonly #defaults = new Map<string, Fields>();

  constructor(releaseName: string = DEFAULT_RELEASE) {
    raw ??= JSON.parse(readFileSync(join(packageRoot(), 'fixtures/datamodel/xenapi.json'), 'utf8')) as RawDatamodel;
    const { codeNames } = raw;
    this.release = releaseNamed(releaseName);
    this.enums = raw.enums;
    this.errors = raw.errors;
    const isPast = (lifecycle: string | undefined): boolean =>
      lifecycle !== undefined && compareLifecycles(codeNames, lifecycle, this.release.lifecycle) <= 0;
    const classes = raw.classes
      .filter((cls) => isPast(cls.since))
      .map((cls) => {
        const isRemoved = isPast(cls.removed);
        const fields = cls.fields.filter(([, , , , since]) => isPast(since)).map(toField);
        const messages = cls.messages
          .filter((message) => isPast(message.since))
          .map((message) => toMessage(cls.name, message, isPast, isRemoved));
        return {
          name: cls.name,
          fields: new Map(fields.map((field) => [field.name, field])),
          messages: new Map(
            [...messages, ...queryMessages(messages), ...hiddenMessages(cls.name)].map((message) => [
              message.verb,
              message,
            ]),
          ),
          isRemoved,
        };
      });
    this.classes = new Map(classes.map((cls) => [cls.name, cls]));
  }

  defaultsOf(cls: string): Fields | undefined {
    const model = this.classes.get(cls);
    if (model === undefined) return undefined;
    let defaults = this.#defaults.get(cls);
    if (defaults === undefined) {
      const shown = [...model.fields.values()].map((field) => [field.name, field.defaultValue] as const);
      defaults = { ...Object.fromEntries(shown), ...INTERNAL_FIELDS[cls] };
      this.#defaults.set(cls, defaults);
    }
    return defaults;
  }

  /** The message behind `VM.snapshot` or `VM_snapshot`; undefined when this release has none. */
  message(name: string): MessageModel | undefined {
    const dot = name.indexOf('.');
    if (dot > 0) return this.classes.get(name.slice(0, dot))?.messages.get(name.slice(dot + 1));
    for (let bar = name.indexOf('_'); bar > 0; bar = name.indexOf('_', bar + 1)) {
      const found = this.classes.get(name.slice(0, bar))?.messages.get(name.slice(bar + 1));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** `get_all_where` and `get_all_records_where`, which XAPI has for every class that can be listed but does not document. */
function queryMessages(messages: readonly MessageModel[]): readonly MessageModel[] {
  const query: ParamModel = { name: 'expr', type: { kind: 'string' }, isOptional: false };
  return messages
    .filter(({ verb }) => verb === 'get_all' || verb === 'get_all_records')
    .map((message) => ({ ...message, name: `${message.name}_where`, verb: `${message.verb}_where`, params: [query] }));
}

/** Calls that XAPI has and does not document. */
function hiddenMessages(cls: string): readonly MessageModel[] {
  if (cls !== 'host') return [];
  const hidden: RawMessage = { name: 'is_in_emergency_mode', result: 'bool', params: [], since: 'rio' };
  return [
    { ...toMessage(cls, hidden, (lifecycle) => lifecycle !== undefined, false), needsSession: true, hasAsync: false },
  ];
}

function toField([name, type, qualifier, defaultValue]: RawField): FieldModel {
  return {
    name,
    type: parseType(type),
    qualifier: QUALIFIERS[qualifier.toUpperCase()] ?? 'runtime',
    isMandatory: qualifier !== qualifier.toUpperCase(),
    defaultValue,
  };
}

function toMessage(
  cls: string,
  message: RawMessage,
  isPast: (lifecycle: string | undefined) => boolean,
  isClassRemoved: boolean,
): MessageModel {
  const present = message.params.filter(([, , , since]) => since === undefined || isPast(since));
  const [first] = present;
  const needsSession = first?.[0] === 'session_id';
  const isImplicit = message.implicit === 1;
  return {
    name: `${cls}.${message.name}`,
    cls,
    verb: message.name,
    result: parseType(message.result),
    params: (needsSession ? present.slice(1) : present).map(([name, type, isOptional]) => ({
      name,
      type: parseType(type),
      isOptional: isOptional === 1,
    })),
    needsSession,
    isImplicit,
    hasAsync:
      !WITHOUT_ASYNC.has(cls) &&
      !SYNCHRONOUS.has(`${cls}.${message.name}`) &&
      (!isImplicit || ASYNC_IMPLICIT.has(message.name)),
    isRemoved: isClassRemoved || isPast(message.removed),
    errors: message.errors ?? [],
    role: message.role === 'root' ? undefined : (message.role ?? 'read-only'),
  };
}
