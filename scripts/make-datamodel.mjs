/**
 * Makes the compact table of XAPI's datamodel that the simulated pool runs on, from the JSON files that xapi-project
 * publishes (https://github.com/xapi-project/xapi-project.github.io, folder _data):
 *
 *   node scripts/make-datamodel.mjs xenapi.json xenapi-errors.json xenapi_release_info.json
 *
 * Facts only: names, types, qualifiers, defaults, releases, parameters. No documentation text is taken over.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const EPOCH = '19700101T00:00:00Z';
const NULL_REF = 'OpaqueRef:NULL';

const [classesFile, errorsFile, releasesFile] = process.argv.slice(2);
if (releasesFile === undefined) {
  console.error('usage: node scripts/make-datamodel.mjs xenapi.json xenapi-errors.json xenapi_release_info.json');
  process.exit(2);
}
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** First release that has it, and the release that took it away. */
function lifetime(lifecycle) {
  const at = (...kinds) => lifecycle.transitions.find(({ transition }) => kinds.includes(transition))?.release;
  return { since: at('prototyped', 'published') ?? 'rio', removed: at('removed') };
}

/** The value an absent field has: the datamodel's default, else the zero of its type. */
function defaultValue(type, text) {
  if (type.endsWith(' set')) return text === undefined || text === '{}' ? [] : parseSet(type, text);
  if (type.endsWith(' map')) return text === undefined || text === '{}' ? {} : parseMap(text);
  if (type === 'int') return text === undefined ? 0 : Number(text);
  if (type === 'float') return text === undefined ? 0 : Number.parseFloat(text);
  if (type === 'bool') return text === 'true';
  if (type === 'datetime') return text ?? EPOCH;
  if (type.endsWith(' ref')) return text === undefined || text === 'Null' ? NULL_REF : text;
  if (text === undefined || text === 'Null') return '';
  return text.startsWith('"') ? JSON.parse(text) : text;
}

function parseSet(type, text) {
  const items = text
    .slice(1, -1)
    .split(';')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  if (type === 'int set') return items.map(Number);
  return items.filter((item) => !item.startsWith('OpaqueRef:')).map((item) => item.replaceAll('"', ''));
}

function parseMap(text) {
  const pairs = text
    .slice(1, -1)
    .split(',')
    .map((pair) => pair.split('->').map((side) => side.trim().replaceAll('"', '')));
  return Object.fromEntries(pairs);
}

/**
 * What the published files do not say: since when a call's later parameters are there, and calls and fields that
 * XAPI 24.19.2 has although the files date them later (they became calls written by hand, or were back-ported).
 */
const PARAM_SINCE = {
  'VM.snapshot ignore_vdis': '21.4.0',
  'VM.migrate_send vgpu_map': 'inverness',
  'VM.migrate_send vdi_format_map': '25.27.0',
  'session.login_with_password originator': 'clearwater',
  'host.disable auto_enable': '25.31.0',
  'host.disable_external_auth force': '24.35.0',
  'pool.sync_updates username': '25.7.0',
  'pool.sync_updates password': '25.7.0',
  'pool.uninstall_ca_certificate force': '24.35.0',
};
const later = (cls, release, ...fields) =>
  Object.fromEntries(
    fields.flatMap((name) => [
      [`${cls}.${name}`, release],
      [`${cls}.get_${name}`, release],
    ]),
  );
const SINCE = {
  'task.set_other_config': 'miami',
  'task.add_to_other_config': 'miami',
  'task.remove_from_other_config': 'miami',
  'Certificate.fingerprint_sha256': '24.19.0',
  'Certificate.fingerprint_sha1': '24.19.0',
  'Certificate.get_fingerprint_sha256': '24.19.0',
  'Certificate.get_fingerprint_sha1': '24.19.0',
  ...later('PCI', '24.35.0', 'class_id', 'vendor_id', 'device_id', 'subsystem_vendor_id', 'subsystem_device_id'),
};

