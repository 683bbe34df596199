import { XMLParser } from 'fast-xml-parser';
import { FormatError } from './format-error.js';

/**
 * A scalar that carries its type on the wire, kept as text so that it goes out as it came in (64-bit integers, doubles
 * and dates lose nothing).
 */
export class XmlRpcScalar {
  constructor(
    readonly type: 'int' | 'i4' | 'i8' | 'double' | 'dateTime.iso8601' | 'base64' | 'nil',
    readonly text: string,
  ) {}
}

export interface XmlRpcStruct {
  [name: string]: XmlRpcValue;
}

/** XAPI writes its integers as untyped text, so they are strings here. */
export type XmlRpcValue = string | boolean | XmlRpcScalar | XmlRpcValue[] | XmlRpcStruct;

/** A value nested deeper than this is refused; XAPI's records nest about six deep. */
const MAX_DEPTH = 64;
const DEFAULT_MAX_CHARACTERS = 16 * 1024 * 1024;
/** Four elements for one level of values: value, struct, member, value. */
const TAGS_PER_LEVEL = 4;

const SCALAR_TYPES = new Set<string>(['int', 'i4', 'i8', 'double', 'dateTime.iso8601', 'base64', 'nil']);
const TEXT = '#text';
const PROLOG = /^\s*<\?xml[^?<>]*\?>/;
const MARKUP = /<\/([a-z][a-z0-9.]*)\s*>|<([a-z][a-z0-9.]*)\s*(\/?)>|</gi;

/** One node of the parser's ordered form: a single key, the tag, and its children; text sits under `#text`. */
type OrderedNode = Readonly<Record<string, unknown>>;

const parser = new XMLParser({
  preserveOrder: true,
  trimValues: false,
  parseTagValue: false,
  processEntities: false,
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: MAX_DEPTH * TAGS_PER_LEVEL,
});

/** An empty record whose keys come from outside: no prototype to collide with. */
export function emptyStruct(): XmlRpcStruct {
  return Object.create(null) as XmlRpcStruct;
}

export function isStruct(value: XmlRpcValue | undefined): value is XmlRpcStruct {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof XmlRpcScalar);
}

/**
 * Reads one XML-RPC `<value>`.
 * @throws {FormatError} when the text is not well formed, is longer than `maxCharacters`, is nested deeper than 64
 *   values, or has a document type, comments or CDATA, none of which XAPI writes.
 */
export function parseXmlRpcValue(text: string, maxCharacters: number = DEFAULT_MAX_CHARACTERS): XmlRpcValue {
  if (text.length > maxCharacters) {
    throw new FormatError('The XML is too long', { expected: `at most ${maxCharacters}`, found: String(text.length) });
  }
  checkMarkup(text);
  const nodes = parser.parse(text) as readonly OrderedNode[];
  const roots = elements(nodes);
  if (roots.length !== 1 || roots[0]?.tag !== 'value') {
    throw new FormatError('The XML is not one value', { found: roots.map((root) => root.tag).join(', ') || 'nothing' });
  }
  return readValue(roots[0].children, 1);
}

/**
 * Writes one `<value>`, in the form XAPI writes: strings untyped, no white space.
 * @throws {FormatError} for a character that XML cannot carry.
 */
export function serialiseXmlRpcValue(value: XmlRpcValue): string {
  const parts: string[] = [];
  writeValue(value, parts);
  return parts.join('');
}

/**
 * The parser mends what is not well formed; a damaged archive must not be mended. XML-RPC needs nothing but tags without
 * attributes, so anything else is refused here: document types, entities, comments, CDATA, attributes, stray brackets.
 */
function checkMarkup(text: string): void {
  const body = text.replace(PROLOG, '').trim();
  if (!body.startsWith('<') || !body.endsWith('>')) throw new FormatError('The XML has text outside its elements');
  const open: string[] = [];
  for (const { 0: markup, 1: closed, 2: opened, 3: isEmpty } of body.matchAll(MARKUP)) {
    if (closed === undefined && opened === undefined) throw new FormatError('The XML has more than plain elements');
    if (opened === undefined ? open.pop() !== closed : open.length >= MAX_DEPTH * TAGS_PER_LEVEL) {
      throw new FormatError('The XML is not well formed, or too deep', { found: markup });
    }
    if (opened !== undefined && isEmpty === '') open.push(opened);
  }
  if (open.length > 0) throw new FormatError('The XML is not complete', { expected: `</${open.at(-1) ?? ''}>` });
}

interface XmlElement {
  readonly tag: string;
  readonly children: readonly OrderedNode[];
}

/** The elements among `nodes`; text between elements may only be white space. */
function elements(nodes: readonly OrderedNode[]): XmlElement[] {
  const found: XmlElement[] = [];
  for (const node of nodes) {
    for (const [tag, content] of Object.entries(node)) {
      if (tag !== TEXT) found.push({ tag, children: content as readonly OrderedNode[] });
      else if (String(content).trim() !== '') {
        throw new FormatError('Text where the XML may only have elements', { found: String(content).slice(0, 40) });
      }
    }
  }
  return found;
}

