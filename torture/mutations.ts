import fc from 'fast-check';

export interface Edit {
  readonly kind: 'flip' | 'fill' | 'cut out' | 'insert' | 'repeat' | 'end here' | 'digits';
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

const TOKENS = [
  '../',
  '..\\',
  '\0',
  '__proto__',
  'constructor',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;',
  '&#0;',
  ']]>',
  '-->',
  '<value>'.repeat(3000),
  '{"a":'.repeat(3000),
  '['.repeat(5000),
  '99999999999999999999',
  '-1',
  '1e999',
  'NaN',
  '\ud800',
  '\u202e',
  '%2e%2e%2f',
  '/',
  '"',
  '\r\n\r\n',
  'HTTP/1.1 500 Internal Error\r\n',
];

export const edits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Edit['kind'][]>('flip', 'fill', 'cut out', 'insert', 'repeat', 'end here', 'digits'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 4096 })),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom(...TOKENS).map((text) => Buffer.from(text)),
    ),
  }),
  { minLength: 1, maxLength: 5 },
);
/** The sample with the edits made, one after the other. */
export function edited(sample: Buffer, all: readonly Edit[]): Buffer {
  let bytes = Buffer.from(sample);
  for (const { kind, at, length, bytes: own } of all) {
    const from = Math.min(bytes.length, Math.floor(at * bytes.length));
    const until = Math.min(bytes.length, from + length);
    if (kind === 'flip' && from < bytes.length) bytes.writeUInt8(bytes.readUInt8(from) ^ (1 << (length % 8)), from);
    else if (kind === 'fill') bytes.fill(own[0] ?? 0, from, until);
    else if (kind === 'digits') bytes.fill('9', from, until);
    else if (kind === 'end here') bytes = bytes.subarray(0, from);
    else if (kind === 'cut out') bytes = Buffer.concat([bytes.subarray(0, from), bytes.subarray(until)]);
    else if (kind === 'insert') bytes = Buffer.concat([bytes.subarray(0, from), own, bytes.subarray(from)]);
    else if (kind === 'repeat') bytes = Buffer.concat([bytes.subarray(0, until), bytes.subarray(from)]);
  }
  return bytes;
}

/** A value somewhere in a JSON text that becomes another one, or goes. */
export interface JsonEdit {
  /** Where, as a part of all places. */
  readonly at: number;
  readonly value: unknown;
  readonly kind: 'replace' | 'remove' | 'add';
}

const HOSTILE_VALUES: readonly unknown[] = [
  null,
  true,
  '',
  'x',
  '../../etc/passwd',
  '/etc/passwd',
  '..',
  'a/../../b',
  'a\0b',
  'CON',
  -1,
  0,
  0.5,
  1e308,
  2 ** 53,
  [],
  {},
  [[]],
  'y'.repeat(70_000),
  Array.from({ length: 500 }, () => 'z'),
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
];

export const jsonEdits: fc.Arbitrary<readonly JsonEdit[]> = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    value: fc.constantFrom(...HOSTILE_VALUES),
    kind: fc.constantFrom<JsonEdit['kind'][]>('replace', 'replace', 'remove', 'add'),
  }),
  { minLength: 1, maxLength: 3 },
);

/** The JSON text with the edits made: still JSON, of nearly the same shape. */
export function editedJson(sample: Buffer, all: readonly JsonEdit[]): Buffer {
  const root = JSON.parse(sample.toString('utf8')) as object;
  for (const { at, value, kind } of all) {
    const places = placesIn(root);
    const place = places[Math.min(places.length - 1, Math.floor(at * places.length))];
    if (place === undefined) break;
    const holder = place.holder as Record<string, unknown>;
    if (kind === 'replace') holder[place.key] = value;
    else if (kind === 'remove') Reflect.deleteProperty(holder, place.key);
    else holder[`${place.key} more`] = value;
  }
  return Buffer.from(JSON.stringify(root));
}

interface JsonPlace {
  readonly holder: object;
  readonly key: string;
}

function placesIn(holder: object): readonly JsonPlace[] {
  return Object.entries(holder).flatMap(([key, value]: readonly [string, unknown]) => [
    { holder, key },
    ...(typeof value === 'object' && value !== null ? placesIn(value) : []),
  ]);
}