/** Calls that XAPI has and its published files leave out; only the local superuser may make them. */
const HIDDEN_MESSAGES = {
  VTPM: [
    {
      name: 'get_contents',
      result: 'string',
      params: [
        ['session_id', 'session ref'],
        ['self', 'VTPM ref'],
      ],
      since: '22.26.0',
      role: 'root',
    },
    {
      name: 'set_contents',
      result: 'void',
      params: [
        ['session_id', 'session ref'],
        ['self', 'VTPM ref'],
        ['contents', 'string'],
      ],
      since: '22.26.0',
      role: 'root',
    },
  ],
};

/** From the one that may least; each may all that those before it may. */
const ROLES = ['read-only', 'vm-operator', 'vm-admin', 'vm-power-admin', 'pool-operator', 'pool-admin'];

/** The least of the roles that may make a call; `root` for those that only the local superuser may. */
function leastRole(roles) {
  return ROLES.find((role) => roles.includes(role)) ?? 'root';
}

/** In small letters: a constructor must be given this field. */
const QUALIFIERS = { 'RO/runtime': 'R', 'RO/constructor': 'C', RW: 'W' };
const enums = {};

const classes = read(classesFile).map((cls) => {
  for (const one of cls.enums) enums[one.name] = one.values.map(({ name }) => name);
  const { since, removed } = lifetime(cls.lifecycle);
  return {
    name: cls.name,
    since,
    ...(removed === undefined ? {} : { removed }),
    fields: cls.fields.map((field) => {
      const life = lifetime(field.lifecycle);
      const since = SINCE[`${cls.name}.${field.name}`] ?? life.since;
      const letter = QUALIFIERS[field.qualifier];
      const isMandatory = field.default === undefined && letter !== 'R';
      const qualifier = isMandatory ? letter.toLowerCase() : letter;
      const row = [field.name, field.type, qualifier, defaultValue(field.type, field.default), since];
      return life.removed === undefined ? row : [...row, life.removed];
    }),
    messages: cls.messages
      .map((message) => {
        const life = lifetime(message.lifecycle);
        const role = leastRole(message.roles);
        return {
          name: message.name,
          result: message.result[0],
          params: message.params.map(({ name, type, required }) => {
            const paramSince = PARAM_SINCE[`${cls.name}.${message.name} ${name}`];
            return [name, type, ...(required ? [] : [1]), ...(paramSince === undefined ? [] : [paramSince])];
          }),
          since: SINCE[`${cls.name}.${message.name}`] ?? life.since,
          ...(life.removed === undefined ? {} : { removed: life.removed }),
          ...(message.implicit ? { implicit: 1 } : {}),
          ...(message.errors.length === 0 ? {} : { errors: message.errors.map(({ name }) => name) }),
          ...(role === ROLES[0] ? {} : { role }),
        };
      })
      .concat(HIDDEN_MESSAGES[cls.name] ?? []),
  };
});

const errors = Object.fromEntries(read(errorsFile).map(({ name, params }) => [name, params]));
const codeNames = Object.keys(read(releasesFile)).filter((name) => !/^\d/.test(name));

const lines = [
  '{',
  `"codeNames": ${JSON.stringify(codeNames)},`,
  `"enums": {\n${Object.entries(enums)
    .map(([name, values]) => `${JSON.stringify(name)}: ${JSON.stringify(values)}`)
    .join(',\n')}\n},`,
  `"errors": {\n${Object.entries(errors)
    .map(([name, params]) => `${JSON.stringify(name)}: ${JSON.stringify(params)}`)
    .join(',\n')}\n},`,
  `"classes": [\n${classes.map((cls) => JSON.stringify(cls)).join(',\n')}\n]`,
  '}',
];
const target = new URL('../fixtures/datamodel/xenapi.json', import.meta.url);
writeFileSync(target, `${lines.join('\n')}\n`);
console.log(`${classes.length} classes, ${Object.keys(errors).length} errors`);