function textOf(nodes: readonly OrderedNode[], where: string): string {
  let text = '';
  for (const node of nodes) {
    for (const [tag, content] of Object.entries(node)) {
      if (tag !== TEXT) throw new FormatError(`An element inside <${where}>`, { found: `<${tag}>` });
      text += String(content);
    }
  }
  return decodeEntities(text);
}

function readValue(nodes: readonly OrderedNode[], depth: number): XmlRpcValue {
  if (depth > MAX_DEPTH)
    throw new FormatError('The XML is nested too deep', { expected: `at most ${MAX_DEPTH} values` });
  if (nodes.every((node) => TEXT in node)) return textOf(nodes, 'value');
  const [type, ...others] = elements(nodes);
  if (type === undefined || others.length > 0) throw new FormatError('A value with more than one type');
  const { tag, children } = type;
  if (tag === 'string') return textOf(children, tag);
  if (tag === 'boolean') return readBoolean(textOf(children, tag));
  if (tag === 'struct') return readStruct(children, depth);
  if (tag === 'array') return readArray(children, depth);
  if (SCALAR_TYPES.has(tag)) return new XmlRpcScalar(tag as XmlRpcScalar['type'], textOf(children, tag));
  throw new FormatError('A value of an unknown type', { found: `<${tag}>` });
}

function readBoolean(text: string): boolean {
  if (text === '1') return true;
  if (text === '0') return false;
  throw new FormatError('A boolean that is neither 0 nor 1', { found: text.slice(0, 40) });
}

function readStruct(nodes: readonly OrderedNode[], depth: number): XmlRpcStruct {
  const struct = emptyStruct();
  for (const member of elements(nodes)) {
    const [name, value, ...others] = elements(member.children);
    if (member.tag !== 'member' || name?.tag !== 'name' || value?.tag !== 'value' || others.length > 0) {
      throw new FormatError('A struct member without one name and one value', { found: `<${member.tag}>` });
    }
    const key = textOf(name.children, 'name');
    if (key in struct) throw new FormatError('A struct member that occurs twice', { found: key.slice(0, 40) });
    struct[key] = readValue(value.children, depth + 1);
  }
  return struct;
}

function readArray(nodes: readonly OrderedNode[], depth: number): XmlRpcValue[] {
  const [data, ...others] = elements(nodes);
  if (data?.tag !== 'data' || others.length > 0) throw new FormatError('An array without one data element');
  return elements(data.children).map((element) => {
    if (element.tag !== 'value') throw new FormatError('An array element that is no value', { found: element.tag });
    return readValue(element.children, depth + 1);
  });
}

function writeValue(value: XmlRpcValue, parts: string[]): void {
  if (typeof value === 'string') {
    parts.push('<value>', encodeText(value), '</value>');
  } else if (typeof value === 'boolean') {
    parts.push('<value><boolean>', value ? '1' : '0', '</boolean></value>');
  } else if (value instanceof XmlRpcScalar) {
    parts.push(`<value><${value.type}>`, encodeText(value.text), `</${value.type}></value>`);
  } else if (Array.isArray(value)) {
    parts.push('<value><array><data>');
    for (const element of value) writeValue(element, parts);
    parts.push('</data></array></value>');
  } else {
    parts.push('<value><struct>');
    for (const [name, member] of Object.entries(value)) {
      parts.push('<member><name>', encodeText(name), '</name>');
      writeValue(member, parts);
      parts.push('</member>');
    }
    parts.push('</struct></value>');
  }
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
const NUMERIC_ENTITY = /^#(?:x([0-9a-f]{1,6})|([0-9]{1,7}))$/i;

/** Only the five entities of XML and character numbers: no document can define others here. */
function decodeEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&([^&;]{0,12});?/g, (whole: string, name: string) => {
    const known = whole.endsWith(';') ? (ENTITIES[name] ?? numericEntity(name)) : undefined;
    if (known === undefined) throw new FormatError('The XML has an entity that is not defined', { found: whole });
    return known;
  });
}

function numericEntity(name: string): string | undefined {
  const [, hexadecimal, decimal] = NUMERIC_ENTITY.exec(name) ?? [];
  const codePoint = hexadecimal === undefined ? Number(decimal ?? NaN) : parseInt(hexadecimal, 16);
  return codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : undefined;
}

/** Everything that XML 1.0 cannot carry, in any notation. */
const NOT_IN_XML = /(?![\t\n\r\u007f-\u009f])\p{Cc}|[\ufffe\uffff]|\p{Cs}/u;
const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

function encodeText(text: string): string {
  const bad = NOT_IN_XML.exec(text);
  if (bad !== null) throw new FormatError('A text with a character that XML cannot carry', { offsetBytes: bad.index });
  return text.replace(/[&<>"\r]/g, (character) => ESCAPES[character] ?? character);
}
